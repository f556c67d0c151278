"""Ctrl-C and SIGTERM: the first stops the search cleanly, the second at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from automl_transfer.later import later

END_SECONDS = 7.0
"""Seconds after SIGTERM in which a process ends by itself: who sends it kills soon after, often
after 10 s, and Python hears of it only between two of its own steps."""
FIRST = b"\nStopping. What has ended is stored; Ctrl-C again stops at once.\n"
TERMINATED = b"\nStopping, as asked by SIGTERM. What has ended is stored.\n"
SHOW_CURSOR = b"\x1b[?25h"


class TerminatedError(KeyboardInterrupt):
    """Somebody asks this process to end by SIGTERM: a scheduler, a container, a shutdown."""


class Interrupt:
    """What somebody has asked for by a signal."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.number: int | None = None

    def check(self) -> None:
        """Raises once more what the signal raised: in a callback of the garbage collector Python
        prints an exception and goes on, as if nobody had asked."""
        if self.number == signal.SIGTERM:
            raise TerminatedError
        if self.number is not None:
            raise KeyboardInterrupt


@contextmanager
def two_steps() -> Iterator[Interrupt]:
    """Within the block, a first SIGINT raises KeyboardInterrupt, a first SIGTERM
    :class:`TerminatedError`, and a second of either ends the process.

    Yields:
        To be checked now and then.
    """
    asked = Interrupt()
    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may handle signals
        return

    def handle(number: int, _: FrameType | None) -> None:
        code = 128 + number
        # Straight to the descriptor: the interrupted code may be inside a buffered write.
        if asked.number is not None:
            if sys.stderr.isatty():
                os.write(2, SHOW_CURSOR)
            os._exit(code)
        asked.number = number
        if number == signal.SIGTERM:
            _end_soon(code)
        os.write(2, TERMINATED if number == signal.SIGTERM else FIRST)
        asked.check()

    with _handled(handle):
        yield asked


@contextmanager
def leaving(leave: Callable[[], None]) -> Iterator[list[int]]:
    """Within the block a first SIGINT or SIGTERM calls ``leave``, a second ends the process, and
    so does the time: who asks by SIGTERM kills soon after.

    Yields:
        The signals that came, as they come.
    """
    came: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        came.append(number)
        if len(came) > 1:
            os._exit(128 + number)
        leave()
        _end_soon(128 + number)

    with _handled(handle):
        yield came


@contextmanager
def _handled(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [(number, signal.signal(number, handle)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _end_soon(code: int) -> None:
    """Ends the process when its time is over, whatever it is at then."""
    later(END_SECONDS, os._exit, code)
