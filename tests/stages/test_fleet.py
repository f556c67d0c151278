"""Workers that join a search: features and trials are shared, and come to the same."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl_transfer.errors import PluginError, StudyError, UsageError
from automl_transfer.events import DataLoaded, Event, Progress
from automl_transfer.plugins import load_registry
from automl_transfer.stages import divided
from automl_transfer.testing import toy as toys
from automl_transfer.working import Worker
from tests.toy_search import ToySearch

SMALL: dict[str, Any] = {
    "trials": 12,
    "epochs": 8,
    "backbones": ("toy/small",),
    "heads": ("linear",),
    "strategies": ("frozen", "full"),
}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToySearch:
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("AUTOML_TRANSFER_GRACE", "5")
    monkeypatch.setattr(divided, "LEAST", 20)
    monkeypatch.setattr(divided, "CHUNK", (4, 8))
    return ToySearch(tmp_path)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches take so long that two workers can share them.

    These workers are threads of one process, whose trainings draw from one generator of Torch;
    workers have one each. Without dropout they draw nothing.
    """
    slowed(monkeypatch, 0.02, plain=0.25)
    monkeypatch.setattr(torch.nn.Dropout, "forward", lambda self, rows: rows)


def slowed(monkeypatch: pytest.MonkeyPatch, seconds: float, plain: float = 0.0) -> None:
    whole = toys._Encoder.batch

    def batch(self: Any, rows: Any, generator: Any = None) -> Any:
        time.sleep(plain if generator is None and len(rows) <= 8 else seconds)
        return whole(self, rows, generator)

    monkeypatch.setattr(toys._Encoder, "batch", batch)


class Joined:
    """A worker in a thread of this process."""

    def __init__(self, toy: ToySearch, **options: Any) -> None:
        self.lines: list[str] = []
        self.errors: list[BaseException] = []
        registry = load_registry(extra=[toy.plugin], third_party=False)
        self.worker = Worker(
            "toy",
            registry,
            studies=toy.directory / "studies",
            device="cpu",
            threads=1,
            idle=60.0,
            tell=self.lines.append,
            **options,
        )
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.worker.run()
        except BaseException as error:
            self.errors.append(error)

    def ended(self) -> list[str]:
        self.worker.leave()
        self.thread.join(30)
        assert not self.thread.is_alive()
        return self.lines


def joining(
    toy: ToySearch,
    events: Iterator[Event],
    each: Callable[[Joined], object] = lambda _: None,
    **options: Any,
) -> Joined:
    """Runs a search to its end, with a worker from the moment that the data are known, and calls
    ``each`` at every event from then on."""
    joined = None
    for event in events:
        if joined is not None:
            each(joined)
        if isinstance(event, DataLoaded):
            joined = Joined(toy, **options)
            deadline = time.monotonic() + 30
            study = toy.study()
            while not study.store.jobs().workers() and time.monotonic() < deadline:
                if joined.errors:
                    break
                time.sleep(0.02)
            study.close()
    assert joined is not None
    return joined


@pytest.mark.slow
def test_features_and_trials_are_shared_and_come_to_the_same(
    toy: ToySearch, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy.run(toy.request(**SMALL, study="alone"))
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(toy.directory / "another"))
    joined = joining(toy, toy.events(toy.request(**SMALL)))
    lines = joined.ended()
    assert not joined.errors
    assert [line for line in lines if line.endswith("samples.")], "it computed no features"
    assert [line for line in lines if "to step" in line], "it trained nothing"
    assert toy.compared() == toy.compared("alone")
    study = toy.study()
    assert study.store.jobs().standings() == []
    assert not (study.directory / "shared").exists()
    assert not (study.directory / "parked").exists()
    study.close()


@pytest.mark.slow
def test_a_worker_with_a_cache_of_its_own_hands_features_over(
    toy: ToySearch, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on another machine: what it computes comes by the directory of the study."""
    from automl_transfer.stages import context as contexts
    from automl_transfer.training import array_group

    taken: list[int] = []
    whole = divided._take_in

    def take_in(group: array_group.ArrayGroup, ids: list[str], file: Path) -> None:
        assert set(group.missing(ids)) == set(ids)
        whole(group, ids, file)
        assert group.missing(ids) == []
        taken.append(len(ids))

    monkeypatch.setattr(divided, "_take_in", take_in)
    here = contexts.cache_directory

    def cache_directory() -> Path:
        mine = threading.current_thread() is threading.main_thread()
        return here() if mine else toy.directory / "of the worker"

    monkeypatch.setattr(contexts, "cache_directory", cache_directory)
    joined = joining(toy, toy.events(toy.request(**SMALL | {"strategies": ("frozen",)})))
    joined.ended()
    assert not joined.errors
    assert taken


def test_features_that_do_not_fit_are_not_taken_in(tmp_path: Path) -> None:
    class Group:
        def __init__(self) -> None:
            self.wrote: list[Any] = []

        def missing(self, ids: list[str]) -> list[str]:
            return ids

        def write(self, ids: list[str], rows: Any) -> None:
            self.wrote.append(rows)

    group: Any = Group()
    for wrong in (np.ones((3, 4)), np.full((2, 4), np.nan), np.ones(2)):
        np.save(tmp_path / "rows.npy", wrong)
        divided._take_in(group, ["a", "b"], tmp_path / "rows.npy")
    (tmp_path / "rows.npy").write_bytes(b"damaged")
    divided._take_in(group, ["a", "b"], tmp_path / "rows.npy")
    divided._take_in(group, ["a", "b"], tmp_path / "gone.npy")
    assert group.wrote == []


@pytest.mark.slow
def test_a_worker_that_knows_an_earlier_state_learns_the_present_one(
    toy: ToySearch, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features are asked for before any backbone is screened, fine-tunes after: between its look
    at the state of the search and its claim a worker may sleep for as long as it likes."""
    from automl_transfer.stages.shared_setup import SharedSetup

    toy.run(toy.request(**SMALL, study="alone"))
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(toy.directory / "another"))
    first: list[SharedSetup] = []
    whole = Worker._work

    def work(self: Worker, store: Any, jobs: Any) -> str:
        claim = jobs.claim

        def late(owner: str) -> Any:
            if first and not late_once:
                late_once.append(True)
                deadline = time.monotonic() + 60
                while time.monotonic() < deadline and not self._leaving.is_set():
                    now = SharedSetup.read(store)
                    if now is not None and now.revision != first[0].revision:
                        break
                    time.sleep(0.005)
            found = claim(owner)
            if found is not None and not first:
                state = SharedSetup.read(store)
                assert state is not None
                first.append(state)
            return found

        jobs.claim = late
        return whole(self, store, jobs)

    late_once: list[bool] = []
    monkeypatch.setattr(Worker, "_work", work)
    joined = joining(toy, toy.events(toy.request(**SMALL)))
    joined.ended()
    assert not joined.errors
    assert first and late_once, "it was never late"
    assert first[0].candidates == ()
    assert toy.compared() == toy.compared("alone")


@pytest.mark.slow
def test_a_worker_with_other_data_is_refused(toy: ToySearch) -> None:
    other = toys.write_toy_data(toy.directory / "other.toy.csv", n=90)
    joined = joining(toy, toy.events(toy.request(**SMALL)), data=str(other))
    joined.ended()
    (error,) = joined.errors
    assert isinstance(error, StudyError)
    assert "must see the data of the search" in str(error)
    assert toy.study().status["state"] == "finished"


@pytest.mark.slow
def test_a_worker_with_other_plugins_is_refused(toy: ToySearch) -> None:
    events = toy.events(toy.request(**SMALL))
    next(event for event in events if isinstance(event, DataLoaded))
    worker = Worker(
        "toy",
        load_registry(third_party=False),
        studies=toy.directory / "studies",
        device="cpu",
        idle=30.0,
    )
    errors: list[BaseException] = []

    def run() -> None:
        try:
            worker.run()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    study = toy.study()
    while not study.store.jobs().workers() and thread.is_alive():
        time.sleep(0.02)
    list(events)
    worker.leave()
    thread.join(30)
    study.close()
    assert errors, "the search was over before it looked"
    assert isinstance(errors[0], PluginError)
    assert "'toy/small' is missing here" in str(errors[0])


@pytest.mark.parametrize("said", ["0", "soon", "-3", "100000"])
def test_the_grace_is_a_number(toy: ToySearch, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("AUTOML_TRANSFER_GRACE", said)
    with pytest.raises(UsageError, match="AUTOML_TRANSFER_GRACE must be a number of seconds"):
        toy.run()


@pytest.mark.parametrize(("workers", "why"), [(0, "from 1 to 64"), (65, "from 1 to 64")])
def test_workers_are_counted(toy: ToySearch, workers: int, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        toy.request(workers=workers)


def test_workers_choose_their_devices(toy: ToySearch) -> None:
    with pytest.raises(UsageError, match="chooses the devices itself"):
        toy.request(workers=2, devices=("cpu", "cpu"))


def test_a_worker_waits_for_its_study_and_says_what_is_missing(tmp_path: Path) -> None:
    worker = Worker("gone", load_registry(third_party=False), studies=tmp_path, idle=0.2)
    with pytest.raises(StudyError, match="needs the directory of its study"):
        worker.run()


@pytest.mark.slow
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that was kept amid a rung goes on from the last rung if that is damaged."""
    from automl_transfer.stages import advancing
    from automl_transfer.training.tuning import Tuning

    slowed(monkeypatch, 0.004)
    request = toy.request(
        **SMALL | {"trials": 8, "epochs": 100, "strategies": ("full",)}, study="toy"
    )
    toy.run(toy.request(**vars(request) | {"study": "alone"}))
    monkeypatch.setattr("automl_transfer.training.tuning.AMID_SECONDS", 0.0)
    parked = toy.directory / "studies" / "toy" / "parked"
    events = toy.events(request)
    for event in events:
        both = {path.parent.parent for path in parked.glob("*/amid/trial.json")} & {
            path.parent.parent for path in parked.glob("*/0*/trial.json")
        }
        if both and isinstance(event, Progress):
            break
    events.close()  # type: ignore[attr-defined]
    places = list(parked.glob("*/amid/*.safetensors"))
    assert places, "nothing was kept amid a rung"
    for path in places:
        content = bytearray(path.read_bytes())
        content[-9] ^= 1
        path.write_bytes(content)
    loaded: list[Path] = []
    whole = Tuning.load.__func__  # type: ignore[attr-defined]

    def load(cls: type[Tuning], place: Path, **arguments: Any) -> Tuning:
        found: Tuning = whole(cls, place, **arguments)
        loaded.append(place)
        return found

    monkeypatch.setattr(Tuning, "load", classmethod(load))
    toy.run(request)
    assert advancing.AMID not in {path.name for path in loaded}
    assert [path for path in loaded if path.name.isdigit()]
    assert [row.value for row in toy.study().trials] == [
        row.value for row in toy.study("alone").trials
    ]
