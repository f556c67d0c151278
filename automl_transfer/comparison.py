"""Predictions of the same samples side by side: which is best, and what is only chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from automl_transfer.intervals import around, critical, effective_samples
from automl_transfer.metrics import TIE_BREAKER, prepare
from automl_transfer.recommendation import Interval
from automl_transfer.resampling import clusters_of, evaluated, resampled_weights
from automl_transfer.scoring import score
from automl_transfer.target import Targets, kind_of
from automl_transfer.worth import worth

_POWER = 0.8
ALIKE = 1e-12
"""Values that differ by less are the same; sums in another order differ by as much."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One prediction among others."""

    value: float
    interval: Interval
    """95 %, by itself."""
    p_best: float
    """Share of the joint resamples in which it is the best; where several are, each has its part.
    """
    behind: Interval | None
    """By how much the best is better, 95 % together with all other pairs; None for the best."""
    tied: bool
    """Whether the best is not shown to be better."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All contenders, in the order in which they were given."""

    contenders: tuple[Contender, ...]
    best: int
    """Which has the highest value; of several, the best more often, then by
    log-loss, or squared error."""
    margins: NDArray[np.float64]
    """Shape (f, f): the difference of a pair that would be significant."""
    differences: NDArray[np.float64]
    """Shape (f, f): value of the row less value of the column."""
    minimum_detectable: float | None
    """Least true difference that these samples would show with a power of .8, for the pair of the
    best and another, in the middle of these; None where no two predictions differ."""

    def beats(self, first: int, second: int) -> bool:
        """Whether "first beats second" may be said; wrong for no pair in 95 % of comparisons."""
        return bool(self.differences[first, second] > self.margins[first, second])

    def difference(self, first: int, second: int) -> Interval:
        """By how much first is better than second, 95 % together with all other pairs."""
        gap, margin = float(self.differences[first, second]), float(self.margins[first, second])
        return Interval(low=gap - margin, high=gap + margin)


def compare(
    probabilities: Sequence[NDArray[np.floating]],
    labels: Targets,
    metric: str,
    seed: int,
    groups: NDArray[np.int64] | None = None,
    resamples: int = 2000,
) -> Comparison:
    """Compares predictions of the same samples by one joint bootstrap.

    Every pair gets an interval for its difference, value_i - value_j plus or minus q s_ij, where
    s_ij is the bootstrap standard deviation of the difference and q the 95 % point of the largest
    studentised deviation over *all* pairs (the bootstrap form of Tukey's method: Westfall and
    Young, Resampling-Based Multiple Testing, 1993; Romano and Wolf, JASA 2005). All hold together,
    so one may look first and then name any pair, the best one and its runner-up among them. Hsu's
    comparisons with the best would be narrower, but bound only who is not the best, not whether
    one of two others beats the other, which the report says too.

    The bootstrap knows only the samples on which two predictions differ: with few of them, s_ij
    is too small (five differences, all to one side, have a sign test's p of 6 %). So two more such
    samples are counted in, one for each side (:mod:`.worth`; in the spirit of Agresti and Min,
    Statistics in Medicine 2005), and q is at least Student's for the independent samples. For the
    accuracy of two predictions this claims a difference where the exact sign test does, at 5 %.

    Args:
        probabilities: Of each contender, shape (n, c), or (repeats, n, c).
        labels: Targets of n samples, in the form of their kind.
        metric: See :func:`.metrics.prepare`.
        seed: Decides the resamples.
        groups: Shape (n,): samples of one group are drawn together. None: each by itself.
        resamples: How many; fewer of large data (:func:`.resampling.resampled_weights`).
    """
    clusters = clusters_of(len(labels), groups)
    independent = int(clusters.max()) + 1
    values = np.array([score(one, labels, metric) for one in probabilities])
    resampled = evaluated(
        [prepare(metric, one, labels) for one in probabilities],
        resampled_weights(clusters, resamples, seed),
    )
    p_best = _p_best(resampled, len(values))
    breaker = TIE_BREAKER[kind_of(labels)]
    losses = [score(one, labels, breaker) for one in probabilities]
    best = max(range(len(values)), key=lambda at: (values[at], p_best[at], losses[at]))
    differences = values[:, None] - values
    deviations = _deviations(probabilities, labels, metric, clusters, resampled)
    factor = _factor(resampled, differences, independent)
    margins = factor * deviations
    effective = effective_samples(metric, labels, clusters)
    contenders = []
    for place, value in enumerate(values):
        gap, margin = float(differences[best, place]), float(margins[best, place])
        behind = Interval(low=gap - margin, high=gap + margin)
        contenders.append(
            Contender(
                value=float(value),
                interval=around(float(value), resampled[:, place], metric, effective, independent),
                p_best=float(p_best[place]),
                behind=None if place == best else behind,
                tied=bool(gap <= margin),
            )
        )
    others = np.delete(deviations[best], best)
    others = others[others > 0]
    power = float(special.ndtri(_POWER))
    return Comparison(
        contenders=tuple(contenders),
        best=best,
        margins=margins,
        differences=differences,
        minimum_detectable=(factor + power) * float(np.median(others)) if len(others) else None,
    )


def _p_best(resampled: NDArray[np.float64], contenders: int) -> NDArray[np.float64]:
    if not len(resampled):
        return np.full(contenders, 1 / contenders)
    leading = resampled >= resampled.max(axis=1, keepdims=True) - ALIKE
    shares: NDArray[np.float64] = (leading / leading.sum(axis=1, keepdims=True)).mean(axis=0)
    return shares


def _deviations(
    probabilities: Sequence[NDArray[np.floating]],
    labels: Targets,
    metric: str,
    clusters: NDArray[np.int64],
    resampled: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Standard errors of the differences, shape (f, f)."""
    count = len(probabilities)
    found = np.zeros((count, count))
    for first in range(count):
        for second in range(first):
            gap = resampled[:, first] - resampled[:, second]
            more = worth(probabilities[first], probabilities[second], labels, metric, clusters)
            scatter = gap.var(ddof=1) if len(gap) > 1 else 0.0
            found[first, second] = found[second, first] = np.sqrt(scatter + 2 * more**2)
    return found


def _factor(
    resampled: NDArray[np.float64], differences: NDArray[np.float64], independent: int
) -> float:
    """How many standard errors the largest of all differences may be off by chance, 95 %."""
    t = critical(independent)
    rows, columns = np.triu_indices(len(differences), 1)
    if not len(rows) or len(resampled) < 2:
        return t
    gaps = resampled[:, rows] - resampled[:, columns]
    scatter = gaps.std(axis=0, ddof=1)
    there = scatter > ALIKE
    if not there.any():
        return t
    off = np.abs(gaps - differences[rows, columns])[:, there] / scatter[there]
    largest = float(np.quantile(off.max(axis=1), 0.95))
    # Resamples of few samples scatter as the normal distribution does, not as Student's.
    return max(largest, float(special.ndtri(0.975))) * t / float(special.ndtri(0.975))
