"""The score of a winner that was chosen on the samples that score it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from automl_transfer.comparison import ALIKE, Comparison
from automl_transfer.intervals import around, effective_samples
from automl_transfer.metrics import Evaluate, best_possible, prepare
from automl_transfer.recommendation import Interval
from automl_transfer.resampling import clusters_of, resampled_weights
from automl_transfer.target import Targets
from automl_transfer.withheld import EXPONENTS, Withheld

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
    gain: float | None
    """What was added for the samples that were withheld from the models that were scored; None
    where that was not measured."""


def highest(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rule that the best value is chosen; of several, each in its part."""
    leading = values >= values.max(axis=1, keepdims=True) - ALIKE
    parts: NDArray[np.float64] = leading / leading.sum(axis=1, keepdims=True)
    return parts


def corrected(
    probabilities: Sequence[NDArray[np.floating]],
    labels: Targets,
    metric: str,
    seed: int,
    comparison: Comparison,
    *,
    rule: Rule = highest,
    groups: NDArray[np.int64] | None = None,
    withheld: Withheld | None = None,
    resamples: int = 2000,
) -> Corrected:
    """Bias-corrected estimate of the score of what ``rule`` chose.

    The choice is repeated on each resample and scored on the samples that are not in it; the mean
    of that is the estimate (BBC-CV: Tsamardinos, Greasidou and Borboudakis, Machine Learning
    2018, algorithm 3). For contenders that are truly equal it is unbiased: what the choice gains
    by chance in the resample, it loses outside of it. Where one is far ahead it is its own score.

    The interval is not the percentiles of these scores, which scatter like scores of a third of
    the samples. Its low end is that of a score with the scatter of the choice's value in the
    resamples. Its high end is at least that of the winner's own score: how much there is to
    correct is an estimate too, and the less the winner was ahead by luck, the worse a one.

    What the withheld samples would have added (:mod:`.withheld`) is added, in each resample anew
    and with another exponent of the learning curve, so that the interval is wider by what is not
    known of it.

    Args:
        probabilities: Of each contender, out of fold: shape (n, c), or (repeats, n, c).
        labels: Targets of n samples, in the form of their kind.
        metric: See :func:`.metrics.prepare`.
        seed: Decides the resamples.
        comparison: Of the same contenders, by the same metric.
        rule: Who is chosen.
        groups: Shape (n,): samples of one group are drawn together. None: each by itself.
        withheld: What is known of learning from less, on the same samples. None: nothing is added.
        resamples: How many; fewer of large data (:func:`.resampling.resampled_weights`).
    """
    clusters = clusters_of(len(labels), groups)
    evaluates = [prepare(metric, one, labels) for one in probabilities]
    gained = None if withheld is None else partial(withheld.gained, labels, metric)
    inside, outside, gains = _resampled(
        evaluates, gained, resampled_weights(clusters, resamples, seed)
    )
    winner = comparison.contenders[chosen(comparison, rule)]
    if not len(inside):
        return Corrected(value=winner.value, interval=winner.interval, optimism=0.0, gain=None)
    alone = _out_of_choice(inside, outside, rule)
    scattered = (rule(inside) * inside).sum(axis=1)
    gain = 0.0
    if withheld is not None and gained is not None:
        gain = float(withheld.times() * gained(np.ones((1, len(labels))))[0])
        scattered = scattered + withheld.times(np.linspace(*EXPONENTS, len(gains))) * gains
    best = best_possible(metric)
    value = min(alone + gain, best)
    ends = around(
        value,
        scattered - scattered.mean() + value,
        metric,
        effective_samples(metric, labels, clusters),
        int(clusters.max()) + 1,
    )
    high = max(ends.high, min(winner.interval.high + gain, best))
    return Corrected(
        value=value,
        interval=Interval(low=ends.low, high=high),
        optimism=winner.value - alone,
        gain=None if withheld is None else gain,
    )


def of_choices(
    probabilities: Sequence[Sequence[NDArray[np.floating]]],
    labels: Targets,
    metric: str,
    seed: int,
    *,
    groups: NDArray[np.int64] | None = None,
    resamples: int = 2000,
) -> list[float] | None:
    """What the best of each of several pools is worth on samples that it was not chosen on.

    The first of a pool is its best. Of its value is taken off what the choice among many gained by
    luck: by how much it is better, outside of each resample, than what is best inside of it (the
    resamples of :func:`corrected`). Of a pool of one that is nothing, whatever the metric.

    Args:
        probabilities: Of each contender of each pool, shape (n, c), the best first; no pool is
            empty.
        labels: Targets of n samples, in the form of their kind.
        metric: See :func:`.metrics.prepare`.
        seed: Decides the resamples, which are the same for all pools.
        groups: Shape (n,): samples of one group are drawn together. None: each by itself.
        resamples: How many; fewer of large data.

    Returns:
        An estimate for each pool; None where the metric is defined for all in no resample.
    """
    evaluates = [prepare(metric, one, labels) for pool in probabilities for one in pool]
    weights = resampled_weights(clusters_of(len(labels), groups), resamples, seed)
    inside, outside, _ = _resampled(evaluates, None, weights)
    if not len(inside):
        return None
    worth, start, whole = [], 0, np.ones((1, len(labels)))
    for pool in probabilities:
        those = slice(start, start + len(pool))
        luck = outside[:, start].mean() - _out_of_choice(
            inside[:, those], outside[:, those], highest
        )
        worth.append(float(evaluates[start](whole)[0] - luck))
        start += len(pool)
    return worth


def _out_of_choice(inside: NDArray[np.float64], outside: NDArray[np.float64], rule: Rule) -> float:
    """The mean over resamples, outside of which what is chosen inside is scored."""
    return float((rule(inside) * outside).sum(axis=1).mean())


def chosen(comparison: Comparison, rule: Rule) -> int:
    """Which contender a rule chooses."""
    values = np.array([[one.value for one in comparison.contenders]])
    shares = rule(values)[0]
    # Of several that are equal, the one that the comparison takes for the best.
    equal = np.flatnonzero(shares >= shares.max() - ALIKE)
    return comparison.best if comparison.best in equal else int(equal[0])


def _resampled(
    evaluates: Sequence[Evaluate], gained: Evaluate | None, weights: Iterator[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Each metric within each resample and outside of it, shape (r, f) each, and the gain, (r,).

    Resamples in or outside of which one is not defined are left out.
    """
    inside, outside, gains = [], [], []
    for block in weights:
        without = (block == 0).astype(np.float64)
        some = without.any(axis=1)
        block, without = block[some], without[some]
        inside.append(np.stack([evaluate(block) for evaluate in evaluates], axis=1))
        outside.append(np.stack([evaluate(without) for evaluate in evaluates], axis=1))
        gains.append(np.zeros(len(block)) if gained is None else gained(block))
    within, beyond, added = (np.concatenate(each) for each in (inside, outside, gains))
    kept = np.isfinite(within).all(axis=1) & np.isfinite(beyond).all(axis=1) & np.isfinite(added)
    return within[kept], beyond[kept], added[kept]
