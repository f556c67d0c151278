"""What one sample more or less is worth in the difference of two predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_transfer.metrics import holding, multi_label, single_label
from automl_transfer.metrics.regression import residuals
from automl_transfer.target import Targets, kind_of


def worth(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    targets: Targets,
    metric: str,
    clusters: NDArray[np.int64],
) -> float:
    """The most that one of the samples, or clusters, on which they differ could move the metric.

    0 for predictions that never differ: these are the same, not alike by chance.

    Args:
        first: Shape (n, c), or (repeats, n, c).
        second: Likewise.
        targets: Of n samples.
        metric: See :func:`.metrics.prepare`.
        clusters: Shape (n,), of :func:`.resampling.clusters_of`.
    """
    one, other = (np.atleast_3d(each.T).T for each in (first, second))  # (repeats, n, c)
    kind = kind_of(targets)
    if kind == "regression":
        moved = _of_numbers(one, other, targets, metric)
    elif kind == "multi-label":
        moved = _of_sets(one, other, targets, metric)
    else:
        moved = _of_classes(one, other, targets, metric)
    return float(np.bincount(clusters, moved).max())


def _of_classes(
    one: NDArray[np.floating], other: NDArray[np.floating], labels: NDArray[np.int64], metric: str
) -> NDArray[np.float64]:
    """What each sample could move, shape (n,)."""
    counts = np.bincount(labels)
    if metric == "roc_auc":
        present = np.flatnonzero(counts)
        true = labels[:, None] == present
        return _by_rank(one[:, :, present], other[:, :, present], true, sided=True)
    if metric in ("balanced_accuracy", "macro_f1"):
        # Each class has the same say, divided among its samples.
        shares = 1 / (np.count_nonzero(counts) * counts[labels])
    else:
        shares = np.full(len(labels), 1 / len(labels))
    found: NDArray[np.float64] = shares * _differ(one, other, labels, metric)
    return found


def _by_rank(
    one: NDArray[np.floating], other: NDArray[np.floating], true: NDArray[np.bool_], sided: bool
) -> NDArray[np.float64]:
    """Of metrics of order, which each class or label has the same say in, shape (n,).

    A sample that moves by a share of the ranks moves the area under the ROC curve by that share,
    divided by how many are on its side. The average precision rests on the positives alone: one
    negative that comes to the top costs each of them.

    Args:
        one: Shape (repeats, n, c).
        other: Likewise.
        true: Of which classes or labels each sample is, shape (n, c).
        sided: Whether negatives count among negatives; else all count among the positives.
    """
    n, labels = true.shape
    moved = np.abs(_ranks(one) - _ranks(other)).mean(axis=0) / max(n - 1, 1)
    positive = true.sum(axis=0)
    sides = np.where(true, positive, n - positive) if sided else np.tile(positive, (n, 1))
    found: NDArray[np.float64] = (moved / np.maximum(sides, 1)).sum(axis=1) / max(labels, 1)
    return found


def _ranks(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """Place of each sample in the order of each column, shape (repeats, n, c)."""
    return np.argsort(np.argsort(scores, axis=1, kind="stable"), axis=1, kind="stable")


def _of_sets(
    one: NDArray[np.floating], other: NDArray[np.floating], sets: NDArray[np.uint8], metric: str
) -> NDArray[np.float64]:
    n = len(sets)
    if metric == "neg_log_loss":
        likely = [
            np.mean([multi_label.log_likelihood(p, sets) for p in each], axis=0)
            for each in (one, other)
        ]
        return np.asarray(np.abs(likely[0] - likely[1]).mean(axis=1) / n)
    present = sets.any(axis=0)
    if metric in ("mean_average_precision", "roc_auc"):
        true = sets[:, present] > 0
        return _by_rank(one[:, :, present], other[:, :, present], true, metric == "roc_auc")
    differ = (holding(one) != holding(other)).mean(axis=0)
    if metric == "subset_accuracy":
        return np.asarray(differ.max(axis=1) / n)
    if metric == "micro_f1":
        return np.asarray(differ.sum(axis=1) / max(int(sets.sum()), 1))
    # Each label has the same say, divided among the samples of which it holds.
    counts = sets.sum(axis=0, dtype=np.int64)
    shares = np.where(present, 1 / np.maximum(counts, 1), 0.0) / max(int(present.sum()), 1)
    return np.asarray(differ @ shares)


def _of_numbers(
    one: NDArray[np.floating],
    other: NDArray[np.floating],
    numbers: NDArray[np.float64],
    metric: str,
) -> NDArray[np.float64]:
    n = len(numbers)
    errors = [np.stack([residuals(p, numbers) for p in each]) for each in (one, other)]
    if metric == "neg_mae":
        gap = np.abs(errors[0]).mean(axis=0) - np.abs(errors[1]).mean(axis=0)
        return np.asarray(np.abs(gap) / n)
    squares = [(each**2).mean(axis=0) for each in errors]
    gap = np.abs(squares[0] - squares[1])
    if metric == "r2":
        spread = float(((numbers - numbers.mean()) ** 2).sum())
        return np.asarray(gap / spread if spread > 0 else gap * 0)
    root = float(np.sqrt(np.mean(squares)))
    return np.asarray(gap / (2 * n * root) if root > 0 else gap * 0)


def _differ(
    one: NDArray[np.floating], other: NDArray[np.floating], labels: NDArray[np.int64], metric: str
) -> NDArray[np.float64]:
    """How much they differ on each sample, shape (n,), mean of the repeats."""
    if metric == "neg_log_loss":
        logs = [
            np.mean([single_label.log_likelihood(p, labels) for p in each], axis=0)
            for each in (one, other)
        ]
        return np.asarray(np.abs(logs[0] - logs[1]))
    if metric in ("accuracy", "balanced_accuracy", "macro_f1"):
        return np.asarray((one.argmax(axis=2) != other.argmax(axis=2)).mean(axis=0))
    return np.asarray((one != other).any(axis=2).mean(axis=0))
