"""The chart of the best so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl_transfer.dashboard.charts import COLOURS, score_axis, score_tooltip
from automl_transfer.dashboard.progress_rows import Progress, thinned

if TYPE_CHECKING:
    import altair as alt

_SHAPES = {"finished": "circle", "pruned": "triangle-down", "running": "diamond"}
_LINE = "#D55E00"
_UNITS = ((2 * 86400, 86400.0, "days"), (2 * 3600, 3600.0, "hours"), (120, 60.0, "minutes"))
_LOWEST, _MANY = 0.05, 100
"""Share of the trials below the chart, where there are many: a few very bad ones would press all
others together."""


def lower_edge(found: Progress) -> float | None:
    """The value below which trials are drawn at the edge of the chart; None: none is."""
    values = found.rows["value"]
    if len(values) < _MANY:
        return None
    edge = float(values.quantile(_LOWEST))
    span = float(values.max()) - edge
    edge -= 0.1 * span
    return edge if span > 0 and float(values.min()) < edge else None


def best_so_far(found: Progress, metric: str, *, by_time: bool) -> alt.LayerChart | alt.FacetChart:
    """Each trial as a point and the best until then as a line.

    Args:
        found: Trials; at least one.
        metric: The study's metric.
        by_time: Over time, if that is known; else over the trials in the order of their end.
    """
    import altair as alt

    rows = found.rows
    if by_time and found.timed:
        size, unit = _unit(float(rows["seconds"].max()))
        rows = rows.assign(x=rows["seconds"] / size)
        title = f"{unit} since the first trial began"
    else:
        rows = rows.assign(x=rows["place"])
        title = "trials, in the order in which they ended"
    stages = list(dict.fromkeys(rows["stage"]))
    states = [state for state in _SHAPES if state in set(rows["state"])]
    x = alt.X("x:Q", title=title)
    y = score_axis(metric, lowest=lower_edge(found), highest=float(rows["value"].max()))
    points = (
        alt.Chart(thinned(rows))
        .mark_point(filled=True, size=45, opacity=0.6)
        .encode(
            x=x,
            y=y,
            color=alt.Color(
                "stage:N", title="stage", scale=alt.Scale(domain=stages, range=COLOURS)
            ),
            shape=alt.Shape(
                "state:N",
                title="state",
                scale=alt.Scale(domain=states, range=[_SHAPES[state] for state in states]),
            ),
            tooltip=[
                alt.Tooltip("trial:Q", title="trial"),
                alt.Tooltip("what:N", title="configuration"),
                alt.Tooltip("stage:N", title="stage"),
                alt.Tooltip("state:N", title="state"),
                score_tooltip(metric),
            ],
        )
    )
    steps = rows[rows["gain"] | (rows["x"] == rows["x"].max())].dropna(subset=["best"])
    line = (
        alt.Chart(steps.assign(value=steps["best"]))
        .mark_line(interpolate="step-after", strokeWidth=2.5, color=_LINE)
        .encode(x=x, y=y)
    )
    return alt.layer(points, line).properties(height=340)


def _unit(seconds: float) -> tuple[float, str]:
    for least, size, name in _UNITS:
        if seconds >= least:
            return size, name
    return 1.0, "seconds"
