"""What goes wrong with a worker or its machine costs no trial."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from automl_transfer import waiting, working
from automl_transfer.errors import DataError, StudyError, UsageError
from automl_transfer.events import Note, Progress, Recommended, StageStarted
from automl_transfer.jobs import Job, Jobs
from automl_transfer.plugins import load_registry
from automl_transfer.stages.shared_setup import DOCUMENT, SHARED
from automl_transfer.store import GRACE
from automl_transfer.working import Tally, Worker
from tests.stages.test_fleet import SMALL, Joined, joining, slowed
from tests.toy_search import ToySearch


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToySearch:
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    # Trainings of threads draw from one generator of Torch.
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, rows: rows)
    return ToySearch(tmp_path)


@pytest.fixture
def tallies(monkeypatch: pytest.MonkeyPatch) -> list[Tally]:
    found: list[Tally] = []
    whole = Worker.run

    def run(self: Worker) -> Tally:
        found.append(whole(self))
        return found[-1]

    monkeypatch.setattr(Worker, "run", run)
    return found


def in_a_worker() -> bool:
    """Whether this thread is that of a worker; the search trains in threads of its own name."""
    return threading.current_thread().name.startswith("Thread-")


@pytest.mark.slow
@pytest.mark.parametrize(
    "error",
    [
        OSError(30, "Read-only file system"),
        RuntimeError("CUDA error: device-side assert"),
        DataError("'a.png' cannot be used: the file does not exist."),
    ],
)
def test_a_worker_on_a_broken_machine_goes_and_costs_no_trial(
    toy: ToySearch,
    monkeypatch: pytest.MonkeyPatch,
    tallies: list[Tally],
    error: Exception,
) -> None:
    from automl_transfer.training import tuning

    toy.run(toy.request(**SMALL, study="alone"))
    slowed(monkeypatch, 0.02)
    whole, broken = tuning.park, list[str]()

    def park(directory: Path, parked: Any) -> None:
        if in_a_worker():
            broken.append(str(directory))
            raise error
        whole(directory, parked)

    monkeypatch.setattr(tuning, "park", park)
    joined = joining(toy, toy.events(toy.request(**SMALL)))
    joined.ended()
    assert len(broken) == 1
    assert tallies[0].broken
    assert toy.compared() == toy.compared("alone")


@pytest.mark.slow
def test_a_job_that_fails_in_two_processes_fails(tmp_path: Path) -> None:
    from automl_transfer.store import Store

    store = Store(f"sqlite:///{tmp_path / 'rows.db'}", "s", create=True)
    jobs = store.jobs()
    jobs.post("0", {})
    for state in ("waiting", "done"):
        job = jobs.claim("somebody")
        assert job is not None
        assert jobs.fail(job, {"reason": "broken"})
        (one,) = jobs.standings()
        assert one.state == state
    assert one.result == {"reason": "broken"}
    assert jobs.claim("somebody") is None
    store.close()


@pytest.mark.slow
def test_what_a_worker_has_lost_is_not_written(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.run(toy.request(**SMALL, study="alone"))
    slowed(monkeypatch, 0.02)
    whole, lost = Jobs.beat, list[str]()

    def beat(self: Jobs, job: Job) -> float | None:
        if in_a_worker() and not lost:
            lost.append(job.key)
            assert not self.standings([job.key])[0].result
            self.release(job)
        return whole(self, job)

    monkeypatch.setattr(Jobs, "beat", beat)
    joined = joining(toy, toy.events(toy.request(**SMALL)))
    said = joined.ended()
    assert lost, "the worker trained nothing"
    assert any("given to another worker" in line for line in said)
    assert toy.compared() == toy.compared("alone")


@pytest.mark.slow
def test_a_worker_that_is_to_leave_amid_a_long_step_puts_its_trial_back(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl_transfer.training.tuning import Tuning

    monkeypatch.setattr(working, "LET_GO_SECONDS", 0.3)
    slowed(monkeypatch, 0.02)
    whole, stuck, over = Tuning.advance, threading.Event(), threading.Event()

    def advance(self: Tuning, *arguments: Any) -> Any:
        if in_a_worker() and not stuck.is_set():
            stuck.set()
            over.wait(30)
        return whole(self, *arguments)

    monkeypatch.setattr(Tuning, "advance", advance)
    put_back: list[bool] = []

    def leave(joined: Joined) -> None:
        assert stuck.wait(60), "the worker trained nothing"
        mine = joined.worker._job
        assert mine is not None
        joined.worker.leave()
        time.sleep(1.5)
        put_back.append(joined.worker._job is None)
        over.set()

    watching: list[threading.Thread] = []

    def watch(joined: Joined) -> None:
        if not watching:
            watching.append(threading.Thread(target=leave, args=(joined,), name="leaving"))
            watching[0].start()

    joining(toy, toy.events(toy.request(**SMALL)), watch).ended()
    watching[0].join()
    assert put_back == [True], "it was still taken for running"
    assert {row.state for row in toy.study().trials} <= {"finished", "pruned"}


@pytest.mark.slow
def test_a_worker_joins_a_search_that_goes_on(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the session before has written down for workers is not taken for the present."""
    slowed(monkeypatch, 0.02)
    events = toy.events(toy.request(**SMALL))
    joined = None
    shared = toy.directory / "studies" / "toy" / SHARED
    for event in events:
        if isinstance(event, StageStarted) and event.stage == "screen":
            joined = Joined(toy)
        if list(shared.glob("*.npz")):
            break
    assert joined is not None
    joined.ended()
    assert list(shared.glob("*.npz"))
    study = toy.study()
    left = study.store.get(DOCUMENT)
    assert left is not None
    events.close()  # type: ignore[attr-defined]
    assert study.store.get(DOCUMENT) is None and not shared.exists()
    study.store.put(DOCUMENT, left)  # as after a kill
    study.close()
    joined = joining(toy, toy.events(toy.request(**SMALL)))
    joined.ended()
    assert not joined.errors


def test_a_worker_takes_the_grace_of_its_search(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_TRANSFER_GRACE", "77")
    toy.run(toy.request(trials=2, heads=("ridge",), strategies=("frozen",)))
    monkeypatch.delenv("AUTOML_TRANSFER_GRACE")
    study = toy.study()
    assert study.store.get(GRACE) == 77.0
    study.close()
    made = Worker(
        "toy",
        load_registry(extra=[toy.plugin], third_party=False),
        studies=toy.directory / "studies",
    )
    assert made.run().reason == "the search is finished"
    assert made._jobs is not None and made._jobs.grace == 77.0


@pytest.mark.slow
def test_jobs_that_vanish_are_offered_again(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a second search of the study on another machine, or a database set back."""
    toy.run(toy.request(**SMALL, study="alone"))
    slowed(monkeypatch, 0.02)
    gone: list[str] = []

    def take_away(_: Joined) -> None:
        if gone:
            return
        study = toy.study()
        jobs = study.store.jobs()
        gone.extend(
            one.key for one in jobs.standings() if one.state == "waiting" and one.key[0].isdigit()
        )
        jobs.withdraw(gone)
        study.close()

    joining(toy, toy.events(toy.request(**SMALL)), take_away).ended()
    assert gone, "nothing was offered"
    assert toy.compared() == toy.compared("alone")


def test_a_full_disk_at_a_rung_costs_no_trial(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl_transfer.training import tuning

    toy.run(toy.request(**SMALL, study="alone"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tuning, "park", full)
    events = toy.run(toy.request(**SMALL))
    assert isinstance(events[-1], Recommended)
    said = [event.text for event in events if isinstance(event, Note)]
    assert any("could not be kept at step" in text and "No space left" in text for text in said)
    assert toy.compared() == toy.compared("alone")


def test_files_for_workers_are_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl_transfer.stages import handover
    from automl_transfer.training import matrix

    features = np.zeros((4, 3), dtype=np.float32)

    def cut(_: object) -> Any:
        yield features[:2]
        raise KeyboardInterrupt

    candidate: Any = SimpleNamespace(features=features)
    monkeypatch.setattr(matrix, "blocks", cut)
    with pytest.raises(KeyboardInterrupt):
        handover.hand_over(candidate, tmp_path / "features.npy")
    assert list(tmp_path.iterdir()) == []


def test_a_watchdog_waits_for_a_while(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 1 s"):
        Worker("s", load_registry(third_party=False), studies=tmp_path, hang=0.0)


def test_a_second_look_for_a_search_that_has_just_begun(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "BEGIN_SECONDS", 0.2)
    toy.run(toy.request(trials=1, heads=("ridge",), strategies=("frozen",)))
    worker = Worker(
        "toy",
        load_registry(extra=[toy.plugin], third_party=False),
        studies=toy.directory / "studies",
        storage=f"sqlite:///{toy.directory / 'other.db'}",
    )
    with pytest.raises(StudyError, match="There is no search of study"):
        worker.run()


def test_a_worker_that_is_to_leave_while_it_waits_goes(tmp_path: Path) -> None:
    said: list[str] = []
    worker = Worker("gone", load_registry(third_party=False), studies=tmp_path, tell=said.append)
    threading.Timer(0.3, worker.leave).start()
    assert worker.run() == Tally(jobs=0, reason="it was asked to leave")
    assert "waiting for it, 1800 s at the most" in said[0] and str(tmp_path) in said[0]


def test_a_worker_that_is_to_leave_while_the_database_is_away_goes(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.run(toy.request(trials=1, heads=("ridge",), strategies=("frozen",)))
    registry = load_registry(extra=[toy.plugin], third_party=False)
    worker = Worker("toy", registry, studies=toy.directory / "studies")

    def away(*_: object) -> None:
        worker.leave()
        raise StudyError("The database is away.")

    monkeypatch.setattr(Worker, "_work", away)
    assert worker.run().reason == "it was asked to leave"


def test_a_worker_that_is_to_leave_while_it_reads_the_data_goes(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl_transfer.stages import load

    read: list[int] = []
    worker: list[Worker] = []

    def endless(*_: object) -> Iterator[Progress]:
        for number in itertools.count():
            read.append(number)
            worker[0].leave()
            yield Progress(what="reading", done=number, total=number + 1)

    def learn(self: Worker, store: object) -> None:
        setup: Any = SimpleNamespace(fingerprint="another")
        self._loaded(self._request(), setup)

    toy.run(toy.request(trials=1, heads=("ridge",), strategies=("frozen",)))
    study = toy.study()
    study.store.put("status", {"state": "running"})
    study.close()
    monkeypatch.setattr(load, "opened", endless)
    monkeypatch.setattr(Worker, "_learn", learn)
    registry = load_registry(extra=[toy.plugin], third_party=False)
    worker.append(Worker("toy", registry, studies=toy.directory / "studies"))
    assert worker[0].run().reason == "it was asked to leave"
    assert read == [0]
