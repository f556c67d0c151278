"""What metrics of all kinds are made of: sums under many weightings of the samples at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from automl_transfer.target import Targets

Weights = NDArray[np.float64]
"""What each sample counts for, shape (r, n): a row for each resample."""
Values = NDArray[np.float64]
"""A metric of each row of weights, shape (r,); NaN where it is not defined."""
Evaluate = Callable[[Weights], Values]
Prepare = Callable[[NDArray[np.floating], Targets], Evaluate]


def mean(values: NDArray[np.float64]) -> Evaluate:
    """Weighted mean of a value of each sample, shape (n,)."""
    return lambda weights: np.asarray(weights @ values / weights.sum(axis=1))


def mean_of_shares(parts: NDArray[np.float64], wholes: NDArray[np.float64]) -> Values:
    """Of each column, over the rows that have a whole; both of shape (c, r)."""
    there = wholes > 0
    shares = np.divide(parts, wholes, out=np.zeros_like(wholes), where=there).sum(axis=0)
    counted = there.sum(axis=0)
    return np.where(counted > 0, shares / np.maximum(counted, 1), np.nan)


def mean_defined(each: Sequence[Evaluate]) -> Evaluate:
    """Mean of several metrics, without those that are not defined; NaN where none is.

    Args:
        each: They take weights of shape (n, r), the samples first.
    """

    def evaluate(weights: Weights) -> Values:
        columns = np.ascontiguousarray(weights.T)
        if not each:
            return np.full(len(weights), np.nan)
        found = np.stack([one(columns) for one in each])
        defined = np.isfinite(found)
        counted = defined.sum(axis=0)
        total = np.where(defined, found, 0.0).sum(axis=0)
        return np.where(counted > 0, total / np.maximum(counted, 1), np.nan)

    return evaluate


def area(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Evaluate:
    """Area under the ROC curve of one class or label; it takes weights of shape (n, r).

    Mann and Whitney's form: the weighted share of pairs in order, ties for half (Fawcett, 2006,
    section 7). The scores of the positives cut the line into points and gaps, 2 m + 1 in all for m
    different scores. The negatives' weight in each, summed up from the left, is what a positive
    wins over.
    """
    cuts, at = np.unique(scores[positive], return_inverse=True)
    others = np.flatnonzero(~positive)
    gap = np.searchsorted(cuts, scores[others])
    on = cuts[np.minimum(gap, len(cuts) - 1)] == scores[others]
    negatives = sums(2 * gap + on, others, (2 * len(cuts) + 1, len(scores)))
    positives = sums(at, np.flatnonzero(positive), (len(cuts), len(scores)))

    def evaluate(columns: Weights) -> Values:
        below = np.cumsum(negatives @ columns, axis=0)
        own = positives @ columns
        won = (own * (below[:-1:2] + below[1::2])).sum(axis=0) / 2
        pairs = own.sum(axis=0) * below[-1]
        return np.asarray(np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0))

    return evaluate


def average_precision(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> Evaluate:
    """Of one class or label; it takes weights of shape (n, r).

    The precision at the score of each positive, averaged over the positives, as scikit-learn's
    (no interpolation: Su, Yuan and Zhu, 2015). Equal scores are taken in at once.
    """
    cuts, at = np.unique(scores[positive], return_inverse=True)
    others = np.flatnonzero(~positive)
    reached = np.searchsorted(cuts, scores[others], side="right")
    positives = sums(at, np.flatnonzero(positive), (len(cuts), len(scores)))
    negatives = sums(reached, others, (len(cuts) + 1, len(scores)))

    def evaluate(columns: Weights) -> Values:
        own = positives @ columns
        right = np.cumsum(own[::-1], axis=0)[::-1]
        wrong = np.cumsum((negatives @ columns)[::-1], axis=0)[::-1][1:]
        taken = right + wrong
        precision = np.divide(right, taken, out=np.zeros_like(right), where=taken > 0)
        total = own.sum(axis=0)
        won = (own * precision).sum(axis=0)
        return np.asarray(np.divide(won, total, out=np.full(len(total), np.nan), where=total > 0))

    return evaluate


def sums(
    rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]
) -> sparse.csr_array:
    """A matrix of ones at these places: times a matrix, it adds up rows of it."""
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)


def by_index(
    labels: NDArray[np.int64], classes: int, which: NDArray[np.bool_] | None = None
) -> sparse.csr_array:
    """Sums over the samples of each class, shape (c, n); only of those ``which`` says."""
    places = np.arange(len(labels)) if which is None else np.flatnonzero(which)
    return sums(labels[places], places, (classes, len(labels)))
