"""A function that reports by a callback becomes something that can be followed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from automl_transfer.errors import DataError
from automl_transfer.stages import following as module
from automl_transfer.stages.following import following


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS", 0.01)


def test_it_yields_while_the_work_is_done_and_returns_its_result() -> None:
    go_on = threading.Event()

    def work(progress: Callable[[int, int], None]) -> str:
        progress(1, 2)
        assert go_on.wait(20)
        progress(2, 2)
        return "done"

    run = following(work)
    assert next(run) == (1, 2)
    go_on.set()
    assert next(run) == (2, 2)
    with pytest.raises(StopIteration) as end:
        next(run)
    assert end.value.value == "done"


def test_of_many_reports_the_latest_is_told() -> None:
    def work(progress: Callable[[int, int], None]) -> None:
        for place in range(10_000):
            progress(place + 1, 10_000)

    told = list(following(work))
    assert told[-1] == (10_000, 10_000)
    assert told == sorted(set(told)) and len(told) < 5000


def test_what_it_raises_is_raised() -> None:
    def work(progress: Callable[[int, int], None]) -> None:
        raise DataError("no data")

    with pytest.raises(DataError, match="no data"):
        list(following(work))


def test_it_ends_when_nobody_follows_it_any_more() -> None:
    ended = threading.Event()

    def work(progress: Callable[[int, int], None]) -> None:
        try:
            while True:
                progress(1, 2)
                time.sleep(0.001)
        finally:
            ended.set()

    run = following(work)
    next(run)
    run.close()
    assert ended.is_set()


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_waits_waits_for_the_function_to_end(
    sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise what the function keeps when it is left would be cut off by the process's end."""
    monkeypatch.setattr(module, "SECONDS", 5.0)
    kept: list[int] = []
    begun = threading.Event()

    def work(progress: Callable[[int, int], None]) -> None:
        begun.set()
        try:
            for step in range(2000):
                time.sleep(0.01)
                progress(step, 2000)
        finally:
            time.sleep(0.3)
            kept.append(1)

    def raising(*_: object) -> None:
        raise KeyboardInterrupt

    def signalling() -> None:
        begun.wait()
        time.sleep(0.2)
        os.kill(os.getpid(), sign)

    before = signal.signal(sign, raising)
    threading.Thread(target=signalling, daemon=True).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in following(work):
                pass
        assert kept == [1]
    finally:
        signal.signal(sign, before)
