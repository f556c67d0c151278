"""Charts. Altair is loaded with the first of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from automl_transfer.dashboard.wording import in_per_cent, metric_words

if TYPE_CHECKING:
    import altair as alt

MOST_CURVES = 50
"""Lines in one chart; more cannot be told apart."""
_PLACE = "indexof(['train', 'val', 'test'], datum.part)"
COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999"]
"""Told apart by colour-blind readers (Okabe and Ito, Color Universal Design, 2008)."""
_DASHES = {"finished": [1, 0], "running": [6, 3], "pruned": [2, 2], "failed": [1, 4]}


def curve(frame: pd.DataFrame, metric: str) -> alt.Chart:
    """The metric of one trial on validation data, by epoch.

    Args:
        frame: Columns ``epoch``, ``value``, ``seconds``; a row for each epoch.
        metric: The study's metric.
    """
    return _by_epoch(frame, score_tooltip(metric)).encode(y=score_axis(metric))


def loss(frame: pd.DataFrame) -> alt.Chart:
    """The training loss of one trial, by epoch.

    Args:
        frame: Columns ``epoch``, ``loss``, ``seconds``; a row for each epoch.
    """
    import altair as alt

    tooltip = alt.Tooltip("loss:Q", format=".4f", title="training loss")
    return _by_epoch(frame, tooltip).encode(
        y=alt.Y("loss:Q", title="training loss", scale=alt.Scale(zero=False))
    )


def curves(
    frame: pd.DataFrame, metric: str, by: str = "strategy"
) -> alt.LayerChart | alt.FacetChart:
    """All curves together: colour and shape by strategy, line style by state.

    Args:
        frame: Rows of :func:`automl_transfer.dashboard.rows.curves`.
        metric: The study's metric.
        by: Another column, for colour and shape.
    """
    import altair as alt

    present = set(frame["state"])
    states = [state for state in _DASHES if state in present]
    base = alt.Chart(frame).encode(
        x=_epochs(),
        y=score_axis(metric),
        color=alt.Color(f"{by}:N", title=by, scale=alt.Scale(range=COLOURS)),
        detail="trial:N",
        tooltip=[
            alt.Tooltip("trial:Q", title="trial"),
            alt.Tooltip("what:N", title="configuration"),
            alt.Tooltip("state:N", title="state"),
            alt.Tooltip("epoch:Q", title="epoch"),
            score_tooltip(metric),
        ],
    )
    lines = base.mark_line(strokeWidth=1.5).encode(
        strokeDash=alt.StrokeDash(
            "state:N",
            title="state",
            scale=alt.Scale(domain=states, range=[_DASHES[state] for state in states]),
        ),
    )
    points = base.mark_point(filled=True, size=30).encode(shape=alt.Shape(f"{by}:N", title=by))
    return alt.layer(lines, points).properties(height=380)


def _by_part() -> dict[str, Any]:
    """Colour and order of what is stacked by part; the chart has :data:`_PLACE`."""
    import altair as alt

    colour = alt.Color(
        "part:N", title="part", sort=["train", "val", "test"], scale=alt.Scale(range=COLOURS)
    )
    return {"color": colour, "order": "place:Q"}


def numbers(frame: pd.DataFrame) -> alt.Chart:
    """How often numbers to predict occur, stacked by part.

    Args:
        frame: Columns ``number`` and ``part``.
    """
    import altair as alt

    chart: alt.Chart = (
        alt.Chart(frame)
        .mark_bar()
        .transform_calculate(place=_PLACE)
        .encode(
            x=alt.X("number:Q", bin=alt.Bin(maxbins=40), title="number to predict"),
            y=alt.Y("count():Q", title="samples"),
            **_by_part(),
        )
    )
    return chart


def class_sizes(frame: pd.DataFrame) -> alt.Chart:
    """Samples of each class, stacked by part.

    Args:
        frame: Columns ``class``, ``train``, ``val``, ``test``.
    """
    import altair as alt

    long = frame.melt(
        id_vars="class", value_vars=["train", "val", "test"], var_name="part", value_name="samples"
    )
    chart: alt.Chart = (
        alt.Chart(long)
        .mark_bar()
        .transform_calculate(place=_PLACE)
        .encode(
            y=alt.Y("class:N", title=None, sort=None, axis=alt.Axis(labelLimit=220)),
            x=alt.X("samples:Q", title="samples"),
            **_by_part(),
            tooltip=["class:N", "part:N", "samples:Q"],
        )
        .properties(height=alt.Step(24))
    )
    return chart


def _by_epoch(frame: pd.DataFrame, tooltip: alt.Tooltip) -> alt.Chart:
    import altair as alt

    seconds = alt.Tooltip("seconds:Q", format=".1f", title="seconds")
    chart: alt.Chart = (
        alt.Chart(frame)
        .mark_line(point=True)
        .encode(x=_epochs(), tooltip=["epoch:Q", seconds, tooltip])
        .properties(height=260)
    )
    return chart


def _epochs() -> alt.X:
    import altair as alt

    return alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d"))


def score_axis(metric: str, *, lowest: float | None = None, highest: float | None = None) -> alt.Y:
    """The axis of the metric on the validation part, field ``value``.

    Args:
        metric: The study's metric.
        lowest: What is lower is drawn at the edge; None: the axis reaches to the lowest.
        highest: Of the values; needed with ``lowest``.
    """
    import altair as alt

    cut = lowest is not None and highest is not None
    scale = (
        alt.Scale(domain=[lowest, highest], clamp=True, zero=False, nice=False)
        if cut
        else alt.Scale(zero=False)
    )
    return alt.Y(
        "value:Q",
        title=f"{metric_words(metric)} on validation data",
        scale=scale,
        axis=alt.Axis(format=".0%" if in_per_cent(metric) else "~g"),
    )


def score_tooltip(metric: str) -> alt.Tooltip:
    """The metric of what the pointer is on."""
    import altair as alt

    shown = ".2%" if in_per_cent(metric) else ".4f"
    return alt.Tooltip("value:Q", format=shown, title=metric_words(metric))
