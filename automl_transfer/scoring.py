"""Scores of predicted probabilities, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from automl_transfer.intervals import around, effective_samples
from automl_transfer.metrics import prepare, reported
from automl_transfer.recommendation import Interval
from automl_transfer.resampling import clusters_of, evaluated, resampled_weights

_NEIGHBOURS_AT_ONCE = 1024
_QUERIES_AT_ONCE = 512
_NO_ORDER = 0.5
"""ROC-AUC where truth has a single class: there is no pair to put in order."""


def scores(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> dict[str, float]:
    """All metrics of a prediction. Higher is better for each; log-loss and ECE are negated.

    Args:
        probabilities: Shape (n, c), rows add up to 1; or (repeats, n, c): means over the repeats.
        labels: Shape (n,), true class indices.

    Returns:
        By name, see :func:`.metrics.prepare`; ``top5_accuracy`` only with more than five classes.
    """
    return {name: score(probabilities, labels, name) for name in reported(probabilities.shape[-1])}


def score(probabilities: NDArray[np.floating], labels: NDArray[np.int64], metric: str) -> float:
    """One metric of a prediction, as in :func:`scores`."""
    value = float(prepare(metric, probabilities, labels)(np.ones((1, len(labels))))[0])
    return value if np.isfinite(value) else _NO_ORDER


def interval(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.int64],
    metric: str,
    seed: int,
    resamples: int = 1000,
    groups: NDArray[np.int64] | None = None,
) -> Interval:
    """Bootstrap interval (95 %) of one metric over the samples; see :func:`.intervals.around`.

    Args:
        probabilities: Shape (n, c), or (repeats, n, c): the metric is averaged over the repeats.
        labels: Shape (n,).
        metric: See :func:`.metrics.prepare`.
        seed: Decides the resamples.
        resamples: How many; fewer of large data (:func:`.resampling.resampled_weights`).
        groups: Shape (n,): samples of one group are drawn together. None: each by itself.
    """
    clusters = clusters_of(len(labels), groups)
    evaluate = prepare(metric, probabilities, labels)
    values = evaluated([evaluate], resampled_weights(clusters, resamples, seed))[:, 0]
    return around(
        score(probabilities, labels, metric),
        values,
        metric,
        effective_samples(metric, labels, clusters),
        int(clusters.max()) + 1,
    )


def knn_predict(
    train: NDArray[np.float32],
    labels: NDArray[np.int64],
    queries: NDArray[np.float32],
    classes: int,
    neighbours: int = 5,
    block_done: Callable[[], None] = lambda: None,
) -> NDArray[np.float32]:
    """Class shares among the nearest neighbours by cosine similarity, shape (m, classes).

    Goes through both in blocks, so that memory-mapped features are never copied whole; after each
    pair of blocks it calls ``block_done``.
    """
    count = min(neighbours, len(labels))
    nearest = np.full((len(queries), count), -np.inf, dtype=np.float32)
    votes = np.zeros((len(queries), count), dtype=np.int64)
    for first in range(0, len(queries), _QUERIES_AT_ONCE):
        rows = slice(first, first + _QUERIES_AT_ONCE)
        wanted = _unit(queries[rows])
        for start in range(0, len(train), _NEIGHBOURS_AT_ONCE):
            known = _unit(train[start : start + _NEIGHBOURS_AT_ONCE])
            near = np.concatenate([nearest[rows], wanted @ known.T], axis=1)
            best = np.argpartition(-near, count - 1, axis=1)[:, :count]
            nearest[rows] = np.take_along_axis(near, best, axis=1)
            before = np.take_along_axis(votes[rows], np.minimum(best, count - 1), axis=1)
            new = labels[start + np.maximum(best - count, 0)]
            votes[rows] = np.where(best < count, before, new)
            block_done()
    shares = np.zeros((len(queries), classes), dtype=np.float32)
    np.add.at(shares, (np.arange(len(queries))[:, None], votes), np.float32(1 / count))
    return shares


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    values = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    found: NDArray[np.float32] = np.divide(values, lengths, dtype=np.float32)
    return found


def resampled(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    metric: str,
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """One metric under each row of sample weights, shape (r,).

    Args:
        probabilities: Shape (n, c).
        labels: Shape (n,).
        metric: One of those that :func:`scores` knows.
        weights: Shape (r, n), none negative; a row of zeros gives not-a-number.
    """
    return prepare(metric, probabilities, labels)(weights)
