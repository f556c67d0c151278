"""Systems on data sets at equal wall time, for B3 and B4.

    python benchmarks/compare.py run --sets IMAGES/* --backbones LOCAL/* --constant LOCAL/NAME \
        --systems ours frozen plain constant --budgets 30s 2m 5m --seeds 0 --cores 0 1 \
        --results results.jsonl
    python benchmarks/compare.py report results.jsonl --write

A run is a process of its own; its result is a line of the JSONL file. Runs that are there already
are left out, so the table can be completed later. Each of ``--cores`` is a lane to which its runs
are pinned (``0 1``: two lanes of one core, side by side; ``0,1``: one lane of two cores). All
systems read one file with the parts, drawn by the tool's own rule; its test part is opened after
the clock has stopped. Every process gets the memory settings that our tool gives itself
(`allocator.md`), so that they are not what is compared.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import _answers
import _comparison
import _report
from _systems import ABOUT, ANYTIME, Job, command, is_done

UNITS = {"s": 1, "m": 60, "h": 3600}
ALLOCATOR = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"), str(1 << 30))
REMARKS = Path(__file__).with_name("compare_remarks.md")
"""What a reader of the tables must know, which a person writes."""
GRACE = 900
"""Seconds beyond one and a half budgets after which a run is given up."""


def seconds(text: str) -> float:
    return float(text[:-1]) * UNITS[text[-1]]


def write_split(data: Path, seed: int, folder: Path) -> Path:
    """The file with the parts of one data set, as the tool itself would draw them."""
    from automl_transfer.dataset import PARTS, DataOptions
    from automl_transfer.modalities.image.modality import ImageModality
    from automl_transfer.splits import make_splits

    path = folder / f"{data.name}-{seed}.csv"
    if not path.exists():
        dataset = ImageModality().open(data, DataOptions())
        splits = make_splits(dataset.samples, dataset.classes, seed)
        part = {int(place): name for name in PARTS for place in splits.of(name)}
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", "split"])
            for place, sample in enumerate(dataset.samples):
                writer.writerow([sample.source, dataset.classes[sample.label], part[place]])
    return path


def truth(split: Path) -> list[int]:
    """True classes of the test part, by the place of their names in the alphabet."""
    with split.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    classes = sorted({row["label"] for row in rows})
    return [classes.index(row["label"]) for row in rows if row["split"] == "test"]


def run(job: Job, cores: int) -> dict[str, Any]:
    """Runs a job on the cores of this thread, of which there are ``cores``; returns its line."""
    line: dict[str, Any] = {
        "system": job.system,
        "set": job.set,
        "seed": job.seed,
        "budget": job.budget,
        "cores": cores,
        "backbones": sorted(path.name for path in job.backbones),
        "constant": job.constant.name,
        "load": os.getloadavg()[0],
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    environment = os.environ | ALLOCATOR | {"HF_HUB_OFFLINE": "1"}
    environment.pop("OMP_NUM_THREADS", None)
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "answer.json"
        with (Path(scratch) / "errors").open("w+", errors="replace") as errors:
            try:
                done = subprocess.run(
                    command(job, out, time.time()),
                    env=environment,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    timeout=1.5 * job.budget + GRACE,
                )
                code: object = done.returncode
            except subprocess.TimeoutExpired:
                code = "none: given up"
            if code != 0 or not out.exists():
                errors.seek(0)
                last = ([text for text in errors if text.strip()] or ["no message"])[-1]
                return line | {"error": f"exit code {code}: {last.strip()[:300]}"}
        return line | {"truth": truth(job.split)} | json.loads(out.read_text(encoding="utf-8"))


def jobs(options: argparse.Namespace, splits: dict[tuple[Path, int], Path]) -> list[Job]:
    """All wanted runs, seed by seed and set by set, so that what there is is complete."""
    budgets = sorted(map(seconds, options.budgets))
    return [
        Job(
            system=system,
            data=data,
            seed=seed,
            budget=budget,
            split=splits[data, seed],
            backbones=tuple(options.backbones),
            constant=options.constant,
            marks=tuple(budgets),
            autogluon=options.autogluon,
        )
        for seed in options.seeds
        for data in options.sets
        for system in options.systems
        for budget in (budgets[-1:] if system in ANYTIME else budgets)
    ]


def run_all(options: argparse.Namespace) -> None:
    """Runs what is missing, one lane for each of ``--cores``."""
    lock = threading.Lock()
    lanes = [set(map(int, lane.split(","))) for lane in options.cores]
    runs = _answers.read([options.results]) if options.results.exists() else []
    folder = options.results.parent / f"{options.results.stem}-splits"
    folder.mkdir(parents=True, exist_ok=True)
    splits = {
        (data, seed): write_split(data, seed, folder)
        for data in options.sets
        for seed in options.seeds
    }
    waiting: queue.SimpleQueue[Job] = queue.SimpleQueue()
    wanted = [job for job in jobs(options, splits) if not is_done(job, runs)]
    for job in wanted:
        waiting.put(job)
    total = sum(job.budget for job in wanted) / len(lanes) / 60
    print(f"{len(wanted)} runs, at most about {total:.0f} minutes", file=sys.stderr)
    until = time.monotonic() + (seconds(options.stop_after) if options.stop_after else 1e9)

    def work(cores: set[int]) -> None:
        os.sched_setaffinity(0, cores)  # of this thread; the processes that it starts inherit it
        while True:
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            with lock:
                known = is_done(job, runs)
            if known or time.monotonic() + job.budget > until:
                continue
            line = run(job, len(cores))
            with lock:
                runs.append(line)
                with options.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                said = line.get("error") or f"{line['wall']:.1f} s {_answers.shown(line)}"
                print(f"{job.title}: {said}", file=sys.stderr, flush=True)

    threads = [threading.Thread(target=work, args=(lane,)) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    running = verbs.add_parser("run", help="do what is missing")
    running.add_argument("--sets", nargs="+", type=Path, required=True, help="class folders")
    running.add_argument("--backbones", nargs="+", type=Path, required=True, help="directories")
    running.add_argument("--constant", type=Path, required=True, help="backbone of the constant")
    running.add_argument("--systems", nargs="+", choices=list(ABOUT), default=["ours", "plain"])
    running.add_argument("--budgets", nargs="+", default=["30s", "1m", "2m", "5m", "10m", "20m"])
    running.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    running.add_argument("--cores", nargs="+", default=["0"], help="lanes, such as 0 1 or 0,1")
    running.add_argument("--results", type=Path, required=True, help="JSONL, is added to")
    running.add_argument("--stop-after", metavar="TIME", help="begin nothing that ends later")
    running.add_argument("--autogluon", default="", help="Python of AutoGluon's environment")
    reporting = verbs.add_parser("report", help="print the tables")
    reporting.add_argument("results", nargs="+", type=Path)
    reporting.add_argument("--write", action="store_true", help="write compare.md")
    options = parser.parse_args()
    if options.verb == "run":
        run_all(options)
        return
    remarks = REMARKS.read_text(encoding="utf-8")
    text = _comparison.page(_answers.read(options.results), remarks)
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)


if __name__ == "__main__":
    main()
