"""Metrics of predicted numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_transfer.metrics.weighting import Evaluate, Prepare, Values, Weights, mean

Numbers = NDArray[np.float64]


def residuals(predictions: NDArray[np.floating], numbers: Numbers) -> Numbers:
    """What was predicted less what is true, shape (n,)."""
    return predictions[:, 0].astype(np.float64) - numbers


def _r2(predictions: NDArray[np.floating], numbers: Numbers) -> Evaluate:
    """Share of the variance that is explained, about the mean of the samples that are scored.

    Not defined where all of these have the same number.
    """
    wrong = residuals(predictions, numbers) ** 2
    # About a number near all of them, so that the difference of squares keeps its digits.
    moved = numbers - numbers.mean()

    def evaluate(weights: Weights) -> Values:
        total = weights.sum(axis=1)
        spread = weights @ moved**2 - (weights @ moved) ** 2 / total
        some = spread > 1e-12 * np.maximum(weights @ moved**2, np.finfo(float).tiny)
        share = np.divide(weights @ wrong, spread, out=np.full(len(total), np.nan), where=some)
        return np.asarray(1 - share)

    return evaluate


def _neg_mae(predictions: NDArray[np.floating], numbers: Numbers) -> Evaluate:
    return mean(-np.abs(residuals(predictions, numbers)))


def _neg_rmse(predictions: NDArray[np.floating], numbers: Numbers) -> Evaluate:
    squared = mean(residuals(predictions, numbers) ** 2)
    return lambda weights: -np.sqrt(squared(weights))


PREPARE: dict[str, Prepare] = {"r2": _r2, "neg_mae": _neg_mae, "neg_rmse": _neg_rmse}
"""By name; see :func:`automl_transfer.metrics.prepare`."""
