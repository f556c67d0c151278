"""One process a device: the same search, whatever becomes of the processes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from automl_transfer.cards import HeadCard, ModalityCard
from automl_transfer.entries import Sources
from automl_transfer.errors import PluginError, UsageError
from automl_transfer.events import Note, TrialEnded, TrialStarted
from automl_transfer.hookspecs import hookimpl
from automl_transfer.space import Scalar
from automl_transfer.stages.advancing import Begun, Ended, in_order
from automl_transfer.stages.forecast import together
from automl_transfer.stages.handover import Hello
from automl_transfer.testing import toy as toy_module
from automl_transfer.testing.toy import MODALITY, ToyModality, ToyPlugin
from tests.toy_search import ToySearch, comparable

MARK = "TOY_WORKER_MARK"
"""Environment variable: directory in which a head leaves marks, for other processes."""
TWO = ("cpu", "cpu")
RUNGS: dict[str, Any] = {
    "trials": 16,
    "epochs": 100,
    "backbones": ("toy/small",),
    "strategies": ("frozen", "full", "last-stages"),
}
"""Two batches of fine-tuning trials over two rungs."""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToySearch:
    """A directory for a search of its own."""
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv(MARK, str(tmp_path))
    return ToySearch(tmp_path)


def in_worker() -> bool:
    return multiprocessing.parent_process() is not None


class HeadPlugin:
    """A head beside the toy modality; importable, so that workers get it."""

    def __init__(self, name: str) -> None:
        self.name = name

    @hookimpl
    def automl_transfer_heads(self) -> list[HeadCard]:
        return [HeadCard(id=f"bad/{self.name}", factory=f"{__name__}:{self.name}_head")]


def linear(width: int, classes: int) -> object:
    import torch

    return torch.nn.Linear(width, classes)


def failing_head(*, width: int, classes: int, params: Mapping[str, Scalar]) -> object:
    """A head that cannot be built in a worker."""
    if in_worker():
        raise ZeroDivisionError("a bug in the plugin")
    return linear(width, classes)


def dying_head(*, width: int, classes: int, params: Mapping[str, Scalar]) -> object:
    """A head that kills the worker that builds it, the first time that one does."""
    mark = Path(os.environ[MARK]) / "killed"
    with contextlib.suppress(FileExistsError):
        if not in_worker():
            return linear(width, classes)
        mark.touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)
    return linear(width, classes)


def deadly_head(*, width: int, classes: int, params: Mapping[str, Scalar]) -> object:
    """A head that kills each worker that builds it."""
    if in_worker():
        os.kill(os.getpid(), signal.SIGKILL)
    return linear(width, classes)


def modality_here() -> ToyModality:
    """A kind of data that no worker can read."""
    if in_worker():
        raise OSError("the disk is not mounted here")
    return ToyModality()


class LocalToy(ToyPlugin):
    """The toy backbones for data that no worker can read."""

    @hookimpl
    def automl_transfer_modalities(self) -> list[ModalityCard]:
        return [replace(MODALITY, factory=f"{__name__}:modality_here")]


class FickleModule:
    """A plugin that offers something else in each process."""

    @hookimpl
    def automl_transfer_heads(self) -> list[HeadCard]:
        return [HeadCard(id=f"fickle/{os.getpid()}", factory=f"{__name__}:failing_head")]


@pytest.mark.slow
@pytest.mark.parametrize("pruner", ["rungs", "median"])
def test_two_processes_come_to_the_same_trials_as_one(toy: ToySearch, pruner: str) -> None:
    toy.run(toy.request(**RUNGS, pruner=pruner, study="alone"))
    events = toy.run(toy.request(**RUNGS, pruner=pruner, study="two", devices=TWO))
    alone, two = toy.study("alone").trials, toy.study("two").trials
    assert comparable(two) == comparable(alone)
    tuned = [row for row in two if row.stage == "tune"]
    assert {"finished", "pruned"} <= {row.state for row in tuned} or pruner == "median"
    assert len(tuned) >= 9 and {row.device for row in two} == {"cpu"}
    begun = [event.number for event in events if isinstance(event, TrialStarted)]
    assert len(begun) == len(set(begun)) == len(two)
    assert not multiprocessing.active_children()
    left = {path.name for path in toy.study("two").directory.iterdir()}
    assert "workers" not in left


@pytest.mark.slow
def test_a_killed_worker_costs_nothing_but_time(toy: ToySearch) -> None:
    request = toy.request(heads=("bad/dying",), trials=12)
    toy.run(request, [HeadPlugin("dying")])
    alone = toy.study().trials
    events = toy.run(toy.request(heads=("bad/dying",), trials=12, study="two", devices=TWO),
                     [HeadPlugin("dying")])  # fmt: skip
    assert (toy.directory / "killed").exists()
    assert toy.compared("two") == comparable(alone)
    assert not [row for row in alone if row.state == "failed"]
    notes = [event.text for event in events if isinstance(event, Note)]
    assert len([text for text in notes if "SIGKILL" in text and "begun again" in text]) == 1


@pytest.mark.slow
def test_a_trial_that_kills_its_process_each_time_fails_alone(toy: ToySearch) -> None:
    request = toy.request(
        heads=("linear", "bad/deadly"), strategies=("frozen", "full"), trials=16, devices=TWO
    )
    toy.run(request, [HeadPlugin("deadly")])
    study = toy.study()
    tuned = [row for row in study.trials if row.stage == "tune"]
    deadly = [row for row in tuned if row.configuration.head == "bad/deadly"]
    assert len(study.trials) == 16
    assert deadly and all(row.state == "failed" for row in deadly)
    assert all("SIGKILL" in (row.reason or "") and "2 times" in (row.reason or "")
               for row in deadly)  # fmt: skip
    others = [row for row in tuned if row.configuration.head == "linear"]
    assert others and all(row.state != "failed" for row in others)
    assert study.recommendation is not None


@pytest.mark.slow
def test_without_any_process_left_the_search_still_answers(toy: ToySearch) -> None:
    toy.plugin = LocalToy(toy.plugin.automl_transfer_backbones())
    events = toy.run(toy.request(trials=12, devices=TWO))
    study = toy.study()
    tuned = [row for row in study.trials if row.stage == "tune"]
    assert tuned and all(row.state == "failed" for row in tuned)
    assert all("no process is left" in (row.reason or "") for row in tuned)
    assert all("the disk is not mounted here" in (row.reason or "") for row in tuned)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert len([text for text in notes if text.startswith("No more trials on cpu")]) == 2
    assert study.recommendation is not None


@pytest.mark.slow
def test_an_error_in_a_worker_is_the_reason_of_its_trial(toy: ToySearch) -> None:
    request = toy.request(
        heads=("bad/failing",), strategies=("frozen", "full"), trials=5, devices=TWO
    )
    toy.run(request, [HeadPlugin("failing")])
    tuned = [row for row in toy.study().trials if row.stage == "tune"]
    assert tuned
    for row in tuned:
        assert (row.state, row.reason) == (
            "failed",
            "error: ZeroDivisionError('a bug in the plugin')",
        )


@pytest.mark.slow
def test_a_search_with_workers_that_is_broken_off_goes_on(toy: ToySearch) -> None:
    wanted = toy.request(**RUNGS, study="alone")
    toy.run(wanted)
    request = toy.request(**RUNGS, devices=TWO)
    events = toy.events(request)
    begun = 0
    for event in events:
        begun += isinstance(event, TrialEnded) and event.outcome.stage == "tune"
        if begun == 2:
            break
    events.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()
    assert toy.study().status["state"] == "interrupted"
    toy.run(toy.request(**RUNGS))
    assert toy.compared() == toy.compared("alone")


@pytest.mark.slow
def test_time_over_ends_the_trials_in_the_workers(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl_transfer import budget

    monkeypatch.setattr(budget, "MINIMUM_SECONDS", 1.0)
    toy.run(toy.request(trials=None, epochs=None, budget_seconds=50.0, devices=TWO))
    study = toy.study()
    assert study.recommendation is not None
    assert [row for row in study.trials if row.stage == "tune" and row.state == "finished"]
    assert study.status["spent"] <= 50.0 * 1.1
    assert not multiprocessing.active_children()


def test_one_device_starts_no_process(toy: ToySearch, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr("automl_transfer.stages.workers.Workers.__init__", none)
    toy.run(toy.request(devices=("cpu",), trials=8))
    toy.run(toy.request(devices=TWO, strategies=("frozen",), trials=4, study="frozen"))


def test_processes_that_offer_something_else_are_refused(toy: ToySearch) -> None:
    with pytest.raises(PluginError, match=r"process for cpu must offer .*'fickle/\d+' is .*miss"):
        toy.run(toy.request(devices=TWO), [FickleModule()])
    assert not multiprocessing.active_children()


def test_a_plugin_that_cannot_be_handed_over_is_refused(toy: ToySearch) -> None:
    @hookimpl
    def automl_transfer_heads() -> list[HeadCard]:
        return []

    plugin = SimpleNamespace(__name__="local", automl_transfer_heads=automl_transfer_heads)
    with pytest.raises(UsageError, match="can be pickled, but: .*automl_transfer_heads"):
        toy.run(toy.request(devices=TWO), [plugin])
    assert not multiprocessing.active_children()


def test_a_device_that_is_not_there_is_refused(toy: ToySearch) -> None:
    with pytest.raises(UsageError, match=r"--devices must be auto or one of .*'cuda:97'"):
        toy.run(toy.request(devices=("cuda:97", "cuda:98"), device="auto"))


def test_modules_go_by_name_and_the_order_of_plugins_stays() -> None:
    plugins = (HeadPlugin("failing"), toy_module, HeadPlugin("dying"))
    hello = Hello.of(Sources(extra=plugins, third_party=False))
    assert toy_module not in hello.objects
    assert hello.plugins() == list(plugins) and not hello.third_party


SCRIPT = """
import multiprocessing
import signal
from pathlib import Path

if __name__ == "__main__":
    # A test run in the background of a shell hands on that Ctrl-C is ignored; a terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from automl_transfer.events import TrialStarted
    from automl_transfer.plugins import load_registry
    from automl_transfer.searching import run_search
    from tests.toy_search import ToySearch, comparable

    toy = ToySearch(Path({directory!r}))
    request = toy.request(trials=300, epochs=500, devices=("cpu", "cpu"))
    for event in toy.events(request):
        if isinstance(event, TrialStarted) and event.stage == "tune":
            print(*[child.pid for child in multiprocessing.active_children()], flush=True)
"""


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("end", ["SIGINT", "SIGKILL"])
def test_no_process_outlives_the_search(
    toy: ToySearch, repository: Path, end: str, tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(directory=str(tmp_path)), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    search = subprocess.Popen(
        [sys.executable, script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        start_new_session=True,  # so that Ctrl-C goes to the processes as it would in a terminal
    )
    assert search.stdout is not None and search.stderr is not None
    try:
        workers = [int(pid) for pid in search.stdout.readline().split()]
        assert len(workers) == 2, search.stderr.read()
        if end == "SIGINT":
            os.killpg(search.pid, signal.SIGINT)
        else:
            search.kill()
        search.communicate(timeout=30)
        until = time.monotonic() + 20
        while any(map(is_there, workers)) and time.monotonic() < until:
            time.sleep(0.1)
        assert not [pid for pid in workers if is_there(pid)]
    finally:
        search.kill()
        search.communicate()


def ended(number: int) -> Ended:
    return Ended(number=number, device="cpu", seconds=1.0, reason="x")


def test_ends_are_told_in_order_whoever_is_first() -> None:
    steps = [Begun(number=1), Begun(number=2), ended(2), Begun(number=3), ended(3), ended(1)]
    told = list(in_order(iter(steps), [1, 2, 3]))
    assert [step for step in told if isinstance(step, Ended)] == [ended(1), ended(2), ended(3)]
    assert [step for step in told if isinstance(step, Begun)] == [*steps[:2], steps[3]]


@pytest.mark.parametrize(("lanes", "expected"), [(1, 10.0), (2, 6.0), (3, 4.0), (9, 4.0)], ids=str)
def test_trials_side_by_side_take_as_long_as_the_fullest_device(
    lanes: int, expected: float
) -> None:
    assert together([3.0, 2.0, 4.0, 1.0], lanes) == expected
    assert together([], lanes) == 0.0
