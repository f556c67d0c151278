"""Scores of predictions, and how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from automl_transfer.intervals import around, effective_samples
from automl_transfer.metrics import prepare, reported
from automl_transfer.recommendation import Interval
from automl_transfer.resampling import clusters_of, resampled_weights
from automl_transfer.target import Targets, columns, kind_of

_NEIGHBOURS_AT_ONCE = 1024
_QUERIES_AT_ONCE = 512
_PREDICTIONS_AT_ONCE = 1 << 22
_UNDEFINED = {"roc_auc": 0.5}
"""Where truth has a single class there is no pair to put in order. Other metrics that are not
defined, R2 of equal numbers among them, count as 0."""


def scores(predictions: NDArray[np.floating], targets: Targets) -> dict[str, float]:
    """All metrics of a prediction. Higher is better for each; losses and errors are negated.

    Args:
        predictions: Shape (n, c); or (repeats, n, c): means over the repeats.
        targets: Of n samples, see :mod:`automl_transfer.target`.

    Returns:
        By name, see :func:`.metrics.prepare`; ``top5_accuracy`` only with more than five classes.
    """
    names = reported(kind_of(targets), predictions.shape[-1])
    return {name: score(predictions, targets, name) for name in names}


def score(predictions: NDArray[np.floating], targets: Targets, metric: str) -> float:
    """One metric of a prediction, as in :func:`scores`."""
    value = float(prepare(metric, predictions, targets)(np.ones((1, len(targets))))[0])
    return value if np.isfinite(value) else _UNDEFINED.get(metric, 0.0)


def interval(
    predictions: NDArray[np.floating],
    targets: Targets,
    metric: str,
    seed: int,
    resamples: int = 1000,
    groups: NDArray[np.int64] | None = None,
) -> Interval:
    """Bootstrap interval (95 %) of one metric over the samples; see :func:`.intervals.around`.

    Args:
        predictions: Shape (n, c), or (repeats, n, c): the metric is averaged over the repeats.
        targets: Of n samples.
        metric: See :func:`.metrics.prepare`.
        seed: Decides the resamples.
        resamples: How many; fewer of large data (:func:`.resampling.resampled_weights`).
        groups: Shape (n,): samples of one group are drawn together. None: each by itself.
    """
    return next(intervals([predictions], targets, metric, seed, resamples, groups))


def intervals(
    predictions: Iterable[NDArray[np.floating]],
    targets: Targets,
    metric: str,
    seed: int,
    resamples: int = 1000,
    groups: NDArray[np.int64] | None = None,
) -> Iterator[Interval]:
    """As :func:`interval`, one for each of many predictions of the same samples.

    To draw the resamples takes longer than to score them, so as many predictions as memory has
    room for share them.
    """
    clusters = clusters_of(len(targets), groups)
    effective = effective_samples(metric, targets, clusters)
    for block in _blocks(predictions):
        evaluates = [prepare(metric, one, targets) for one in block]
        values = np.concatenate(
            [
                np.stack([evaluate(weights) for evaluate in evaluates])
                for weights in resampled_weights(clusters, resamples, seed)
            ],
            axis=1,
        )
        for one, found in zip(block, values, strict=True):
            yield around(
                score(one, targets, metric),
                found[np.isfinite(found)],
                metric,
                effective,
                int(clusters.max()) + 1,
            )


def _blocks(
    predictions: Iterable[NDArray[np.floating]],
) -> Iterator[list[NDArray[np.floating]]]:
    block: list[NDArray[np.floating]] = []
    for one in predictions:
        block.append(one)
        if sum(each.size for each in block) >= _PREDICTIONS_AT_ONCE:
            yield block
            block = []
    if block:
        yield block


def knn_predict(
    train: NDArray[np.float32],
    targets: Targets,
    queries: NDArray[np.float32],
    outputs: int,
    neighbours: int = 5,
    block_done: Callable[[], None] = lambda: None,
    by_angle: bool = True,
) -> NDArray[np.float32]:
    """Mean of the targets of the nearest neighbours, shape (m, outputs): class shares, shares of
    labels, or a mean number.

    Goes through both in blocks, so that memory-mapped features are never copied whole; after each
    pair of blocks it calls ``block_done``.

    Args:
        train: Shape (n, d).
        targets: Of n samples.
        queries: Shape (m, d).
        outputs: Columns of a prediction.
        neighbours: At most so many.
        block_done: See above.
        by_angle: Near is what has a similar direction (cosine similarity), as suits features of a
            network; else what is at a small Euclidean distance.
    """
    count = min(neighbours, len(targets))
    nearest = np.full((len(queries), count), -np.inf, dtype=np.float32)
    places = np.zeros((len(queries), count), dtype=np.int64)
    found = np.zeros((len(queries), outputs), dtype=np.float32)
    for first in range(0, len(queries), _QUERIES_AT_ONCE):
        rows = slice(first, first + _QUERIES_AT_ONCE)
        wanted = _unit(queries[rows]) if by_angle else queries[rows]
        for start in range(0, len(train), _NEIGHBOURS_AT_ONCE):
            known = train[start : start + _NEIGHBOURS_AT_ONCE]
            similar = wanted @ _unit(known).T if by_angle else _nearness(wanted, known)
            near = np.concatenate([nearest[rows], similar], axis=1)
            best = np.argpartition(-near, count - 1, axis=1)[:, :count]
            nearest[rows] = np.take_along_axis(near, best, axis=1)
            before = np.take_along_axis(places[rows], np.minimum(best, count - 1), axis=1)
            new = start + np.maximum(best - count, 0)
            places[rows] = np.where(best < count, before, new)
            block_done()
        of_nearest = columns(targets[places[rows].ravel()], outputs)
        found[rows] = of_nearest.reshape(-1, count, outputs).mean(axis=1)
    return found


def _nearness(queries: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[np.float32]:
    """Negative squared distances but for what is the same for all of ``known``, shape (m, n)."""
    lengths = np.einsum("nd,nd->n", known, known, dtype=np.float64)
    found: NDArray[np.float32] = (2.0 * (queries @ known.T) - lengths).astype(np.float32)
    return found


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    values = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    found: NDArray[np.float32] = np.divide(values, lengths, dtype=np.float32)
    return found


def resampled(
    predictions: NDArray[np.float32],
    targets: Targets,
    metric: str,
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """One metric under each row of sample weights, shape (r,).

    Args:
        predictions: Shape (n, c).
        targets: Of n samples.
        metric: One of those that :func:`scores` knows.
        weights: Shape (r, n), none negative; a row of zeros gives not-a-number.
    """
    return prepare(metric, predictions, targets)(weights)
