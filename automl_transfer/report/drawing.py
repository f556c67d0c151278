"""Draws charts as SVG to be put into HTML. Matplotlib is loaded with the first of them.

No text from outside is drawn: axes and marks are ours, and names of series are given in HTML
beside the drawing, so that nothing in a name can be read as markup or as a formula.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from automl_transfer.report.blocks import Axis, Chart, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C8C8C")
"""Told apart by colour-blind readers, on white and on black (Okabe and Ito, Color Universal
Design, 2008)."""
_TEXT = "#010203"
"""Stands for the colour of the page's text until the drawing is done."""
_SETTINGS: Any = {
    "svg.fonttype": "none",  # text stays text, in the page's font
    "svg.hashsalt": "automl-transfer",  # equal charts, equal bytes
    "font.size": 10,
    "text.parse_math": False,
    "text.color": _TEXT,
    "axes.edgecolor": _TEXT,
    "axes.labelcolor": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _TEXT,
    "grid.alpha": 0.15,
}
_NO_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_REFERENCES = re.compile(r"""(\bid="|url\(#|href="#)""")


def colour(position: int) -> str:
    """Of the series at this place."""
    return COLOURS[position % len(COLOURS)]


def draw(chart: Chart, name: str) -> str:
    """A chart as an ``<svg>`` element without title, in the colours of the text around it.

    Args:
        chart: What to draw.
        name: Put before every id in the drawing, so that several can be in one document.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(6.4, 3.6))
        figure.subplots_adjust(left=0.135, right=0.98, bottom=0.15, top=0.96)
        axes = figure.add_subplot()
        for position, series in enumerate(chart.series):
            _plot(axes, series, colour(position))
        _label(axes.xaxis, chart.x)
        _label(axes.yaxis, chart.y)
        if chart.x.logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
        content = io.StringIO()
        figure.savefig(content, format="svg", transparent=True, metadata=_NO_METADATA)
    drawing = content.getvalue()
    drawing = drawing[drawing.index("<svg") :].strip()  # without XML's own preamble
    drawing = _REFERENCES.sub(rf"\g<1>{name}-", drawing)
    return drawing.replace(_TEXT, "currentColor")


def _label(axis: Any, said: Axis) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axis.set_label_text(said.name)
    if said.share:
        axis.set_major_formatter(PercentFormatter(xmax=1, decimals=None, symbol=" %"))
    if said.name == "epoch":
        axis.set_major_locator(MaxNLocator(integer=True))


def _plot(axes: Axes, series: Series, tint: str) -> None:
    if series.low:
        # An interval by another method than its value need not hold it.
        below = [max(0.0, value - low) for value, low in zip(series.y, series.low, strict=True)]
        above = [max(0.0, high - value) for value, high in zip(series.y, series.high, strict=True)]
        axes.errorbar(series.x, series.y, [below, above], fmt="none", ecolor=tint, capsize=3)
    if series.kind == "line":
        axes.plot(series.x, series.y, color=tint, marker="o", markersize=3.5, linewidth=1.6)
    elif series.kind == "points":
        axes.plot(series.x, series.y, color=tint, marker="o", markersize=6, linestyle="none")
    elif series.kind == "steps":
        axes.step(series.x, series.y, where="post", color=tint, linewidth=1.6)
    else:
        axes.plot(series.x, series.y, color=tint, linewidth=1, linestyle="--")
    for x, y, mark in zip(series.x, series.y, series.marks, strict=False):
        axes.annotate(mark, (x, y), xytext=(6, 5), textcoords="offset points")
