"""What many workers cost and bring: trials an hour, load on the database, files scanned.

    python benchmarks/scaling.py --write

Needs PostgreSQL (``apt-get install postgresql``). Workers of the load test are simulated: each
takes jobs, shows signs of life and looks after the leases of others as a real one does, with a
connection of its own, but sleeps instead of training.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import _report
import numpy as np

from automl_transfer.jobs import BEATS, GRACE_SECONDS, Sweeper
from automl_transfer.store import Store
from automl_transfer.study import Study

ROOT = Path(__file__).resolve().parent.parent
FINE_TUNES = 21
"""Three recipes, and two full batches."""
EPOCHS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--simulated", type=int, nargs="+", default=[10, 50, 100, 200])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each level of load")
    parser.add_argument("--trial", type=float, default=20.0, help="seconds of a simulated trial")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--only", choices=["trials", "load", "files"], action="append")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--simulate", nargs=5, help=argparse.SUPPRESS)
    parser.add_argument("--tune", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.simulate:
        _simulate(*options.simulate)
        return
    if options.tune:
        _tune(*options.tune)
        return
    only = options.only or ["trials", "load", "files"]
    parts = []
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        if "trials" in only:
            parts.append(_trials(Path(place), options.workers))
        if "load" in only:
            parts.append(_load(Path(place), options.simulated, options.seconds, options.trial))
        if "files" in only:
            parts.append(_files(Path(place), options.files))
    _report.write(
        Path(__file__).with_suffix(".md"),
        _report.page("Many workers, many files", "", "\n\n".join(parts)),
        wanted=options.write,
    )


# Trials an hour ---------------------------------------------------------------------------------


def _trials(place: Path, counts: list[int]) -> str:
    images = place / "digits"
    command = [sys.executable, "-m", "automl_transfer"]
    subprocess.run(
        [*command, "data", "sample", "digits", str(images)], check=True, capture_output=True
    )
    for folder in filter(Path.is_dir, images.iterdir()):
        for extra in sorted(folder.iterdir())[40:]:
            extra.unlink()
    rows = []
    alone = 0.0
    for count in counts:
        words = [sys.executable, __file__, "--tune", str(images), str(place / "studies")]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([*words, str(count)], check=True, env=environment, capture_output=True)
        study = Study(place / "studies" / f"by-{count}")
        tuned = [row for row in study.trials if row.stage == "tune"]
        spans = [one for one in study.document("timeline") if one["stage"] == "tune"]
        seconds = sum(one["ended"] - one["began"] for one in spans)
        study.close()
        rate = 3600 * len(tuned) / seconds
        alone = alone or rate
        rows.append(
            [str(count), str(len(tuned)), f"{seconds:.0f}", f"{rate:.0f}", f"{rate / alone:.2f}"]
        )
    table = _report.table(
        ["processes", "fine-tunes", "seconds", "fine-tunes an hour", "to one process"], rows
    )
    return (
        "## Fine-tunes an hour\n\n400 digits, EfficientNet-Lite0 at 96 pixels, last stages, "
        f"norms and biases, and all, {EPOCHS} epochs; each process with one thread, on "
        f"{os.cpu_count()} cores. Starting the workers, which load torch and the data, is part of "
        f"the time.\n\n{table}"
    )


def _tune(images: str, studies: str, count: str) -> None:
    """A search up to the end of its fine-tunes."""
    from automl_transfer.events import StageStarted
    from automl_transfer.plugins import load_registry
    from automl_transfer.request import SearchRequest
    from automl_transfer.searching import run_search

    request = SearchRequest(
        data=images,
        trials=FINE_TUNES,
        epochs=EPOCHS,
        backbones=("bundled/efficientnet_lite0@96",),
        strategies=("last-stages", "norm-bias", "full"),
        heads=("linear",),
        seed=1,
        study=f"by-{count}",
        studies=studies,
        workers=int(count),
        device="cpu",
    )
    events = run_search(request, load_registry(third_party=False))
    for event in events:
        if isinstance(event, StageStarted) and event.stage == "confirm":
            break
    events.close()  # type: ignore[attr-defined]


# Load on the database ---------------------------------------------------------------------------


def _load(place: Path, counts: list[int], seconds: float, trial: float) -> str:
    sys.path.insert(0, str(ROOT))
    from tests.chaos.servers import Server

    rows = []
    home = place / "postgresql"
    home.mkdir()
    server = Server(home)
    server.start()
    try:
        for count in counts:
            rows.append(_level(server, place, count, seconds, trial))
    finally:
        server.stop()
    table = _report.table(
        [
            "workers",
            "transactions a second",
            "a worker",
            "CPU of the database, cores",
            "claim, median ms",
            "claim, 95 % ms",
            "sign of life, 95 % ms",
            "leases lost",
        ],
        rows,
    )
    return (
        f"## Load on PostgreSQL\n\nSimulated workers with trials of {trial:.0f} s, a sign of life "
        f"every {GRACE_SECONDS / BEATS:.0f} s, each with its own connection; {seconds:.0f} s a "
        "level. Server and workers share this machine's cores, so that the times are upper "
        f"bounds.\n\n{table}"
    )


def _level(server: Any, place: Path, count: int, seconds: float, trial: float) -> list[str]:
    url = server.fresh()
    store = Store(url, "load", create=True)
    jobs = store.jobs()
    for number in range(int(3 * count * seconds / trial) + count):
        jobs.post(f"{number:06d}/00000001", {"number": number, "ballast": "x" * 2000}, number)
    before, cpu = _transactions(url), _server_cpu(server)
    began = time.monotonic()
    groups = min(4, count)
    outputs = [place / f"load-{count}-{group}" for group in range(groups)]
    processes = []
    for group, output in enumerate(outputs):
        size = count // groups + (group < count % groups)
        words = [url, str(size), str(seconds), str(trial), str(output)]
        processes.append(
            subprocess.Popen([sys.executable, __file__, "--simulate", *words], cwd=ROOT)
        )
    for process in processes:
        assert process.wait() == 0
    passed = time.monotonic() - began
    per_second = (_transactions(url) - before) / passed
    used = (_server_cpu(server) - cpu) / passed
    store.close()
    found = [np.load(output.with_suffix(".npz")) for output in outputs]
    claims = np.concatenate([one["claims"] for one in found]) * 1000
    beats = np.concatenate([one["beats"] for one in found]) * 1000
    lost = sum(int(one["lost"]) for one in found)
    return [
        str(count),
        f"{per_second:.0f}",
        f"{per_second / count:.2f}",
        f"{used:.2f}",
        f"{np.median(claims):.0f}",
        f"{np.quantile(claims, 0.95):.0f}",
        f"{np.quantile(beats, 0.95):.0f}",
        str(lost),
    ]


def _simulate(url: str, size: str, seconds: str, trial: str, output: str) -> None:
    claims: list[float] = []
    beats: list[float] = []
    lost = [0]
    until = time.monotonic() + float(seconds)

    def one(number: int) -> None:
        generator = random.Random(number)
        time.sleep(generator.random() * 5)
        store = Store(url, "load", create=True)
        jobs, name = store.jobs(), f"{os.getpid()}-{number}"
        sweeper, every = Sweeper(jobs), jobs.between_beats
        while time.monotonic() < until:
            began = time.monotonic()
            job = jobs.claim(name)
            claims.append(time.monotonic() - began)
            if job is None:
                time.sleep(0.5)
                continue
            ends = time.monotonic() + float(trial) * (0.8 + 0.4 * generator.random())
            alive = True
            while time.monotonic() < ends and time.monotonic() < until:
                time.sleep(min(every, max(0.0, ends - time.monotonic())))
                began = time.monotonic()
                jobs.show(name, {"device": "simulated"})
                alive = jobs.beat(job) is not None
                sweeper.sweep()
                beats.append(time.monotonic() - began)
            alive = jobs.finish(job, {"reason": None, "report": {"loss": 0.5}}) and alive
            lost[0] += not alive
        store.close()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(int(size))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.savez(output, claims=np.array(claims), beats=np.array(beats or [0.0]), lost=lost[0])


def _transactions(url: str) -> int:
    import sqlalchemy as sa

    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("SELECT pg_stat_force_next_flush()"))
            query = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
            return int(connection.scalar(sa.text(query)) or 0)
    finally:
        engine.dispose()


def _server_cpu(server: Any) -> float:
    """Seconds of CPU of the server and of all that it has started and waited for."""
    pid = int((server._data / "postmaster.pid").read_text().split()[0])
    total = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(path.parent.name) == pid:
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == pid:
            total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


# Files ------------------------------------------------------------------------------------------


def _files(place: Path, count: int) -> str:
    from PIL import Image

    root = place / "many"
    generator = np.random.default_rng(0)
    for number in range(count):
        folder = root / f"class{number % 100}"
        if number < 100:
            folder.mkdir(parents=True)
        pixels = generator.integers(256, size=(24, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png", compress_level=0)
    rows = []
    for label, words in (
        ("first", ["data", "check", str(root), "--json"]),
        ("again", ["data", "check", str(root), "--json"]),
    ):
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "automl_transfer", *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Of this process alone: RUSAGE_CHILDREN has the largest of all.
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - began
        assert os.waitstatus_to_exitcode(status) == 0
        memory = f"{used.ru_maxrss / 1024:.0f}"
        rows.append([label, f"{seconds:.0f}", f"{count / seconds:.0f}", memory])
    shutil.rmtree(root)
    table = _report.table(["time", "seconds", "files a second", "memory, MB"], rows)
    return (
        f"## {count:,} files\n\n`data check` of {count:,} PNG files of 24 by 24 pixels in 100 "
        "folders: each is found, read, decoded and fingerprinted, and near copies are looked "
        f"for.\n\n{table}"
    )


if __name__ == "__main__":
    main()
