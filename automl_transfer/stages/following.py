"""Follows a function that reports by a callback, so that a stage can yield while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from typing import TypeVar

from automl_transfer.budget import environment_seconds
from automl_transfer.contracts import Progress
from automl_transfer.errors import TrialError
from automl_transfer.events import Progress as Step

T = TypeVar("T")
THREAD = "following"
"""Name of the threads: one that does not end in time is left behind, which an end of the process
must know."""
SECONDS = 0.5
"""Between two looks."""
_PATIENCE = 5.0
"""For a function that is to end early, but does not report and so does not know it yet."""


HANG_SECONDS = 600.0
"""After which a training whose steps do not go on is given up."""
HANG_VARIABLE = "AUTOML_TRANSFER_HANG"
"""Environment variable with another number of seconds."""


class HungError(TrialError):
    """The work goes on no more, and cannot be interrupted."""

    kind = "hung"


def usual_hang() -> float:
    """Seconds after which work is taken for hung: as the environment says, or
    :data:`HANG_SECONDS`.

    Raises:
        UsageError: The environment says what is no number of at least 1.
    """
    return environment_seconds(HANG_VARIABLE, HANG_SECONDS)


class Silence:
    """Seconds since the last sign of life, as far as somebody looked: while the whole process
    stood still (Ctrl-Z, a frozen container, a machine that slept), nothing could go on."""

    def __init__(self, every: float) -> None:
        """Begins now.

        Args:
            every: Seconds between two looks, about.
        """
        self._most = 2 * every
        self._looked = time.monotonic()
        self._seconds = 0.0

    def end(self) -> None:
        """A sign of life. From any thread."""
        self._seconds = 0.0

    def look(self) -> float:
        """How long there has been none."""
        now = time.monotonic()
        self._seconds += min(now - self._looked, self._most)
        self._looked = now
        return self._seconds


_ALIVE = threading.local()


def sign_of_life() -> None:
    """Says that the work that :func:`following` runs in this thread goes on, though it has nothing
    to report."""
    silence: Silence | None = getattr(_ALIVE, "silence", None)
    if silence is not None:
        silence.end()


class _AbandonedError(BaseException):
    """Raised in the function where it reports, when nobody follows it any more."""


def following(
    work: Callable[[Progress], T], hang: float = float("inf")
) -> Generator[tuple[int, int], None, T]:
    """Runs ``work`` in a thread.

    Args:
        work: Calls its argument with how many are done and how many there are.
        hang: Seconds without a call, or a :func:`sign_of_life`, after which it is given up. What
            hangs in a driver or a file system cannot be ended: its thread is left behind.

    Yields:
        The latest of these, as often as one looks, and the last one.

    Returns:
        What ``work`` returned; what it raised is raised here.

    Raises:
        HungError: It went on no more.
    """
    latest: tuple[int, int] | None = None
    results: list[T] = []
    errors: list[BaseException] = []
    # Not by joining the thread: a join that Ctrl-C interrupts takes it for ended (CPython 3.11,
    # `Thread._wait_for_tstate_lock`), and nobody waits for it or knows of it any more.
    abandoned, ended = threading.Event(), threading.Event()
    silence = Silence(SECONDS)

    def progress(done: int, total: int) -> None:
        nonlocal latest
        silence.end()
        if abandoned.is_set():
            raise _AbandonedError
        latest = (done, total)

    def run() -> None:
        _ALIVE.silence = silence
        try:
            results.append(work(progress))
        except BaseException as error:
            errors.append(error)
        finally:
            ended.set()

    threading.Thread(target=run, daemon=True, name=THREAD).start()
    told: tuple[int, int] | None = None
    try:
        running = True
        while running:
            running = not ended.wait(SECONDS)
            if latest is not None and latest != told:
                told = latest
                yield told
            if running and silence.look() > hang:
                raise HungError(
                    f"No step was done for {silence.look():.0f} s, so it was given up. "
                    "A file that cannot be read, or a driver, may be the cause."
                )
    finally:
        abandoned.set()
        ended.wait(_PATIENCE)
    if errors:
        raise errors[0]
    return results[0]


def followed(
    what: str, work: Callable[[Progress], T], hang: float = float("inf")
) -> Generator[Step, None, T]:
    """As :func:`following`, with the progress of ``what`` as events."""
    run = following(work, hang)
    while True:
        try:
            done, total = next(run)
        except StopIteration as stop:
            result: T = stop.value
            return result
        yield Step(what=what, done=done, total=total)
