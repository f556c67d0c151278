"""What one sample more or less is worth in the difference of two predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_TINY = 1e-7


def worth(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    labels: NDArray[np.int64],
    metric: str,
    clusters: NDArray[np.int64],
) -> float:
    """The most that one of the samples, or clusters, on which they differ could move the metric.

    0 for predictions that never differ: these are the same, not alike by chance.

    Args:
        first: Shape (n, c), or (repeats, n, c).
        second: Likewise.
        labels: Shape (n,).
        metric: See :func:`.metrics.prepare`.
        clusters: Shape (n,), of :func:`.resampling.clusters_of`.
    """
    one, other = (np.atleast_3d(each.T).T for each in (first, second))  # (repeats, n, c)
    differ = _differ(one, other, labels, metric)
    counts = np.bincount(labels)
    if metric in ("balanced_accuracy", "macro_f1", "roc_auc"):
        # Each class has the same say, divided among its samples.
        shares = 1 / (np.count_nonzero(counts) * counts[labels])
    else:
        shares = np.full(len(labels), 1 / len(labels))
    return float(np.bincount(clusters, shares * differ).max())


def _differ(
    one: NDArray[np.floating], other: NDArray[np.floating], labels: NDArray[np.int64], metric: str
) -> NDArray[np.float64]:
    """How much they differ on each sample, shape (n,), mean of the repeats."""
    if metric == "neg_log_loss":
        rows = np.arange(len(labels))
        logs = [
            np.log(np.clip(each[:, rows, labels].astype(np.float64), _TINY, 1)).mean(axis=0)
            for each in (one, other)
        ]
        return np.asarray(np.abs(logs[0] - logs[1]))
    if metric in ("accuracy", "balanced_accuracy", "macro_f1"):
        return np.asarray((one.argmax(axis=2) != other.argmax(axis=2)).mean(axis=0))
    return np.asarray((one != other).any(axis=2).mean(axis=0))
