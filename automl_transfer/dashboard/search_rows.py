"""Tables of how the search went. Every text is made printable."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

import pandas as pd

from automl_transfer.dashboard.hints import hint
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import plain
from automl_transfer.summary import Summary

MOST_CURVES = 50
"""Curves in one chart; more cannot be told apart."""
PRUNED_CURVES = 15
"""Of them for pruned trials, if there are so many: the best ones alone would show none."""
_PARTICULAR = re.compile(r"0x[0-9a-f]+|\d[\d,.]*")
"""What differs between reasons that are the same."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Failed trials with the same reason."""

    reason: str
    """Its first line, of the first of them."""
    numbers: tuple[int, ...]
    hint: str
    """What can be done; may be empty."""


def failures(snapshot: Snapshot) -> list[Failure]:
    """Failed trials grouped by the first line of their reason, the most frequent first.

    Reasons that differ in numbers only are the same.
    """
    groups: dict[str, list[Summary]] = defaultdict(list)
    for trial in snapshot.trials:
        if trial.state == "failed":
            groups[_PARTICULAR.sub("…", _reason(trial))].append(trial)
    return [
        Failure(
            reason=_reason(found[0]),
            numbers=tuple(trial.number for trial in found),
            hint=hint(found[0].reason or ""),
        )
        for found in sorted(groups.values(), key=lambda found: -len(found))
    ]


def _reason(trial: Summary) -> str:
    return plain(((trial.reason or "").strip() or "no reason was stored").splitlines()[0])


def seconds_saved(snapshot: Snapshot) -> float | None:
    """Seconds that pruning saved, as an estimate; None where nothing was pruned.

    What was left of a pruned trial: the epochs that it was still allowed, at its own pace; where
    that is not stored, what finished trials of the same stage, backbone and strategy took (their
    median; else of the stage and strategy), less what it took itself.
    """
    pruned = [trial for trial in snapshot.trials if trial.state == "pruned"]
    if not pruned:
        return None
    known: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for trial in snapshot.best_first:
        known[trial.stage, trial.strategy, trial.backbone].append(trial.seconds)
        known[trial.stage, trial.strategy].append(trial.seconds)
    usual = {key: median(values) for key, values in known.items()}
    saved = 0.0
    for trial in pruned:
        if 0 < trial.done < trial.epochs:
            saved += (trial.epochs - trial.done) * trial.seconds / trial.done
            continue
        near = trial.stage, trial.strategy, trial.backbone
        whole = usual.get(near, usual.get(near[:2]))
        if whole is not None:
            saved += max(0.0, whole - trial.seconds)
    return saved


def with_curves(trials: Iterable[Summary], backbone: str | None) -> tuple[list[int], list[int]]:
    """Trials whose curves are worth a look: those not pruned, and pruned ones, by their numbers.

    Args:
        trials: All of them.
        backbone: Only of this one; None: of all.

    Returns:
        The best of each, together at most :data:`MOST_CURVES`.
    """
    known = cache(plain)  # of few names, thousands of times
    found = [
        trial
        for trial in trials
        if trial.done > 1 and (backbone is None or known(trial.backbone) == backbone)
    ]
    found.sort(key=lambda trial: (trial.state != "running", -(trial.shown or 0.0), trial.number))
    pruned = [trial.number for trial in found if trial.state == "pruned"]
    others = [trial.number for trial in found if trial.state != "pruned"]
    most = max(MOST_CURVES - len(pruned), MOST_CURVES - PRUNED_CURVES)
    others = others[:most]
    return others, pruned[: MOST_CURVES - len(others)]


def screen(snapshot: Snapshot) -> pd.DataFrame:
    """Backbones by the score of their frozen features, best first; a column for each ranker."""
    rows = snapshot.screen
    names = sorted({name for row in rows for name in _scores(row)})
    rankers = {
        f"by {plain(name)}": name
        for name in names
        if any(name != row.get("ranker") for row in rows)
    }
    columns = ["backbone", "verdict", "score", "ranker", "samples", "seconds", "cached"]
    frame = pd.DataFrame(
        [
            [_cell(row.get(column)) for column in columns]
            + [_scores(row).get(name) for name in rankers.values()]
            for row in rows
        ],
        columns=[*columns, *rankers],
    )
    frame["score"] = pd.to_numeric(frame["score"], errors="coerce")
    return frame.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def _scores(row: Mapping[str, Any]) -> Mapping[str, Any]:
    scores = row.get("scores")
    return scores if isinstance(scores, Mapping) else {}


def why_not(snapshot: Snapshot) -> pd.DataFrame:
    """What was left out, and why."""
    stored: Sequence[Mapping[str, Any]] = snapshot.why_not
    if not stored and snapshot.recommendation is not None:
        stored = [
            {"what": row.what, "reason": row.reason} for row in snapshot.recommendation.why_not
        ]
    columns = ["what", "reason"]
    return pd.DataFrame(
        [{column: plain(row.get(column, "")) for column in columns} for row in stored],
        columns=columns,
    )


def _cell(value: Any) -> Any:
    return plain(value) if isinstance(value, str) else value
