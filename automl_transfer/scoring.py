"""Scores of predicted probabilities, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from automl_transfer.recommendation import Interval

_WEIGHTS_AT_ONCE = 1 << 21
"""Numbers of a block of resamples."""
_NEIGHBOURS_AT_ONCE = 4096
_QUERIES_AT_ONCE = 1024
_TINY = 1e-7
"""Probabilities are clipped to [tiny, 1] in the log-loss, as scikit-learn does."""


def scores(probabilities: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, float]:
    """All metrics of a prediction. Higher is better for each; log-loss is negated.

    Args:
        probabilities: Shape (n, c), rows add up to 1.
        labels: Shape (n,), true class indices.
    """
    weights = np.ones((1, len(labels)))
    return {
        name: float(values[0])
        for name, values in _weighted(probabilities, labels, weights).items()
    }


def interval(
    probabilities: NDArray[np.float32],
    labels: NDArray[np.int64],
    metric: str,
    seed: int,
    resamples: int = 1000,
) -> Interval:
    """Percentile bootstrap interval (95 %) of one metric over the samples.

    Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13. Every metric here
    depends on the samples through weighted sums alone, so all resamples are one matrix product.
    """
    generator = np.random.default_rng(seed)
    n = len(labels)
    at_once = max(1, _WEIGHTS_AT_ONCE // n)
    parts = []
    for start in range(0, resamples, at_once):
        count = min(at_once, resamples - start)
        weights = generator.multinomial(n, np.full(n, 1 / n), size=count)  # (count, n)
        parts.append(_weighted(probabilities, labels, weights.astype(np.float64))[metric])
    values = np.concatenate(parts)
    low, high = np.quantile(values[np.isfinite(values)], [0.025, 0.975])
    return Interval(low=float(low), high=float(high))


def _weighted(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Each metric for each row of sample weights, shape (r, n); returns shape (r,) each."""
    n, classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    true_hot = np.zeros((n, classes))
    true_hot[np.arange(n), labels] = 1
    predicted_hot = np.zeros((n, classes))
    predicted_hot[np.arange(n), predicted] = 1
    hit = true_hot * predicted_hot
    chance = np.clip(probabilities[np.arange(n), labels].astype(np.float64), _TINY, 1)
    total = weights.sum(axis=1)
    true = weights @ true_hot  # (r, c)
    guessed = weights @ predicted_hot
    hits = weights @ hit
    present = true > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.where(present, hits / true, np.nan)
        # As scikit-learn: over the classes that occur, in truth or in prediction.
        f1 = np.where(true + guessed > 0, 2 * hits / (true + guessed), np.nan)
    return {
        "accuracy": hits.sum(axis=1) / total,
        "balanced_accuracy": np.nanmean(recall, axis=1),
        "macro_f1": np.nanmean(f1, axis=1),
        "neg_log_loss": weights @ np.log(chance) / total,
    }


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
    block of ``train`` it calls ``block_done``.
    """
    count = min(neighbours, len(labels))
    wanted = _unit(queries)
    nearest = np.full((len(queries), count), -np.inf, dtype=np.float32)
    votes = np.zeros((len(queries), count), dtype=np.int64)
    for start in range(0, len(train), _NEIGHBOURS_AT_ONCE):
        known = _unit(train[start : start + _NEIGHBOURS_AT_ONCE])
        for first in range(0, len(queries), _QUERIES_AT_ONCE):
            rows = slice(first, first + _QUERIES_AT_ONCE)
            near = np.concatenate([nearest[rows], wanted[rows] @ known.T], axis=1)
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
    return _weighted(probabilities, labels, weights)[metric]
