"""Charts and tables of errors. Altair is loaded with the first of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_transfer.dashboard.wording import plain

if TYPE_CHECKING:
    import altair as alt

MOST_POINTS = 2000
_BINS = 10


def bins(sure: NDArray[np.float32], right: NDArray[np.bool_]) -> pd.DataFrame:
    """Predictions of similar confidence: its mean, the share that is right, and how many; per
    cent."""
    places = np.minimum((sure * _BINS).astype(np.int64), _BINS - 1)
    rows = [
        {
            "confidence": 100 * float(sure[places == place].mean()),
            "right": 100 * float(right[places == place].mean()),
            "samples": int((places == place).sum()),
        }
        for place in np.unique(places)
    ]
    return pd.DataFrame(rows, columns=["confidence", "right", "samples"])


def reliability(frame: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Share that is right against confidence.

    Args:
        frame: Of :func:`bins`.
    """
    import altair as alt

    axis = alt.Scale(domain=[0, 100])
    line = (
        alt.Chart(pd.DataFrame({"confidence": [0, 100], "right": [0, 100]}))
        .mark_line(strokeDash=[4, 4], color="#808080")
        .encode(x=alt.X("confidence:Q", scale=axis), y=alt.Y("right:Q", scale=axis))
    )
    points = (
        alt.Chart(frame)
        .mark_line(point=True)
        .encode(
            x=alt.X("confidence:Q", title="confidence, per cent", scale=axis),
            y=alt.Y("right:Q", title="right, per cent", scale=axis),
            tooltip=["confidence:Q", "right:Q", "samples:Q"],
        )
    )
    return alt.layer(line, points).properties(height=300)


def against(
    numbers: NDArray[np.float64], predicted: NDArray[np.float32]
) -> alt.LayerChart | alt.FacetChart:
    """What was predicted against what is true, and the line on which they are the same."""
    import altair as alt

    step = -(-len(numbers) // MOST_POINTS) or 1
    frame = pd.DataFrame({"true": numbers[::step], "predicted": predicted[::step]})
    ends = [float(np.min(numbers)), float(np.max(numbers))] if len(numbers) else [0.0, 1.0]
    line = (
        alt.Chart(pd.DataFrame({"true": ends, "predicted": ends}))
        .mark_line(strokeDash=[4, 4], color="#808080")
        .encode(x="true:Q", y="predicted:Q")
    )
    marks = (
        alt.Chart(frame)
        .mark_point(size=25)
        .encode(
            x=alt.X("true:Q", scale=alt.Scale(zero=False)),
            y=alt.Y("predicted:Q", scale=alt.Scale(zero=False)),
            tooltip=["true:Q", "predicted:Q"],
        )
    )
    return alt.layer(line, marks).properties(height=380)


def points(frame: pd.DataFrame) -> alt.Chart:
    """A map of samples, told apart by shape and colour.

    Args:
        frame: Columns ``x``, ``y``, ``class``, ``sample``, ``the winner is``.
    """
    import altair as alt

    states = ["right", "wrong", "not asked"]
    chart: alt.Chart = (
        alt.Chart(frame)
        .mark_point(filled=True, size=45, opacity=0.75)
        .encode(
            x=alt.X("x:Q", title=None, axis=None),
            y=alt.Y("y:Q", title=None, axis=None),
            color=alt.Color(
                "the winner is:N",
                scale=alt.Scale(domain=states, range=["#0072B2", "#D55E00", "#999999"]),
            ),
            shape=alt.Shape(
                "the winner is:N",
                scale=alt.Scale(domain=states, range=["circle", "cross", "triangle-up"]),
            ),
            tooltip=["class:N", "sample:N", "the winner is:N"],
        )
        .properties(height=420)
    )
    return chart


def per_label(
    holds: NDArray[np.bool_], sets: NDArray[np.bool_], labels: Sequence[str]
) -> pd.DataFrame:
    """A row for each label: how often it holds, is found, and is claimed in error."""
    rows = [
        {
            "label": plain(name),
            "holds": int(sets[:, place].sum()),
            "found": int((holds & sets)[:, place].sum()),
            "missed": int((~holds & sets)[:, place].sum()),
            "claimed in error": int((holds & ~sets)[:, place].sum()),
        }
        for place, name in enumerate(labels)
    ]
    frame = pd.DataFrame(rows, columns=["label", "holds", "found", "missed", "claimed in error"])
    return frame.sort_values(["missed", "claimed in error"], ascending=False, ignore_index=True)
