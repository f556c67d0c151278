"""A whole search goes on when its database, a loader, or a worker is away."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from automl_transfer.store import Store
from tests.chaos import toy
from tests.chaos.processes import started, until
from tests.chaos.searching import log, trials
from tests.chaos.servers import Server
from tests.toy_search import comparable

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


def test_a_server_that_is_restarted_during_a_search(
    directory: Path, alone: list[tuple[object, ...]], server: Server
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
    directory: Path, alone: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / toy.HANG).touch()
    leader = started("lead", str(directory), "1", log=directory / "log")
    until(lambda: (directory / "studies" / "toy" / "study.db").exists())
    monkeypatch.setenv("CHAOS_HANGS", "1")
    worker = started("toy_worker", str(directory), "", "6", log=directory / "w")
    assert worker.wait(200) == 75
    assert (directory / "hung").read_text() == str(worker.pid)
    assert leader.wait(200) == 0
    found = comparable(trials(directory))
    (row,) = [row for row, other in zip(found, alone, strict=True) if row != other][:1]
    assert "hung: no step was done for" in str(row[4])
    states = [str(one[3]) for one in found]
    assert states.count("failed") == 1


def test_a_hung_loader_in_the_search_itself(
    directory: Path, alone: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / toy.HANG).touch()
    monkeypatch.setenv("CHAOS_HANGS", "1")
    monkeypatch.setenv("AUTOML_TRANSFER_HANG", "6")
    leader = started("lead", str(directory), "1", log=directory / "log")
    assert leader.wait(200) == 0, log(directory)[-3000:]
    assert (directory / "hung").read_text() == str(leader.pid)
    found = comparable(trials(directory))
    failed = [row for row in found if row[3] == "failed"]
    assert len(failed) == 1
    assert "hung: No step was done for" in str(failed[0][4])


def without_a_search(directory: Path) -> tuple[Path, Store]:
    """A study that workers find, and that nobody leads."""
    study = directory / "studies" / "toy"
    study.mkdir(parents=True)
    store = Store(f"sqlite:///{study / 'study.db'}", "toy", create=True)
    store.put("status", {"state": "running"})
    (study / "study.toml").write_text('schema = 1\nname = "toy"\ncommand = ""\n[request]\n')
    return study, store


def test_local_workers_that_die_are_started_again(directory: Path, monkeypatch) -> None:
    """With the built-in plugin alone: they are processes of the command line."""
    from automl_transfer.stages.local_workers import STARTS, LocalWorkers

    study, store = without_a_search(directory)
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


def test_local_workers_that_lived_are_started_however_often(directory: Path, monkeypatch) -> None:
    from automl_transfer.stages import local_workers

    monkeypatch.setattr(local_workers, "LIVED_SECONDS", 0.0)
    study, store = without_a_search(directory)
    made = local_workers.LocalWorkers(study, ["cpu"], threads=1, storage=None)
    said = []
    try:
        for _ in range(local_workers.STARTS + 1):
            process = made._places[0].process
            assert process is not None
            process.kill()
            process.wait()
            said += made.tend()
    finally:
        made.close()
    assert all("is started again" in text for text in said)
    assert len(said) == local_workers.STARTS + 1
    assert made.tend() == [] and made._places[0].process is None
    store.close()


def test_workers_end_with_their_search(directory: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from automl_transfer.stages.local_workers import LocalWorkers\n"
        "LocalWorkers(Path(sys.argv[1]), ['cpu'], threads=1, storage=None); time.sleep(600)\n"
    )
    study, store = without_a_search(directory)
    search = subprocess.Popen([sys.executable, "-c", script, str(study)])
    jobs = store.jobs()
    until(lambda: bool(jobs.workers()))
    search.kill()
    search.wait()
    until(lambda: not jobs.workers(), 30)
    store.close()
    shutil.rmtree(study)
