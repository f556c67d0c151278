"""Which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_transfer.dashboard.wording import distinct

if TYPE_CHECKING:
    import altair as alt

MOST = 20
"""Classes in the picture; those with the most errors."""


def matrix_of(
    targets: NDArray[np.int64], predicted: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Counts, rows by what is true, columns by what was predicted, shape (c, c)."""
    counts = np.bincount(targets * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes)


def worst(matrix: NDArray[np.int64]) -> list[int]:
    """The :data:`MOST` classes with the most errors, in their order."""
    wrong = matrix - np.diag(matrix.diagonal())
    errors = wrong.sum(axis=0) + wrong.sum(axis=1)
    return sorted(np.argsort(-errors, kind="stable")[:MOST].tolist())


def picture(
    matrix: NDArray[np.int64], classes: Sequence[str], shown: Sequence[int]
) -> alt.LayerChart | alt.FacetChart:
    """The matrix, with its counts; a click on a cell selects ``cell``.

    Args:
        matrix: See :func:`matrix_of`.
        classes: All names.
        shown: Which classes are in the picture.
    """
    import altair as alt

    known = distinct(classes)
    names = [known[place] for place in shown]
    rows = [
        {
            "true": names[row],
            "predicted": names[column],
            "samples": int(matrix[shown[row], shown[column]]),
            "share": float(matrix[shown[row], shown[column]] / max(matrix[shown[row]].sum(), 1)),
        }
        for row in range(len(shown))
        for column in range(len(shown))
    ]
    base = alt.Chart(pd.DataFrame(rows)).encode(
        x=alt.X("predicted:N", sort=names, title="predicted", axis=alt.Axis(labelAngle=-40)),
        y=alt.Y("true:N", sort=names, title="true"),
    )
    cell = alt.selection_point(name="cell", fields=["true", "predicted"], on="click", empty=False)
    squares = base.mark_rect().encode(
        color=alt.Color("share:Q", scale=alt.Scale(scheme="blues", domain=[0, 1]), legend=None)
    )
    counts = base.mark_text(fontSize=12).encode(
        text=alt.condition("datum.samples > 0", "samples:Q", alt.value("")),
        color=alt.condition("datum.share > 0.5", alt.value("white"), alt.value("black")),
    )
    # The topmost layer is what a click meets.
    top = base.mark_rect(opacity=0, cursor="pointer").encode(
        tooltip=["true:N", "predicted:N", "samples:Q"]
    )
    side = min(140 + 32 * len(names), 640)
    return alt.layer(squares, counts, top.add_params(cell)).properties(height=side)
