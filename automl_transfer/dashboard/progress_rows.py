"""Trials in the order in which they ended, with the best until then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import plain
from automl_transfer.summary import Summary

MOST_POINTS = 2000
"""Trials that a chart draws."""
_SLACK = 60.0
"""Seconds by which clocks may differ before a pause is believed."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Trials that have a value, in the order in which they ended."""

    rows: pd.DataFrame
    """Columns ``trial``, ``what``, ``stage``, ``state``, ``value``, ``place`` (1, 2, ...),
    ``seconds`` (since the first trial began; missing if not ``timed``), ``best`` (value of the
    best finished one until then) and ``gain`` (whether it is that one)."""
    timed: bool
    """Whether it is known when they ended."""

    @property
    def finished(self) -> pd.DataFrame:
        """The rows that count: pruned and running trials have a last value, but no result."""
        return self.rows[self.rows["state"] == "finished"]


def progress(study: Snapshot) -> Progress:
    """How a search came on, on the validation part."""
    trials = [one for one in study.everything if one.state != "failed" and one.shown is not None]
    spent = study.status.get("spent")
    ends = moments(trials, float(spent) if isinstance(spent, (int, float)) else 0.0)
    order = range(len(trials)) if ends is None else np.argsort(ends, kind="stable").tolist()
    known = cache(plain)  # of few names, thousands of times
    rows = [
        (
            trials[at].number,
            f"{known(trials[at].backbone)} + {known(trials[at].head)}, "
            f"{known(trials[at].strategy)}",
            known(trials[at].stage),
            trials[at].state,
            trials[at].shown,
            None if ends is None else ends[at],
        )
        for at in order
    ]
    frame = pd.DataFrame(rows, columns=["trial", "what", "stage", "state", "value", "seconds"])
    frame = frame.astype({"value": "float64", "seconds": "float64"})
    frame["place"] = np.arange(1, len(frame) + 1)
    counted = frame["value"].where(frame["state"] == "finished")
    frame["best"] = counted.cummax().ffill()
    before = frame["best"].shift()
    frame["gain"] = counted.notna() & (before.isna() | (counted > before))
    return Progress(rows=frame, timed=ends is not None)


def moments(trials: Sequence[Summary], spent: float) -> NDArray[np.float64] | None:
    """Seconds from the beginning of the first trial to the end of each; None if not known.

    A study that was resumed has pauses, in which nothing ran: as many of the longest ones are
    left out as it takes for the rest to fit into the time spent.

    Args:
        trials: In any order.
        spent: Seconds of all sessions; 0 if that is not known.
    """
    try:
        began = np.array([datetime.fromisoformat(one.started).timestamp() for one in trials])
    except (ValueError, OverflowError, OSError, TypeError):
        return None
    if len(trials) > 2 and len(np.unique(began)) < 2:
        return None
    if not len(trials):
        return np.zeros(0)
    began = began - began.min()
    ended = began + np.array([one.seconds for one in trials], dtype=float)
    order = np.argsort(began, kind="stable")
    reached = np.maximum.accumulate(ended[order])[:-1]
    gaps = began[order][1:] - reached
    over = float(ended.max()) - spent if spent else 0.0
    cut = np.zeros(len(trials))
    for at in np.argsort(-gaps, kind="stable"):
        if over <= _SLACK or gaps[at] <= _SLACK:
            break
        over -= float(gaps[at])
        cut[order[at + 1 :]] += gaps[at]
    found: NDArray[np.float64] = ended - cut
    return found


def thinned(frame: pd.DataFrame, most: int = MOST_POINTS) -> pd.DataFrame:
    """At most so many rows: all that were a gain, and of the others every so-manieth."""
    if len(frame) <= most:
        return frame
    gains = np.flatnonzero(frame["gain"].to_numpy())[-most:]
    others = np.setdiff1d(np.arange(len(frame)), gains)
    room = most - len(gains)
    kept = others[np.linspace(0, len(others) - 1, room).round().astype(int)] if room else []
    return frame.iloc[np.unique(np.concatenate([gains, kept]).astype(int))]
