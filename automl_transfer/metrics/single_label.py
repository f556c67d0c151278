"""Metrics of predicted class probabilities, where each sample is of one class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_transfer.metrics.weighting import (
    Evaluate,
    Prepare,
    Values,
    Weights,
    area,
    by_index,
    mean,
    mean_defined,
    mean_of_shares,
)

TOP = 5
"""Guesses of ``top5_accuracy``, which is no metric for as few classes: it is always 1."""
BINS = 15
"""Bins of equal width of the expected calibration error (Guo et al., 2017, section 2)."""
_TINY = 1e-7
"""Probabilities are clipped to [tiny, 1] in the log-loss, as scikit-learn does."""


def _accuracy(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    return mean((probabilities.argmax(axis=1) == labels).astype(np.float64))


def _balanced_accuracy(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    classes = probabilities.shape[1]
    true = by_index(labels, classes)
    hit = by_index(labels, classes, probabilities.argmax(axis=1) == labels)

    def evaluate(weights: Weights) -> Values:
        columns = np.ascontiguousarray(weights.T)
        return mean_of_shares(hit @ columns, true @ columns)

    return evaluate


def _macro_f1(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    """As scikit-learn: over the classes that occur, in truth or in prediction."""
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    hit = by_index(labels, classes, predicted == labels)
    both = by_index(labels, classes) + by_index(predicted, classes)

    def evaluate(weights: Weights) -> Values:
        columns = np.ascontiguousarray(weights.T)
        return mean_of_shares(2 * (hit @ columns), both @ columns)

    return evaluate


def _neg_log_loss(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    return mean(log_likelihood(probabilities, labels))


def log_likelihood(
    probabilities: NDArray[np.floating], labels: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Logarithm of the probability of what is true, shape (n,)."""
    chance = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    found: NDArray[np.float64] = np.log(np.clip(chance, _TINY, 1))
    return found


def _roc_auc(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    """Macro average of one class against the rest; classes that do not occur are left out."""
    return mean_defined(
        [area(probabilities[:, place], labels == place) for place in np.unique(labels)]
    )


def _top5_accuracy(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    """Of classes with the same probability the first comes first, as in ``argmax``."""
    own = probabilities[np.arange(len(labels)), labels][:, None]
    before = np.arange(probabilities.shape[1]) < labels[:, None]
    ahead = (probabilities > own) | ((probabilities == own) & before)
    return mean((ahead.sum(axis=1) < TOP).astype(np.float64))


def _neg_ece(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    """Guo et al., 2017, equation 3: bins are half open, (low, high]."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    gap = (probabilities.argmax(axis=1) == labels) - confidence
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    binned = np.where(place[:, None] == np.arange(BINS), gap[:, None], 0.0)
    return lambda weights: -np.asarray(np.abs(weights @ binned).sum(axis=1) / weights.sum(axis=1))


PREPARE: dict[str, Prepare] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "neg_log_loss": _neg_log_loss,
    "roc_auc": _roc_auc,
    "top5_accuracy": _top5_accuracy,
    "neg_ece": _neg_ece,
}
"""By name; see :func:`automl_transfer.metrics.prepare`."""


def reported(classes: int) -> tuple[str, ...]:
    """Metrics that say something of a prediction with so many classes."""
    return tuple(name for name in PREPARE if name != "top5_accuracy" or classes > TOP)
