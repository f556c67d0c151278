"""A whole search among kills, outages and late workers comes to what it would have come to."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from automl_transfer.outcome import Outcome
from automl_transfer.store import Store
from automl_transfer.study import Study
from tests.chaos import toy
from tests.chaos.processes import ROOT, end_all, started, until
from tests.chaos.servers import Server
from tests.chaos.workers import GRACE

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


def comparable(outcomes: list[Outcome]) -> list[object]:
    return [
        (row.number, row.stage, row.configuration, row.state, row.reason, row.value, row.metrics)
        for row in outcomes
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[object]]:
    """The trials of a search that nothing happens to."""
    directory = toy.prepared(tmp_path_factory.mktemp("alone"))
    environment = os.environ | {"CHAOS_SLOW": "0", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tests.chaos.workers", "lead", str(directory), "1"]
    subprocess.run(words, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    yield comparable(trials(directory))
    end_all()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("AUTOML_TRANSFER_GRACE", str(GRACE))
    return toy.prepared(tmp_path / "toy")


def trials(directory: Path, storage: str | None = None) -> list[Outcome]:
    study = Study(directory / "studies" / "toy", storage)
    assert study.running == []
    found = study.trials
    study.close()
    return found


def log(directory: Path, name: str = "log") -> str:
    path = directory / name
    return path.read_text() if path.exists() else ""


def is_tuning(directory: Path) -> bool:
    return "TrialReported" in log(directory) and "steps" in log(directory)


def test_workers_that_are_killed_change_no_trial(directory: Path, alone: list[object]) -> None:
    leader = started("lead", str(directory), "1", log=directory / "log")
    until(lambda: (directory / "studies" / "toy" / "study.db").exists())
    places = [started("toy_worker", str(directory), log=directory / "w") for _ in range(2)]
    generator, kills = random.Random(0), 0
    while leader.poll() is None:
        time.sleep(0.6 + generator.random())
        killed = generator.randrange(2)
        busy = log(directory, "w").count("to step")
        if busy > kills and kills < 4 and places[killed].poll() is None:
            places[killed].kill()
            kills += 1
            places[killed] = started("toy_worker", str(directory), log=directory / "w")
    assert leader.wait() == 0, log(directory)[-3000:]
    assert kills >= 2
    assert "to step" in log(directory, "w"), "no worker had a trial"
    found = comparable(trials(directory))
    # A trial whose process dies twice fails; all others are as they would have been.
    differing = [row for row, other in zip(found, alone, strict=True) if row != other]
    assert all("died, 2 times" in str(row[4]) for row in differing)  # type: ignore[index]
    assert len(differing) <= kills // 2


def test_sigterm_keeps_the_trial_for_another_worker(directory: Path, alone: list[object]) -> None:
    leader = started("lead", str(directory), "1", log=directory / "log")
    until(lambda: (directory / "studies" / "toy" / "study.db").exists())
    worker = started("toy_worker", str(directory), log=directory / "w")
    until(lambda: "to step" in log(directory, "w"), 120)
    time.sleep(0.4)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 143
    said = log(directory, "w")
    assert "is kept, for another worker" in said or '"jobs": ' in said
    assert leader.wait(200) == 0
    assert comparable(trials(directory)) == alone


def test_a_search_that_is_killed_again_and_again_comes_to_the_same(
    directory: Path, alone: list[object]
) -> None:
    generator = random.Random(3)
    kills = 0
    for _ in range(6):
        leader = started("lead", str(directory), "1", log=directory / "log")
        time.sleep(4.0 + 4.0 * generator.random())
        if leader.poll() is None:
            leader.send_signal(signal.SIGKILL)
            kills += 1
        leader.wait()
    assert kills >= 3
    assert started("lead", str(directory), "1", log=directory / "log").wait(200) == 0
    assert comparable(trials(directory)) == alone


@pytest.mark.parametrize("second", [False, True])
def test_sigterm_ends_a_search_within_ten_seconds_and_it_goes_on_amid_a_rung(
    directory: Path, alone: list[object], second: bool
) -> None:
    leader = started("lead", str(directory), "1", log=directory / "log")
    parked = directory / "studies" / "toy" / "parked"
    until(lambda: log(directory).count("Progress") > 12 and parked.parent.exists(), 120)
    until(lambda: "StageStarted" in log(directory) and log(directory).count("TrialStarted") > 6)
    time.sleep(0.7)
    leader.send_signal(signal.SIGTERM)
    if second:
        leader.send_signal(signal.SIGTERM)
    assert leader.wait(10) == 143
    if not second:
        study = Study(directory / "studies" / "toy")
        assert study.status["state"] == "interrupted"
        study.close()
        assert list(parked.glob("*/amid/trial.json")) or list(parked.glob("*/0*/trial.json"))
    assert started("lead", str(directory), "1", log=directory / "log").wait(200) == 0
    assert comparable(trials(directory)) == alone


def test_a_server_that_is_restarted_during_a_search(
    directory: Path, alone: list[object], server: Server
) -> None:
    url = server.fresh()
    leader = started("lead", str(directory), "1", url, log=directory / "log")
    until(lambda: (directory / "studies" / "toy" / "study.toml").exists())
    worker = started("toy_worker", str(directory), url, log=directory / "w")
    until(lambda: "to step" in log(directory, "w"), 120)
    server.stop("fast")
    server.start()
    time.sleep(2)
    server.stop("immediate")
    time.sleep(8)
    server.start()
    assert leader.wait(240) == 0, log(directory)[-3000:]
    assert "is away" in log(directory), "nobody noticed"
    assert worker.wait(60) == 0
    assert json.loads(log(directory, "w").splitlines()[-1])["reason"] == "the search is finished"
    assert comparable(trials(directory, url)) == alone


def test_a_hung_loader_costs_its_trial_and_no_more(
    directory: Path, alone: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / toy.HANG).touch()
    leader = started("lead", str(directory), "1", log=directory / "log")
    until(lambda: (directory / "studies" / "toy" / "study.db").exists())
    monkeypatch.setenv("CHAOS_HANGS", "1")
    worker = started("toy_worker", str(directory), "", "2", log=directory / "w")
    assert worker.wait(200) == 75
    assert (directory / "hung").read_text() == str(worker.pid)
    assert leader.wait(200) == 0
    found = comparable(trials(directory))
    (row,) = [row for row, other in zip(found, alone, strict=True) if row != other][:1]
    assert "hung: no step was done for" in str(row[4])  # type: ignore[index]
    states = [str(one[3]) for one in found]  # type: ignore[index]
    assert states.count("failed") == 1


def test_a_hung_loader_in_the_search_itself(
    directory: Path, alone: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / toy.HANG).touch()
    monkeypatch.setenv("CHAOS_HANGS", "1")
    monkeypatch.setenv("AUTOML_TRANSFER_HANG", "2")
    leader = started("lead", str(directory), "1", log=directory / "log")
    assert leader.wait(200) == 0, log(directory)[-3000:]
    assert (directory / "hung").read_text() == str(leader.pid)
    found = comparable(trials(directory))
    failed = [row for row in found if row[3] == "failed"]  # type: ignore[index]
    assert len(failed) == 1
    assert "hung: No step was done for" in str(failed[0][4])  # type: ignore[index]


def test_local_workers_that_die_are_started_again(directory: Path, monkeypatch) -> None:
    """With the built-in plugin alone: they are processes of the command line."""
    from automl_transfer.stages.local_workers import STARTS, LocalWorkers

    study = directory / "studies" / "toy"
    study.mkdir(parents=True)
    store = Store(f"sqlite:///{study / 'study.db'}", "toy", create=True)
    store.put("status", {"state": "running"})
    (study / "study.toml").write_text('schema = 1\nname = "toy"\ncommand = ""\n[request]\n')
    made = LocalWorkers(study, ["cpu"], threads=1, storage=None)
    jobs, said = store.jobs(), []
    try:
        for _ in range(STARTS):
            until(lambda: bool(jobs.workers()))
            (name,) = jobs.workers()
            jobs.leave(name)
            os.kill(int(name.rpartition("-")[2]), signal.SIGKILL)
            time.sleep(0.5)
            said += made.tend()
    finally:
        made.close()
    assert [("again" in text) for text in said] == [True] * (STARTS - 1) + [False]
    assert "stays empty" in said[-1]
    store.close()


def test_workers_end_with_their_search(directory: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from automl_transfer.stages.local_workers import LocalWorkers\n"
        "LocalWorkers(Path(sys.argv[1]), ['cpu'], threads=1, storage=None); time.sleep(600)\n"
    )
    study = directory / "studies" / "toy"
    study.mkdir(parents=True)
    store = Store(f"sqlite:///{study / 'study.db'}", "toy", create=True)
    store.put("status", {"state": "running"})
    (study / "study.toml").write_text('schema = 1\nname = "toy"\ncommand = ""\n[request]\n')
    search = subprocess.Popen([sys.executable, "-c", script, str(study)])
    jobs = store.jobs()
    until(lambda: bool(jobs.workers()))
    search.kill()
    search.wait()
    until(lambda: not jobs.workers(), 30)
    store.close()
    shutil.rmtree(study)
