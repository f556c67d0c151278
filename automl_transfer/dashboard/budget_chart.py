"""Where the time of a search went."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import plain
from automl_transfer.report.figures import took

if TYPE_CHECKING:
    import altair as alt

LEFT = "not spent"
STAGES = {
    "load": "reading the data",
    "screen": "features of the backbones",
    "heads": "heads on frozen features",
    "tune": "fine-tuning",
    "confirm": "the best again, on fresh folds",
    "recommend": "the answer: training, test, report",
}
"""What the search does in each stage; others are shown by their names."""


def spent_by_stage(study: Snapshot) -> pd.DataFrame:
    """Columns ``stage``, ``what`` and ``seconds``, in their order.

    Stages that were entered several times are added up; the one under way counts until the last
    sign of life. What is left of the budget has a row of its own.
    """
    status = study.status
    spent = _number(status.get("spent"))
    seconds: dict[str, float] = defaultdict(float)
    for row in study.timeline:
        began, ended = _number(row.get("began")), _number(row.get("ended"))
        if began is None:
            continue
        name = plain(row.get("stage", ""))
        until = ended if ended is not None else spent
        seconds[name] += max(0.0, until - began) if until is not None else 0.0
    rows = [(name, STAGES.get(name, ""), took_) for name, took_ in seconds.items()]
    budget = _number(status.get("budget")) or study.request.budget_seconds
    if rows and budget and spent is not None and budget > spent:
        rows.append((LEFT, "of the budget", budget - spent))
    frame = pd.DataFrame(rows, columns=["stage", "what", "seconds"])
    return frame.astype({"seconds": "float64"})


def spent_by_backbone(study: Snapshot) -> pd.DataFrame:
    """Columns ``backbone``, ``trials`` and ``seconds``, what took longest first."""
    seconds: dict[str, float] = defaultdict(float)
    trials: dict[str, int] = defaultdict(int)
    for one in study.everything:
        seconds[one.backbone] += one.seconds
        trials[one.backbone] += 1
    rows = [
        (plain(name), trials[name], seconds[name])
        for name in sorted(seconds, key=lambda name: (-seconds[name], name))
    ]
    return pd.DataFrame(rows, columns=["backbone", "trials", "seconds"])


def budget_chart(frame: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """A bar for each stage, what is left hollow.

    Args:
        frame: Rows of :func:`spent_by_stage`, at least one.
    """
    import altair as alt

    frame = frame.assign(
        label=[took(seconds) for seconds in frame["seconds"]],
        left=frame["stage"] == LEFT,
    )
    size, unit = (3600, "hours") if frame["seconds"].sum() >= 7200 else (60, "minutes")
    frame = frame.assign(x=frame["seconds"] / size)
    base = alt.Chart(frame).encode(
        y=alt.Y("stage:N", sort=list(frame["stage"]), title=None),
        tooltip=[alt.Tooltip("stage:N"), alt.Tooltip("what:N"), alt.Tooltip("label:N")],
    )
    most = float(frame["x"].max())
    # Room for the words behind the longest bar.
    x = alt.X("x:Q", title=unit, scale=alt.Scale(domain=[0, 1.15 * most or 1.0]))
    bars = base.mark_bar(height=16).encode(
        x=x,
        color=alt.condition("datum.left", alt.value("#80808033"), alt.value("#0072B2")),
    )
    labels = base.mark_text(align="left", dx=5, color="#808080").encode(x=x, text="label:N")
    return alt.layer(bars, labels).properties(height=alt.Step(30))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value == value else None
