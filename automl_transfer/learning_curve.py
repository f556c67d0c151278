"""What more labels would buy: a learning curve over the number of samples, carried on.

Scores of a model that is trained on n samples follow an inverse power law, best(n) = a - b n^-c,
in most of what has been measured (Hestness et al., arXiv:1712.00409; Viering and Loog, The Shape
of Learning Curves, arXiv:2103.10948, section 3); fitted by least squares it errs wildly as soon as
the curve is noisy or flat. Here all such curves are weighed instead: those that are monotone, that
end below the best score there is, and that pass near the points. What they say on average is the
forecast, and where 95 % of their weight lies is its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.recommendation import Interval

EXPONENTS = np.geomspace(0.1, 2.0, 25)
"""c. Below, a curve cannot be told from a logarithm; above, from one that has ended."""
SHARES = np.linspace(0.0, 1.0, 41) ** 2
"""Share of what is missing to the best score that endless labels would bring."""
LEVELS = np.linspace(-3.5, 3.5, 15)
"""Score at the largest size, in standard errors from the point there."""
MISFIT = 0.004
"""Standard deviation of a true curve from the power law at a size, in units of the score."""
MISS = 0.25
"""Standard deviation of a true gain from the one that a fitted curve says, relative to it."""


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What so many more samples are expected to add to the score."""

    mean: float
    interval: Interval


def forecast(
    sizes: NDArray[np.float64],
    values: NDArray[np.float64],
    draws: NDArray[np.float64],
    *,
    base: float,
    targets: Sequence[float],
    best: float = 1.0,
    unit: float = 1.0,
) -> list[Gain]:
    """Gains over the score at ``base``.

    A Bayesian average over the curves on a grid of c, of the score at the largest size, and of
    the share of the rest that is within reach, each value of which counts alike beforehand (the
    share in its square root: often most of what is missing is out of reach). The points are taken
    as normal, with the covariance of their bootstrap replicates.

    Args:
        sizes: Samples that were learnt from, ascending, shape (K,), K >= 2.
        values: Scores, shape (K,).
        draws: Scores in bootstrap replicates of the whole curve, shape (B, K), B >= 2, finite.
        base: Samples that there are, not below the largest of ``sizes``.
        targets: Sizes to say something of, not below ``base``.
        best: The highest score there is.
        unit: Of a score whose range is not about 1, what is a large difference in it.

    Returns:
        For each target a gain that is not negative and does not end above ``best``; a larger
        target never has a smaller one.
    """
    top = float(sizes[-1])
    covariance = np.cov(draws, rowvar=False) + (unit * MISFIT) ** 2 * np.eye(len(sizes))
    levels = np.minimum(values[-1] + LEVELS * np.sqrt(covariance[-1, -1]), best)
    grid = np.meshgrid(levels, SHARES, EXPONENTS, indexing="ij")
    level, share, exponent = (axis.ravel() for axis in grid)
    reach = share * (best - level)

    def risen(size: float) -> NDArray[np.float64]:
        """How much of its reach each curve has gone through from the largest size on, (G,)."""
        found: NDArray[np.float64] = 1 - (size / top) ** -exponent
        return found

    curves = level + reach * np.stack([risen(size) for size in sizes])  # (K, G)
    off = curves - values[:, None]
    fit = -0.5 * np.einsum("kg,kg->g", off, np.linalg.solve(covariance, off))
    weights = np.exp(fit - fit.max())
    weights /= weights.sum()
    room = best - level - reach * risen(base)
    return [_summary(reach * (risen(target) - risen(base)), weights, room) for target in targets]


def _summary(
    gain: NDArray[np.float64], weights: NDArray[np.float64], room: NDArray[np.float64]
) -> Gain:
    """Mean and central 95 %, the gain of each curve spread by :data:`MISS`."""
    spread = np.clip(gain[:, None] * (1 + MISS * _NORMAL), 0, np.maximum(room, 0)[:, None]).ravel()
    order = np.argsort(spread)
    reached = np.cumsum(np.repeat(weights, len(_NORMAL))[order]) / len(_NORMAL)
    places = np.minimum(np.searchsorted(reached, [0.025, 0.975]), len(order) - 1)
    low, high = spread[order[places]]
    mean = float(np.clip(weights @ gain, low, high))
    return Gain(mean=mean, interval=Interval(low=float(low), high=float(high)))


_NORMAL = np.array([-1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645])
"""Middles of ten equal parts of a normal distribution."""
