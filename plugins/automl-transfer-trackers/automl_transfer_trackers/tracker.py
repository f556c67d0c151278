"""What a tracker is. To add one: a module with a class that keeps to this, a line in
``choice.py``, and an extra for its library."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from automl_transfer.space import Scalar
from automl_transfer_trackers.trials import Ending, Origin, Point, Trial

Axis = Literal["trials", "samples"]
"""What values of a search are drawn over: trials that have ended, or samples looked at."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """A study, as trackers know it."""

    study: str
    identity: str
    """Its own, over all its sessions."""
    directory: Path

    @property
    def unique(self) -> str:
        """A name that no other study has: the same one may come from several directories, or again
        after a deletion."""
        return f"{self.study}-{self.identity[:8]}"


class Tracker(Protocol):
    """Where a search is written to.

    It is made in the thread of the search, where it imports its library and does nothing else that
    takes long or may fail; every other call comes from one thread of its own, in the order below.
    What a call raises switches the tracker off.
    """

    def open(self, search: Search) -> None:
        """A session of a search begins, the first or a later one."""

    def facts(self, facts: Mapping[str, Scalar], at: int) -> None:
        """What is known of the whole search, the data, the metric, the budget; each session tells
        of it anew, after so many trials."""

    def values(self, values: Mapping[str, float], axis: Axis, at: int) -> None:
        """Numbers about the whole search."""

    def text(self, name: str, text: str, at: int) -> None:
        """Words about the whole search, in Markdown, after so many trials."""

    def trial_started(self, trial: Trial, origin: Origin) -> None:
        """A trial begins; many may be open at once."""

    def trial_reached(self, trial: Trial, point: Point) -> None:
        """Its curve goes on, from left to right."""

    def trial_ended(self, trial: Trial, ending: Ending) -> None:
        """It is over, finished, pruned or failed."""

    def flush(self) -> None:
        """Nothing is waiting: what has been told should be readable."""

    def close(self, *, finished: bool) -> None:
        """The session is over; not finished: it was interrupted, and may be resumed."""
