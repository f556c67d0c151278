"""When this process began: a user waits from there on, and imports take seconds."""

from __future__ import annotations

import os
import time
from pathlib import Path

CROWDED = 8.0
"""At most so many times longer than it computes does a process take to begin."""


def began() -> float:
    """The beginning of this program by the monotonic clock.

    Where the system does not tell it, what this process has computed so far is taken for its age.
    A shell that runs the program in its own place, as the last of several, leaves it its age as
    well: what cannot have been spent on beginning is not counted.
    """
    computed = time.process_time()
    return time.monotonic() - max(computed, min(_age(), CROWDED * computed))


def _age() -> float:
    """Seconds since this process began, as Linux tells it (``man 5 proc``); elsewhere 0."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        # The name of the program, in brackets, may hold anything; field 22 is the start in ticks.
        start = int(fields.rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - start
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
