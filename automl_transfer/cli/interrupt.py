"""Ctrl-C: the first stops the search cleanly, the second at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

FIRST = b"\nStopping. What has ended is stored; Ctrl-C again stops at once.\n"
SHOW_CURSOR = b"\x1b[?25h"


@contextmanager
def two_steps() -> Iterator[None]:
    """Within the block, a first SIGINT raises KeyboardInterrupt and a second ends the process."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may handle signals
        return
    seen = 0

    def handle(_: int, __: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        # Straight to the descriptor: the interrupted code may be inside a buffered write.
        if seen > 1:
            if sys.stderr.isatty():
                os.write(2, SHOW_CURSOR)
            os._exit(130)
        os.write(2, FIRST)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
