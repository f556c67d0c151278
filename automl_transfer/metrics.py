"""Metrics of predicted probabilities, for many weightings of the samples at once.

Each metric is prepared once for a prediction and then evaluated for a matrix of weights, a row for
each resample: a thousand resamples are a few matrix products.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Weights = NDArray[np.float64]
"""What each sample counts for, shape (r, n): a row for each resample."""
Values = NDArray[np.float64]
"""A metric of each row of weights, shape (r,); NaN where it is not defined."""
Evaluate = Callable[[Weights], Values]
Prepare = Callable[[NDArray[np.floating], NDArray[np.int64]], Evaluate]

TOP = 5
"""Guesses of ``top5_accuracy``, which is no metric for as few classes: it is always 1."""
BINS = 15
"""Bins of equal width of the expected calibration error (Guo et al., 2017, section 2)."""
_TINY = 1e-7
"""Probabilities are clipped to [tiny, 1] in the log-loss, as scikit-learn does."""


def prepare(
    metric: str, probabilities: NDArray[np.floating], labels: NDArray[np.int64]
) -> Evaluate:
    """Returns the metric as a function of the samples' weights; higher is better.

    Args:
        metric: ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``neg_log_loss``, ``roc_auc``
            (macro average of one class against the rest, ties count half, classes absent from
            truth left out), ``top5_accuracy`` or ``neg_ece``.
        probabilities: Shape (n, c), rows add up to 1; or (repeats, n, c): the metric is averaged
            over the repeats, in each resample.
        labels: Shape (n,), true class indices.
    """
    made = _PREPARE[metric]
    if probabilities.ndim == 2:
        return made(probabilities, labels)
    if len(probabilities) == 1:
        return made(probabilities[0], labels)
    each = [made(repeat, labels) for repeat in probabilities]
    return lambda weights: np.mean([evaluate(weights) for evaluate in each], axis=0)


def reported(classes: int) -> tuple[str, ...]:
    """Metrics that say something of a prediction with so many classes."""
    return tuple(name for name in _PREPARE if name != "top5_accuracy" or classes > TOP)


def is_share(metric: str) -> bool:
    """Whether the metric runs from 0 to 1."""
    return not metric.startswith("neg_")


def _mean(values: NDArray[np.float64]) -> Evaluate:
    return lambda weights: np.asarray(weights @ values / weights.sum(axis=1))


def _accuracy(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    return _mean((probabilities.argmax(axis=1) == labels).astype(np.float64))


def _balanced_accuracy(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    classes = probabilities.shape[1]
    true = _by_class(labels, classes)
    hit = _by_class(labels, classes, probabilities.argmax(axis=1) == labels)

    def evaluate(weights: Weights) -> Values:
        columns = np.ascontiguousarray(weights.T)
        return _mean_of_shares(hit @ columns, true @ columns)

    return evaluate


def _macro_f1(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    """As scikit-learn: over the classes that occur, in truth or in prediction."""
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    hit = _by_class(labels, classes, predicted == labels)
    both = _by_class(labels, classes) + _by_class(predicted, classes)

    def evaluate(weights: Weights) -> Values:
        columns = np.ascontiguousarray(weights.T)
        return _mean_of_shares(2 * (hit @ columns), both @ columns)

    return evaluate


def _mean_of_shares(parts: NDArray[np.float64], wholes: NDArray[np.float64]) -> Values:
    """Of each column, over the rows that have a whole; both of shape (c, r)."""
    there = wholes > 0
    shares = np.divide(parts, wholes, out=np.zeros_like(wholes), where=there).sum(axis=0)
    counted = there.sum(axis=0)
    return np.where(counted > 0, shares / np.maximum(counted, 1), np.nan)


def _neg_log_loss(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    chance = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return _mean(np.log(np.clip(chance, _TINY, 1)))


def _roc_auc(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    """Mann and Whitney's form: the weighted share of pairs in order (Fawcett, 2006, section 7)."""
    areas = [_area(probabilities[:, place], labels == place) for place in np.unique(labels)]

    def evaluate(weights: Weights) -> Values:
        columns = np.ascontiguousarray(weights.T)
        found = np.stack([area(columns) for area in areas])
        defined = np.isfinite(found)
        sums = np.where(defined, found, 0.0).sum(axis=0)
        counted = defined.sum(axis=0)
        return np.where(counted > 0, sums / np.maximum(counted, 1), np.nan)

    return evaluate


def _area(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Evaluate:
    """Of one class; it takes weights of shape (n, r).

    The scores of the positives cut the line into points and gaps, 2 m + 1 in all for m different
    scores. The negatives' weight in each, summed up from the left, is what a positive wins over.
    """
    cuts, at = np.unique(scores[positive], return_inverse=True)
    others = np.flatnonzero(~positive)
    gap = np.searchsorted(cuts, scores[others])
    on = cuts[np.minimum(gap, len(cuts) - 1)] == scores[others]
    negatives = _sums(2 * gap + on, others, (2 * len(cuts) + 1, len(scores)))
    positives = _sums(at, np.flatnonzero(positive), (len(cuts), len(scores)))

    def evaluate(columns: Weights) -> Values:
        below = np.cumsum(negatives @ columns, axis=0)
        own = positives @ columns
        won = (own * (below[:-1:2] + below[1::2])).sum(axis=0) / 2
        pairs = own.sum(axis=0) * below[-1]
        return np.asarray(np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))

    return evaluate


def _sums(
    rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]
) -> sparse.csr_array:
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)


def _by_class(
    labels: NDArray[np.int64], classes: int, which: NDArray[np.bool_] | None = None
) -> sparse.csr_array:
    """Sums over the samples of each class, shape (c, n); only of those ``which`` says."""
    places = np.arange(len(labels)) if which is None else np.flatnonzero(which)
    return _sums(labels[places], places, (classes, len(labels)))


def _top5_accuracy(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    """Of classes with the same probability the first comes first, as in ``argmax``."""
    own = probabilities[np.arange(len(labels)), labels][:, None]
    before = np.arange(probabilities.shape[1]) < labels[:, None]
    ahead = (probabilities > own) | ((probabilities == own) & before)
    return _mean((ahead.sum(axis=1) < TOP).astype(np.float64))


def _neg_ece(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> Evaluate:
    """Guo et al., 2017, equation 3: bins are half open, (low, high]."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    gap = (probabilities.argmax(axis=1) == labels) - confidence
    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    binned = np.where(place[:, None] == np.arange(BINS), gap[:, None], 0.0)
    return lambda weights: -np.asarray(np.abs(weights @ binned).sum(axis=1) / weights.sum(axis=1))


_PREPARE: dict[str, Prepare] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
    "macro_f1": _macro_f1,
    "neg_log_loss": _neg_log_loss,
    "roc_auc": _roc_auc,
    "top5_accuracy": _top5_accuracy,
    "neg_ece": _neg_ece,
}
