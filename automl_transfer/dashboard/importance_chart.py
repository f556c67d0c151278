"""What mattered in a search, each choice beside what shuffled results give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from automl_transfer.dashboard.wording import plain

if TYPE_CHECKING:
    import altair as alt

MOST_BARS = 15
"""Choices of a chart; the table has all of them."""
CHANCE, BEYOND = "not distinguishable from chance", "more than chance"
_COLUMNS = ("choice", "share", "chance", "verdict", "best", "median", "trials", "groups")
_BEYOND_COLOUR, _CHANCE_COLOUR, _TICK = "#0072B2", "#9a9a9a", "#D55E00"


def importance_rows(stored: Any) -> pd.DataFrame:
    """Choices of one stage, those that matter most first; what cannot be read is passed over.

    Columns: ``choice``, ``share`` and ``chance`` from 0 to 1, ``verdict``, ``best`` (the value
    with the highest median), ``median``, ``trials``, ``groups``.

    Args:
        stored: A list of the study's document ``importances``.
    """
    rows = []
    for one in stored if isinstance(stored, Sequence) and not isinstance(stored, str) else ():
        if not isinstance(one, Mapping):
            continue
        share, null = one.get("share"), one.get("null")
        if not isinstance(share, (int, float)) or not isinstance(null, (int, float)):
            continue
        rows.append(
            (
                plain(one.get("name", "")),
                float(share),
                float(null),
                BEYOND if share > null else CHANCE,
                plain(one.get("best") or ""),
                one.get("median") if isinstance(one.get("median"), (int, float)) else None,
                one.get("trials"),
                one.get("groups"),
            )
        )
    rows.sort(key=lambda row: (row[2] - row[1], row[0]))
    return pd.DataFrame(rows, columns=list(_COLUMNS)).astype({"median": "float64"})


def importance_chart(frame: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """A bar for the share, and a tick for what chance alone reaches.

    Args:
        frame: Rows of :func:`importance_rows`, at least one.
    """
    import altair as alt

    frame = frame.head(MOST_BARS)
    order = list(frame["choice"])
    base = alt.Chart(frame).encode(
        y=alt.Y("choice:N", sort=order, title=None, axis=alt.Axis(labelLimit=150)),
        tooltip=[
            alt.Tooltip("choice:N"),
            alt.Tooltip("share:Q", format=".0%", title="share of the scatter"),
            alt.Tooltip("chance:Q", format=".0%", title="chance reaches"),
            alt.Tooltip("verdict:N"),
            alt.Tooltip("best:N"),
            alt.Tooltip("trials:Q"),
        ],
    )
    x = alt.X(
        "share:Q",
        title="share of the scatter of the scores",
        axis=alt.Axis(format=".0%"),
        scale=alt.Scale(domain=[0, 1]),
    )
    bars = base.mark_bar(height=14).encode(
        x=x,
        color=alt.Color(
            "verdict:N",
            title=None,
            scale=alt.Scale(domain=[BEYOND, CHANCE], range=[_BEYOND_COLOUR, _CHANCE_COLOUR]),
            legend=alt.Legend(orient="top", columns=1, labelLimit=300),
        ),
    )
    ticks = base.mark_tick(thickness=3, size=22, color=_TICK).encode(x=alt.X("chance:Q"))
    within = frame[frame["verdict"] == CHANCE].assign(
        at=lambda rows: rows[["share", "chance"]].max(axis=1), label="chance"
    )
    labels = (
        alt.Chart(within)
        .mark_text(align="left", dx=6, fontSize=11, color="#808080")
        .encode(y=alt.Y("choice:N", sort=order), x=alt.X("at:Q"), text="label:N")
    )
    return alt.layer(bars, ticks, labels).properties(height=alt.Step(30))
