"""Something that is to happen after a while, whatever else goes on by then."""

from __future__ import annotations

import threading
from collections.abc import Callable


def later(seconds: float, work: Callable[..., object], *arguments: object) -> None:
    """Calls ``work`` in a thread of its own, which no end of the process waits for."""
    timer = threading.Timer(seconds, work, arguments)
    timer.daemon = True
    timer.start()
