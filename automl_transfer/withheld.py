"""What models gain from the samples that cross-validation withholds from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automl_transfer.scoring import score


def gain_of_all(
    fine: Sequence[NDArray[np.floating]],
    coarse: Sequence[NDArray[np.floating]],
    labels: NDArray[np.int64],
    metric: str,
    fine_folds: int,
    coarse_folds: int = 2,
) -> float:
    """How much better models trained on all samples are than those of the fine folds.

    The error is taken to fall with the square root of the samples, a + b / sqrt(m) (the middle of
    the exponents that Hestness et al., arXiv:1712.00409, found), and b is taken from the same
    contenders scored in fewer folds, where they learn from less. From 1/2 to 9/10 of the samples
    they gain 6.7 times as much as from 9/10 to all of them, so that the noise of the difference
    counts little. It is the mean over all contenders, and at least 0.

    Args:
        fine: Of each contender, out of fold: shape (n, c), or (repeats, n, c).
        coarse: Likewise, of fewer folds.
        labels: Shape (n,), of the samples that are scored.
        metric: See :func:`.metrics.prepare`.
        fine_folds: How many folds.
        coarse_folds: Likewise.
    """
    differences = [
        score(one, labels, metric) - score(other, labels, metric)
        for one, other in zip(fine, coarse, strict=True)
    ]
    most, least = ((1 - 1 / folds) ** -0.5 for folds in (fine_folds, coarse_folds))
    return max(float(np.mean(differences)) * (most - 1) / (least - most), 0.0)
