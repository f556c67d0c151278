"""The score of a winner that was chosen on the samples that score it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.comparison import ALIKE, Comparison
from automl_transfer.intervals import around, effective_samples
from automl_transfer.metrics import Evaluate, prepare
from automl_transfer.recommendation import Interval
from automl_transfer.resampling import clusters_of, resampled_weights
from automl_transfer.target import Targets

Rule = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From values, shape (r, f), to how much of the choice each contender has, shape (r, f); the rows
add up to 1."""


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """An estimate of the winner's score on new samples."""

    value: float
    interval: Interval
    optimism: float
    """What was taken off its score on the samples that it was chosen on."""


def choose(comparison: Comparison, prefer: Sequence[int] | None = None) -> int:
    """Which contender wins: the first of ``prefer`` that is tied with the best.

    Args:
        comparison: Of the contenders.
        prefer: All contenders, the cheapest first. None: the one with the highest value.
    """
    if prefer is None:
        return comparison.best
    return next(place for place in prefer if comparison.contenders[place].tied)


def corrected(
    probabilities: Sequence[NDArray[np.floating]],
    labels: Targets,
    metric: str,
    seed: int,
    comparison: Comparison,
    prefer: Sequence[int] | None = None,
    groups: NDArray[np.int64] | None = None,
    resamples: int = 2000,
    rule: Rule | None = None,
) -> Corrected:
    """Bias-corrected estimate of the score of what :func:`choose` chose.

    The choice is repeated on each resample and scored on the samples that are not in it; the mean
    of that is the estimate (BBC-CV: Tsamardinos, Greasidou and Borboudakis, Machine Learning
    2018, algorithm 3). For contenders that are truly equal it is unbiased: what the choice gains
    by chance in the resample, it loses outside of it. Where one is far ahead it is its own score.

    The interval is not the percentiles of these scores, which scatter like scores of a third of
    the samples. Its low end is that of a score with the scatter of the choice's value in the
    resamples. Its high end is at least that of the winner's own score: how much there is to
    correct is an estimate too, and the less the winner was ahead by luck, the worse a one.

    Args:
        probabilities: Of each contender, out of fold: shape (n, c), or (repeats, n, c).
        labels: Targets of n samples, in the form of their kind.
        metric: See :func:`.metrics.prepare`.
        seed: Decides the resamples.
        comparison: Of the same contenders, by the same metric.
        prefer: As given to :func:`choose`.
        groups: Shape (n,): samples of one group are drawn together. None: each by itself.
        resamples: How many; fewer of large data (:func:`.resampling.resampled_weights`).
        rule: Who is chosen, in place of :func:`choose` and ``prefer``.
    """
    clusters = clusters_of(len(labels), groups)
    evaluates = [prepare(metric, one, labels) for one in probabilities]
    inside, outside = _both(evaluates, resampled_weights(clusters, resamples, seed))
    if rule is None:
        place = choose(comparison, prefer)
    else:
        values = np.array([[one.value for one in comparison.contenders]])
        place = int(rule(values)[0].argmax())
    winner = comparison.contenders[place]
    if not len(inside):
        return Corrected(value=winner.value, interval=winner.interval, optimism=0.0)
    shares = _chosen(inside, comparison.margins, prefer) if rule is None else rule(inside)
    value = float((shares * outside).sum(axis=1).mean())
    scattered = (shares * inside).sum(axis=1)
    ends = around(
        value,
        scattered - scattered.mean() + value,
        metric,
        effective_samples(metric, labels, clusters),
        int(clusters.max()) + 1,
    )
    return Corrected(
        value=value,
        interval=Interval(low=ends.low, high=max(ends.high, winner.interval.high)),
        optimism=winner.value - value,
    )


def _both(
    evaluates: Sequence[Evaluate], weights: Iterator[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each metric within each resample and outside of it, shape (r, f) each.

    Resamples in or outside of which one is not defined are left out.
    """
    inside, outside = [], []
    for block in weights:
        without = (block == 0).astype(np.float64)
        some = without.any(axis=1)
        inside.append(np.stack([evaluate(block[some]) for evaluate in evaluates], axis=1))
        outside.append(np.stack([evaluate(without[some]) for evaluate in evaluates], axis=1))
    within, beyond = np.concatenate(inside), np.concatenate(outside)
    kept = np.isfinite(within).all(axis=1) & np.isfinite(beyond).all(axis=1)
    return within[kept], beyond[kept]


def _chosen(
    values: NDArray[np.float64], margins: NDArray[np.float64], prefer: Sequence[int] | None
) -> NDArray[np.float64]:
    """How much of the choice each contender has for each row of values, shape (r, f).

    Where several are the best, each is taken as such in its part.
    """
    leading = values >= values.max(axis=1, keepdims=True) - ALIKE
    parts: NDArray[np.float64] = leading / leading.sum(axis=1, keepdims=True)
    if prefer is None:
        return parts
    order = np.asarray(prefer)
    shares = np.zeros_like(values)
    for best in range(values.shape[1]):
        tied = values[:, best, None] - values <= margins[best] + ALIKE
        chosen = order[tied[:, order].argmax(axis=1)]
        shares[np.arange(len(values)), chosen] += parts[:, best]
    return shares
