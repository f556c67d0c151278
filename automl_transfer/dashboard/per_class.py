"""Recall, precision and F1 of each class, and how far chance may have moved them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_transfer.dashboard.wording import interval_text, plain
from automl_transfer.intervals import critical, wilson

FEW = 20
"""Samples of a class below which its figures say little."""


def recall_of(right: int, samples: int) -> str:
    """Wilson's 95 % interval of a recall, in words."""
    if not samples:
        return "no sample"
    ends = wilson(right / samples, 0.0, "accuracy", samples, critical(samples))
    few = ", few samples" if samples < FEW else ""
    return f"{interval_text('accuracy', ends)}{few}"


def per_class(matrix: NDArray[np.int64], classes: Sequence[str]) -> pd.DataFrame:
    """A row for each class, the lowest recall first; those without samples last.

    Args:
        matrix: Counts, rows by what is true, columns by what was predicted, shape (c, c).
        classes: Their names.
    """
    samples, predicted, right = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    rows = []
    for place, name in enumerate(classes):
        n, of, hit = int(samples[place]), int(predicted[place]), int(right[place])
        rows.append(
            {
                "class": plain(name),
                "samples": n,
                "recall": 100 * hit / n if n else None,
                "95 % interval of recall": recall_of(hit, n),
                "precision": 100 * hit / of if of else None,
                "F1": 200 * hit / (n + of) if n + of else None,
            }
        )
    frame = pd.DataFrame(rows).astype({"recall": "float64", "precision": "float64"})
    return frame.sort_values("recall", kind="stable", na_position="last", ignore_index=True)
