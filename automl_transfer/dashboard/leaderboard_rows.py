"""Trials as rows of a table, tiers in place of places. Every text is made printable."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import pandas as pd

from automl_transfer.artifacts import no_formula
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import interval_text, plain
from automl_transfer.recommendation import Interval
from automl_transfer.report.certainty import is_behind
from automl_transfer.summary import Summary

COLUMNS = (
    "tier",
    "rank",
    "trial",
    "backbone",
    "head",
    "strategy",
    "value",
    "interval",
    "low",
    "high",
    "confirmed",
    "seconds",
    "trainable",
    "state",
)
TIERS: Mapping[int, str] = {
    1: "no difference to the best is shown, on fresh folds",
    2: "not confirmed, but its figure lies within chance of the winner's",
    3: "behind",
}
"""Tier to what it means; others have none."""


def ranking(snapshot: Snapshot) -> pd.DataFrame:
    """All trials: finished ones by tier and rank, then running, pruned and failed ones.

    Columns :data:`COLUMNS`: ``value`` is the study's metric on the validation part (the last one
    reported for trials that did not finish), ``low`` and ``high`` its 95 % interval, ``trainable``
    the trained share of all parameters from 0 to 1, ``seconds`` is wall time.
    """
    ranks, tiers = _ranks(snapshot), _tiers(snapshot)
    answer = snapshot.recommendation
    ranked = {row.number: row for row in answer.ranking} if answer else {}
    known = cache(plain)  # of few names, thousands of times
    rows = []
    for trial in snapshot.everything:
        row = ranked.get(trial.number)
        ends = row.interval if row else None
        rows.append(
            (
                tiers.get(trial.number),
                ranks.get(trial.number),
                trial.number,
                known(trial.backbone),
                known(trial.head),
                known(trial.strategy),
                trial.shown,
                interval_text(snapshot.metric, ends),
                ends.low if ends else None,
                ends.high if ends else None,
                row.confirmed if row else None,
                trial.seconds,
                trial.trainable,
                trial.state,
            )
        )
    order = {"finished": 0, "running": 1, "pruned": 2, "failed": 3}
    last = len(TIERS) + 1
    rows.sort(key=lambda row: (order[row[-1]], row[0] or last, row[1] or 0, row[2]))
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = ("value", "low", "high", "confirmed", "seconds", "trainable")
    return frame.astype({"tier": "Int64", "rank": "Int64"} | dict.fromkeys(numbers, "float64"))


def filtered(frame: pd.DataFrame, chosen: Mapping[str, Iterable[Any]]) -> pd.DataFrame:
    """The rows whose columns have one of the chosen values; an empty choice chooses all."""
    for column, values in chosen.items():
        wanted = list(values)
        if wanted:
            frame = frame[frame[column].isin(wanted)]
    return frame


def as_csv(frame: pd.DataFrame) -> str:
    """Rows as CSV whose texts no spreadsheet takes for formulas."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(frame.columns)
    for row in frame.astype(object).where(frame.notna(), None).itertuples(index=False):
        writer.writerow([no_formula(cell) for cell in row])
    return file.getvalue()


def _ranks(snapshot: Snapshot) -> dict[int, int]:
    if snapshot.is_final and snapshot.recommendation is not None:
        return {row.number: row.rank for row in snapshot.recommendation.ranking}
    return {trial.number: rank for rank, trial in enumerate(snapshot.best_first, start=1)}


def _tiers(snapshot: Snapshot) -> dict[int, int]:
    """Tier of each finished trial; empty where the answer does not know all of them."""
    answer = snapshot.recommendation
    if answer is None or not snapshot.is_final:
        return {}
    confirmed = answer.confirmation.finalists if answer.confirmation else ()
    known = {row.number: 3 if is_behind(row) else 1 for row in confirmed} or {
        answer.winner.number: 1
    }
    ends = answer.winner.interval
    return {
        trial.number: known.get(trial.number) or (2 if _is_near(trial, ends) else 3)
        for trial in snapshot.best_first
        if trial.number in known or ends is not None
    }


def _is_near(trial: Summary, ends: Interval | None) -> bool:
    return ends is not None and trial.value is not None and trial.value >= ends.low
