"""Metrics of a probability for each label, where several labels may hold of a sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_transfer.metrics.weighting import (
    Evaluate,
    Prepare,
    Values,
    Weights,
    area,
    average_precision,
    mean,
    mean_defined,
    mean_of_shares,
)

HOLDS = 0.5
"""Probability from which on a label is taken to hold."""
_TINY = 1e-7
"""Probabilities are clipped to [tiny, 1 - tiny] in the log-loss."""

Sets = NDArray[np.uint8]


def holding(probabilities: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which labels are predicted, of the same shape."""
    found: NDArray[np.bool_] = probabilities >= HOLDS
    return found


def _mean_average_precision(probabilities: NDArray[np.floating], sets: Sets) -> Evaluate:
    """Over the labels that hold of a sample at least."""
    return mean_defined(
        [
            average_precision(probabilities[:, place], sets[:, place] > 0)
            for place in np.flatnonzero(sets.any(axis=0))
        ]
    )


def _roc_auc(probabilities: NDArray[np.floating], sets: Sets) -> Evaluate:
    """Macro average over the labels that hold of some samples, but not of all."""
    mixed = sets.any(axis=0) & ~sets.all(axis=0)
    return mean_defined(
        [area(probabilities[:, place], sets[:, place] > 0) for place in np.flatnonzero(mixed)]
    )


def _parts(
    probabilities: NDArray[np.floating], sets: Sets
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Twice the hits, and what was predicted plus what is true: of each label, shape (c, n)."""
    predicted, true = holding(probabilities), sets > 0
    hit = 2.0 * (predicted & true)
    both = predicted.astype(np.float64) + true
    return hit.T.astype(np.float64), both.T


def _macro_f1(probabilities: NDArray[np.floating], sets: Sets) -> Evaluate:
    """Over the labels that occur, in truth or in prediction."""
    hit, both = _parts(probabilities, sets)

    def evaluate(weights: Weights) -> Values:
        columns = np.ascontiguousarray(weights.T)
        return mean_of_shares(hit @ columns, both @ columns)

    return evaluate


def _micro_f1(probabilities: NDArray[np.floating], sets: Sets) -> Evaluate:
    """Over all pairs of a sample and a label; 0 where none is true and none predicted."""
    hit, both = (part.sum(axis=0) for part in _parts(probabilities, sets))

    def evaluate(weights: Weights) -> Values:
        whole = weights @ both
        return np.asarray(
            np.divide(weights @ hit, whole, out=np.zeros_like(whole), where=whole > 0)
        )

    return evaluate


def _subset_accuracy(probabilities: NDArray[np.floating], sets: Sets) -> Evaluate:
    """Share of the samples whose labels are all right."""
    return mean((holding(probabilities) == (sets > 0)).all(axis=1).astype(np.float64))


def _neg_log_loss(probabilities: NDArray[np.floating], sets: Sets) -> Evaluate:
    """Mean over the labels of the binary cross-entropy."""
    return mean(log_likelihood(probabilities, sets).mean(axis=1))


def log_likelihood(probabilities: NDArray[np.floating], sets: Sets) -> NDArray[np.float64]:
    """Logarithm of the probability of what is true, shape (n, c)."""
    chance = np.clip(probabilities.astype(np.float64), _TINY, 1 - _TINY)
    found: NDArray[np.float64] = np.log(np.where(sets > 0, chance, 1 - chance))
    return found


PREPARE: dict[str, Prepare] = {
    "mean_average_precision": _mean_average_precision,
    "macro_f1": _macro_f1,
    "micro_f1": _micro_f1,
    "subset_accuracy": _subset_accuracy,
    "roc_auc": _roc_auc,
    "neg_log_loss": _neg_log_loss,
}
"""By name; see :func:`automl_transfer.metrics.prepare`."""
