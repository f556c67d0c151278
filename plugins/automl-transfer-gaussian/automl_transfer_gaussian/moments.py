"""Means of the classes, and what is left of the features without them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of n samples with d features in c classes, each of which has one sample at least."""

    labels: NDArray[np.int64]
    """Shape (n,)."""
    counts: NDArray[np.int64]
    """Samples of each class, shape (c,)."""
    weights: Matrix
    """What a sample of each class counts for, shape (c,); the mean over the samples is 1."""
    means: Matrix
    """Shape (c, d)."""
    residuals: Matrix
    """Features less the mean of their class, times the root of the weight, shape (n, d)."""

    @property
    def priors(self) -> Matrix:
        """Share of each class, shape (c,)."""
        return self.weights * self.counts / len(self.labels)


def moments(
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    weights: NDArray[np.floating] | None = None,
) -> Moments:
    """Those of a sample that counts w times are those of w such samples.

    Args:
        features: Shape (n, d).
        labels: Indices of classes, none without a sample, shape (n,).
        weights: Of the classes, shape (c,); all alike when None.
    """
    counts = np.bincount(labels)
    each = np.ones(len(counts)) if weights is None else np.asarray(weights, dtype=np.float64)
    each = each * len(labels) / (each @ counts)
    exact = features.astype(np.float64)
    means = np.zeros((len(counts), features.shape[1]))
    np.add.at(means, labels, exact)
    means /= counts[:, None]
    exact -= means[labels]
    exact *= np.sqrt(each[labels])[:, None]
    return Moments(labels=labels, counts=counts, weights=each, means=means, residuals=exact)
