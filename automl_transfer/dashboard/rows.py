"""Snapshots as tables. Every text in them is made printable; no cell is Markdown or HTML."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.dashboard.snapshot import STANDING_WORDS, Snapshot, Unreadable
from automl_transfer.dashboard.wording import ago, interval_text, plain, score_text
from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import Interval
from automl_transfer.report.certainty import is_behind
from automl_transfer.report.figures import differences, latency, rate, room

RANKING_COLUMNS = (
    "rank",
    "trial",
    "backbone",
    "head",
    "strategy",
    "value",
    "interval",
    "seconds",
    "trainable",
    "state",
    "curve",
)
LONGEST_LIST = 200
"""Rows of a list of quarantined items that the page shows."""


def ranking(snapshot: Snapshot) -> pd.DataFrame:
    """All trials, ranked ones first, then running, pruned and failed ones; one row each.

    Columns :data:`RANKING_COLUMNS`: ``value`` is the study's metric on the validation part (the
    last one reported for trials that did not finish), ``trainable`` the trained share of all
    parameters from 0 to 1, ``seconds`` is wall time.
    """
    ranks = _ranks(snapshot)
    intervals = _intervals(snapshot)
    rows = [_row(snapshot.metric, trial, ranks, intervals) for trial in snapshot.everything]
    order = {"finished": 0, "running": 1, "pruned": 2, "failed": 3}
    rows.sort(key=lambda row: (order[row["state"]], row["rank"] or 0, row["trial"]))
    frame = pd.DataFrame(rows, columns=list(RANKING_COLUMNS))
    return frame.astype({"rank": "Int64", "value": "float64", "trainable": "float64"})


def filtered(frame: pd.DataFrame, chosen: Mapping[str, Iterable[str]]) -> pd.DataFrame:
    """The rows whose columns have one of the chosen texts; an empty choice chooses all."""
    for column, texts in chosen.items():
        wanted = list(texts)
        if wanted:
            frame = frame[frame[column].isin(wanted)]
    return frame


def studies(found: Mapping[str, Snapshot | Unreadable]) -> pd.DataFrame:
    """One row a study: state, data, metric, trials, best, winner, when it was last heard of."""
    columns = ["study", "state", "data", "metric", "trials", "best", "winner", "updated"]
    return pd.DataFrame([_study(name, one) for name, one in found.items()], columns=columns)


def curves(trials: Iterable[Outcome]) -> pd.DataFrame:
    """One row an epoch of each trial: ``trial``, ``what``, ``epoch``, ``value``, ``loss``..."""
    return pd.DataFrame(
        [
            {
                "trial": trial.number,
                "what": plain(trial.configuration.title),
                "backbone": plain(trial.configuration.backbone),
                "strategy": plain(trial.configuration.strategy),
                "state": trial.state,
                "epoch": point.epoch,
                "value": point.value,
                "loss": point.loss,
                "seconds": point.seconds,
            }
            for trial in trials
            for point in trial.curve
        ],
        columns=[
            "trial",
            "what",
            "backbone",
            "strategy",
            "state",
            "epoch",
            "value",
            "loss",
            "seconds",
        ],
    )


def failures(snapshot: Snapshot) -> pd.DataFrame:
    """Failed trials grouped by the first line of their reason, the most frequent first."""
    groups: dict[str, list[int]] = {}
    for trial in snapshot.trials:
        if trial.state == "failed":
            reason = plain((trial.reason or "no reason was stored").strip().splitlines()[0])
            groups.setdefault(reason, []).append(trial.number)
    rows = [
        {
            "trials": len(numbers),
            "reason": reason,
            "numbers": ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else ""),
        }
        for reason, numbers in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]
    return pd.DataFrame(rows, columns=["trials", "reason", "numbers"])


def screen(snapshot: Snapshot) -> pd.DataFrame:
    """Backbones by the score of their frozen features, best first."""
    columns = ["backbone", "score", "ranker", "samples", "seconds", "cached"]
    frame = pd.DataFrame(
        [{column: _cell(row.get(column)) for column in columns} for row in snapshot.screen],
        columns=columns,
    )
    return frame.sort_values("score", ascending=False, kind="stable", ignore_index=True)


def why_not(snapshot: Snapshot) -> pd.DataFrame:
    """What was left out, and why."""
    stored = snapshot.why_not
    if not stored and snapshot.recommendation is not None:
        stored = tuple(
            {"what": row.what, "reason": row.reason} for row in snapshot.recommendation.why_not
        )
    columns = ["what", "reason"]
    return pd.DataFrame(
        [{column: plain(row.get(column, "")) for column in columns} for row in stored],
        columns=columns,
    )


def baselines(snapshot: Snapshot) -> pd.DataFrame:
    """The winner and the yardsticks on the same samples, best first, those that were not run last;
    empty without an answer."""
    columns = ["what", "description", "value"]
    answer = snapshot.recommendation
    if answer is None:
        return pd.DataFrame(columns=columns)
    rows = [
        {
            "what": "the recommended model",
            "description": plain(answer.winner.configuration.title),
            "value": answer.test.value,
        }
    ]
    rows += [
        {"what": plain(row.name), "description": plain(row.description), "value": row.value}
        for row in answer.baselines
    ]
    frame = pd.DataFrame(rows, columns=columns).astype({"value": "float64"})
    return frame.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def finalists(snapshot: Snapshot) -> pd.DataFrame:
    """The finalists, best confirmed score first; empty where none were confirmed.

    ``chosen`` and ``confirmed`` are the study's metric, ``p_best`` runs from 0 to 1.
    """
    answer = snapshot.recommendation
    found = answer.confirmation if answer is not None else None
    metric = answer.metric if answer is not None else ""
    winner = answer.winner.number if answer is not None else None
    return pd.DataFrame(
        [
            {
                "tier": 2 if is_behind(row) else 1,
                "trial": row.number,
                "configuration": plain(row.configuration.title),
                "chosen": row.selected_on,
                "confirmed": row.value,
                "interval": interval_text(metric, row.interval),
                "behind the best": differences(metric, row.behind),
                "p_best": row.p_best,
                "latency": latency(row.cost.latency) if row.cost else "",
                "in batches": rate(row.cost.throughput) if row.cost else "",
                "size": room(row.cost.bytes) if row.cost else "",
                "": "winner" if row.number == winner else "",
            }
            for row in (found.finalists if found else ())
        ]
    )


def numbers(directory: Path) -> pd.DataFrame | None:
    """Columns ``number`` and ``part`` of a regression's samples; None before they are there."""
    try:
        manifest = StudyDirectory(directory).read_manifest()
        return pd.DataFrame(
            {"number": [float(text) for text in manifest["class"]], "part": manifest["part"]}
        )
    except (OSError, ValueError, KeyError):
        return None


def classes(directory: Path, kind: str = "single-label") -> pd.DataFrame | None:
    """Samples of each class, or of each label, in each part; None before the manifest is there."""
    try:
        manifest = StudyDirectory(directory).read_manifest()
        frame = pd.DataFrame({key: manifest[key] for key in ("class", "part")})
    except (OSError, ValueError, KeyError):
        return None
    if kind == "multi-label":
        frame["class"] = frame["class"].str.split("; ")
        frame = frame.explode("class")
    frame["class"] = frame["class"].map(plain)
    counts = pd.crosstab(frame["class"], frame["part"])
    counts = counts.reindex(columns=["train", "val", "test"], fill_value=0)
    counts["all"] = counts.sum(axis=1)
    return counts.reset_index().rename_axis(columns=None)


def quarantined(directory: Path) -> pd.DataFrame:
    """The first :data:`LONGEST_LIST` items that could not be used, and why."""
    columns = ["source", "reason"]
    try:
        with (directory / "quarantined.csv").open(
            newline="", encoding="utf-8", errors="surrogateescape"
        ) as file:
            rows = [row for row, _ in zip(csv.DictReader(file), range(LONGEST_LIST), strict=False)]
    except (OSError, csv.Error):
        rows = []
    return pd.DataFrame(
        [{column: plain(row.get(column) or "") for column in columns} for row in rows],
        columns=columns,
    )


def facts(values: Mapping[str, Any]) -> pd.DataFrame:
    """Names and values as two columns of text; nested names are joined by dots."""
    return pd.DataFrame(list(_flat(values)), columns=["name", "value"])


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None and value != {}:
            shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
            yield plain(f"{prefix}{name}"), plain(shown)


def _cell(value: Any) -> Any:
    return plain(value) if isinstance(value, str) else value


def _ranks(snapshot: Snapshot) -> dict[int, int]:
    if snapshot.is_final and snapshot.recommendation is not None:
        return {row.number: row.rank for row in snapshot.recommendation.ranking}
    return {trial.number: rank for rank, trial in enumerate(snapshot.best_first, start=1)}


def _intervals(snapshot: Snapshot) -> dict[int, Interval | None]:
    answer = snapshot.recommendation
    return {row.number: row.interval for row in answer.ranking} if answer else {}


def _row(
    metric: str,
    trial: Outcome,
    ranks: Mapping[int, int],
    intervals: Mapping[int, Interval | None],
) -> dict[str, Any]:
    proof = trial.proof
    value = trial.value
    if value is None and trial.curve:
        value = trial.curve[-1].value
    return {
        "rank": ranks.get(trial.number),
        "trial": trial.number,
        "backbone": plain(trial.configuration.backbone),
        "head": plain(trial.configuration.head),
        "strategy": plain(trial.configuration.strategy),
        "value": value,
        "interval": interval_text(metric, intervals.get(trial.number)),
        "seconds": trial.seconds or (trial.curve[-1].seconds if trial.curve else 0.0),
        "trainable": (
            proof.trainable_parameters / proof.total_parameters
            if proof is not None and proof.total_parameters
            else None
        ),
        "state": trial.state,
        "curve": [point.value for point in trial.curve],
    }


def _study(name: str, found: Snapshot | Unreadable) -> dict[str, Any]:
    if isinstance(found, Unreadable):
        return {
            "study": plain(name),
            "state": "unreadable",
            "data": "",
            "metric": "",
            "best": "",
            "winner": plain(found.reason),
            "updated": "",
        }
    best = found.best_first
    answer = found.recommendation
    winner = answer.winner.configuration if answer else best[0].configuration if best else None
    return {
        "study": plain(name),
        "state": STANDING_WORDS[found.standing()],
        "data": plain(Path(found.request.data).name),
        "metric": plain(found.metric),
        "trials": len(found.trials),
        "best": score_text(found.metric, best[0].value if best else None),
        "winner": plain(winner.title) if winner else "",
        "updated": ago(found.status.get("updated")),
    }
