"""Backbone by strategy: how good the best of each pair is, and what was never tried."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pandas as pd

from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.tables import scaled
from automl_transfer.dashboard.wording import in_per_cent, metric_words, plain, score_text

if TYPE_CHECKING:
    import altair as alt

MOST_BACKBONES, MOST_STRATEGIES = 30, 12
"""Rows and columns of the map."""
NEVER = "not tried"
_FAINT = "#808080"


@dataclass(frozen=True, kw_only=True)
class Tried:
    """The cells of the map."""

    cells: pd.DataFrame
    """Columns ``backbone``, ``strategy``, ``value`` (of the best finished trial, or missing),
    ``trials``, ``finished``; a row for each pair, the best backbones and strategies first."""
    backbones: int
    """All that there are."""
    strategies: int
    """Likewise."""

    @property
    def never(self) -> int:
        """Pairs that no trial had."""
        return int((self.cells["trials"] == 0).sum())


def heads(study: Snapshot) -> list[str]:
    """Heads that any trial had."""
    return sorted(map(plain, {trial.head for trial in study.everything}))


def tried(study: Snapshot, head: str | None) -> Tried:
    """What was tried.

    Args:
        study: Its trials, and its backbones that went through screening, tried or not.
        head: Only trials with this one; None: all.
    """
    best: dict[tuple[str, str], float] = {}
    count: dict[tuple[str, str], int] = defaultdict(int)
    finished: dict[tuple[str, str], int] = defaultdict(int)
    tops: dict[str, dict[str, float]] = {"backbone": {}, "strategy": {}}
    for row in study.screen:
        tops["backbone"].setdefault(plain(row.get("backbone", "")), float("-inf"))
    known = cache(plain)  # of few names, thousands of times
    for trial in study.everything:
        pair = known(trial.backbone), known(trial.strategy)
        for axis, name in zip(tops.values(), pair, strict=True):
            axis.setdefault(name, float("-inf"))
        if head is not None and known(trial.head) != head:
            continue
        count[pair] += 1
        if trial.state == "finished" and trial.value is not None:
            finished[pair] += 1
            best[pair] = max(trial.value, best.get(pair, float("-inf")))
            for axis, name in zip(tops.values(), pair, strict=True):
                axis[name] = max(trial.value, axis[name])
    backbones, strategies = (
        sorted(axis, key=lambda name: (-axis[name], name)) for axis in tops.values()
    )
    rows = [
        (
            backbone,
            strategy,
            best.get((backbone, strategy)),
            count[backbone, strategy],
            finished[backbone, strategy],
        )
        for backbone in backbones[:MOST_BACKBONES]
        for strategy in strategies[:MOST_STRATEGIES]
    ]
    frame = pd.DataFrame(rows, columns=["backbone", "strategy", "value", "trials", "finished"])
    return Tried(
        cells=frame.astype({"value": "float64"}),
        backbones=len(backbones),
        strategies=len(strategies),
    )


def heat_map(found: Tried, metric: str) -> alt.LayerChart | alt.FacetChart:
    """A map whose cells can be clicked: the selection ``cell`` has backbone and strategy.

    Args:
        found: At least one cell.
        metric: The study's metric.
    """
    import altair as alt

    cells = found.cells
    shown = scaled(cells["value"], metric)
    least = cells["value"].min()
    span = cells["value"].max() - least
    cells = cells.assign(
        label=[
            NEVER if not count else "none finished" if pd.isna(value) else _short(metric, value)
            for count, value in zip(cells["trials"], shown, strict=True)
        ],
        count=[f"{count:,}" if count else "" for count in cells["trials"]],
        shown=[score_text(metric, None if pd.isna(one) else one) for one in cells["value"]],
        ink=[
            _FAINT if pd.isna(value) else "white" if value - least > 0.62 * span else "#1a1a1a"
            for value in cells["value"]
        ],
    )
    cell = alt.selection_point(name="cell", fields=["backbone", "strategy"], on="click")
    base = alt.Chart(cells).encode(
        x=alt.X(
            "strategy:N",
            sort=list(dict.fromkeys(cells["strategy"])),
            title="strategy",
            axis=alt.Axis(labelAngle=-35, labelLimit=110),
        ),
        y=alt.Y(
            "backbone:N",
            sort=list(dict.fromkeys(cells["backbone"])),
            title=None,
            axis=alt.Axis(labelLimit=180),
        ),
        tooltip=[
            alt.Tooltip("backbone:N"),
            alt.Tooltip("strategy:N"),
            alt.Tooltip("shown:N", title=f"best {metric_words(metric)}"),
            alt.Tooltip("trials:Q"),
            alt.Tooltip("finished:Q"),
        ],
    )
    frames = base.mark_rect(fill="#80808018", stroke="#808080", strokeWidth=0.5, cursor="pointer")
    boxes = (
        base.transform_filter("isValid(datum.value)")
        .mark_rect(cursor="pointer")
        .encode(color=alt.Color("value:Q", scale=alt.Scale(scheme="blues"), legend=None))
    )
    ink = alt.Color("ink:N", scale=None, legend=None)
    texts = base.mark_text(dy=-6, fontSize=12, cursor="pointer").encode(text="label:N", color=ink)
    counts = base.mark_text(dy=8, fontSize=10, cursor="pointer").encode(text="count:N", color=ink)
    # The topmost layer is what a click meets.
    layers = [frames, boxes, texts, counts, base.mark_rect(opacity=0).add_params(cell)]
    chart: alt.LayerChart = alt.layer(*layers).resolve_scale(color="independent")
    return chart.properties(height=alt.Step(38))


def as_table(found: Tried, metric: str) -> pd.DataFrame:
    """The same as text, backbones by strategies."""
    cells = found.cells
    words = [
        NEVER
        if not trials
        else f"{score_text(metric, None if pd.isna(value) else value)} of {trials:,}"
        for value, trials in zip(cells["value"], cells["trials"], strict=True)
    ]
    frame = cells.assign(words=words).pivot(index="backbone", columns="strategy", values="words")
    order = frame.reindex(
        index=dict.fromkeys(cells["backbone"]), columns=dict.fromkeys(cells["strategy"])
    )
    return order.rename_axis("backbone, strategy").reset_index().rename_axis(columns=None)


def _short(metric: str, value: float) -> str:
    return f"{value:.1f}" if in_per_cent(metric) else f"{value:.3g}"
