"""How long a search may take, in seconds or in trials."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from automl_transfer.errors import UsageError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
_PIECE = re.compile(r"(\d+(?:\.\d+)?)([smhd])")

DEFAULT_SECONDS = 600.0
"""Of a search that is given neither a time nor a number of trials."""

MINIMUM_SECONDS = 30.0
"""Below this not even the cheapest backbone gets through the data."""


MOST_CROWDED = 5.0
"""Beyond this a moment of crowding says nothing of the minutes that follow."""
_PROBE = 0.03


def parse_duration(text: str) -> float:
    """Seconds in a text such as ``90s``, ``5m``, ``1h30m`` or ``2d``; a bare number is seconds.

    Raises:
        UsageError: The text is no duration.
    """
    cleaned = text.strip().lower().replace(" ", "")
    if re.fullmatch(r"\d+(?:\.\d+)?", cleaned):
        return float(cleaned)
    if not _DURATION.fullmatch(cleaned):
        raise UsageError(
            f"A duration is a number with s, m, h or d (90s, 5m, 1h30m, 2d), but got {text!r}."
        )
    return sum(float(number) * _UNITS[unit] for number, unit in _PIECE.findall(cleaned))


def environment_seconds(name: str, usual: float, most: float = math.inf) -> float:
    """Seconds that a variable of the environment says, or ``usual`` where it says nothing.

    Raises:
        UsageError: It says what is no number from 1 to ``most``.
    """
    said = os.environ.get(name)
    if not said:
        return usual
    try:
        found = float(said)
    except ValueError:
        found = 0.0
    if not 1 <= found <= most:
        until = f" to {most:.0f}" if math.isfinite(most) else ""
        raise UsageError(f"{name} must be a number of seconds from 1{until}, but is {said!r}.")
    return found


def format_duration(seconds: float) -> str:
    """``1h 30m``, ``5m``, ``12s``: the two largest units, rounded to the smaller of them."""
    left = max(0, round(seconds))
    for larger, smaller in (("d", "h"), ("h", "m")):
        if left >= _UNITS[larger]:
            step = int(_UNITS[smaller])
            left = (left + step // 2) // step * step
    parts = []
    for unit in "dhms":
        amount, left = divmod(left, int(_UNITS[unit]))
        if amount:
            parts.append(f"{amount}{unit}")
    return " ".join(parts[:2]) or "0s"


def exact_duration(seconds: float) -> str:
    """A text that :func:`parse_duration` reads as exactly ``seconds``: ``1h30m``, ``5445s``."""
    rounded = format_duration(seconds).replace(" ", "")
    if parse_duration(rounded) == seconds:
        return rounded
    # Decimal, since a float prints itself as 1e+16 and the like, which is no duration.
    digits = f"{Decimal(repr(float(seconds))):f}"
    return f"{digits.removesuffix('.0')}s"


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Wall time, or a number of trials, or both: whichever ends first."""

    seconds: float | None = None
    trials: int | None = None

    def __post_init__(self) -> None:
        if self.seconds is None and self.trials is None:
            raise UsageError("A search needs --budget or --trials, but got neither.")
        if self.seconds is not None and not math.isfinite(self.seconds):
            raise UsageError(
                f"--budget must be a number of seconds, but got {self.seconds}. For a search "
                "without a limit in time, give --trials only."
            )
        if self.seconds is not None and self.seconds < MINIMUM_SECONDS:
            raise UsageError(
                f"--budget must be at least {MINIMUM_SECONDS:.0f}s, but got {self.seconds:g}s."
            )
        if self.trials is not None and self.trials < 1:
            raise UsageError(f"--trials must be at least 1, but got {self.trials}.")

    @property
    def text(self) -> str:
        """For people."""
        parts = []
        if self.seconds is not None:
            parts.append(format_duration(self.seconds))
        if self.trials is not None:
            parts.append(f"{self.trials} trials")
        return " or ".join(parts)


def crowding(
    now: Callable[[], float] = time.monotonic, own: Callable[[], float] = time.thread_time
) -> float:
    """How many times longer work takes here at present than on an idle core, from 1 to
    :data:`MOST_CROWDED`: seconds that pass for one that this thread is given.

    Measured on work that does nothing, for :data:`_PROBE` seconds of this thread.

    Args:
        now: Tells the time.
        own: Tells the seconds that this thread has computed.
    """
    began, worked = now(), own()
    while own() - worked < _PROBE:
        pass
    return min(MOST_CROWDED, max(1.0, (now() - began) / (own() - worked)))


class Stopwatch:
    """Time spent on a study, over all its sessions, and what is left of the budget."""

    def __init__(
        self,
        budget: Budget,
        spent: float = 0.0,
        now: Callable[[], float] = time.monotonic,
        started: float | None = None,
    ) -> None:
        self.budget = budget
        self._spent_before = spent
        self._now = now
        self._start = now() if started is None else started

    @property
    def elapsed(self) -> float:
        """Seconds spent on the study, earlier sessions included."""
        return self._spent_before + self._now() - self._start

    @property
    def timed(self) -> bool:
        """Whether there is a time budget at all."""
        return self.budget.seconds is not None

    @property
    def left(self) -> float:
        """Seconds left; infinite when the budget is in trials only."""
        if self.budget.seconds is None:
            return float("inf")
        return self.budget.seconds - self.elapsed

    def share(self, fraction: float) -> float:
        """``fraction`` of the whole time budget in seconds; infinite without one."""
        return float("inf") if self.budget.seconds is None else self.budget.seconds * fraction
