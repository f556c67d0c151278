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
LEVELS = np.linspace(-4.0, 4.0, 25)
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
    sizes: NDArray[np.int64],
    draws: NDArray[np.float64],
    targets: Sequence[float],
    best: float = 1.0,
) -> list[Gain]:
    """Gains over the score at the largest size.

    A Bayesian average over the curves on a grid of c, of the score at the largest size, and of
    the share of the rest that is within reach, each value of which counts alike beforehand (the
    share in its square root: often most of what is missing is out of reach).

    Args:
        sizes: Samples that were trained on, ascending, shape (K,).
        draws: Scores in bootstrap replicates of the whole curve, shape (B, K).
        targets: Sizes to say something of, not below the largest of ``sizes``.
        best: The highest score there is.

    Returns:
        For each target, a gain that is never negative and never ends above ``best``.
    """
    values = draws.mean(axis=0)
    top = float(sizes[-1])
    noise = np.atleast_2d(np.cov(draws, rowvar=False)) if len(draws) > 1 else 0.0
    covariance = noise + MISFIT**2 * np.eye(len(sizes))
    level = np.minimum(values[-1] + LEVELS * np.sqrt(covariance[-1, -1]), best)
    u, share, c = np.meshgrid(level, SHARES, EXPONENTS, indexing="ij")
    reach = share * (best - u)
    shape = (sizes[:, None] / top) ** -c.ravel()  # (K, G): 1 at the largest size
    curves = u.ravel() + reach.ravel() * (1 - shape)
    off = curves - values[:, None]
    fit = -0.5 * np.einsum("kg,kg->g", off, np.linalg.solve(covariance, off))
    weights = np.exp(fit - fit.max())
    weights /= weights.sum()
    found = []
    for target in targets:
        gain = reach.ravel() * (1 - (target / top) ** -c.ravel())
        found.append(_summary(gain, weights, (best - u.ravel())))
    return found


def _summary(
    gain: NDArray[np.float64], weights: NDArray[np.float64], room: NDArray[np.float64]
) -> Gain:
    """Mean and central 95 %, each curve's gain spread by :data:`MISS`."""
    spread = 1 + MISS * _NORMAL
    spread_gain = np.clip(gain[:, None] * spread, 0, room[:, None])
    spread_weight = np.repeat(weights / len(_NORMAL), len(_NORMAL))
    flat = spread_gain.ravel()
    order = np.argsort(flat)
    reached = np.cumsum(spread_weight[order])
    low, high = (flat[order][np.searchsorted(reached, p)] for p in (0.025, 0.975))
    return Gain(
        mean=float(weights @ gain), interval=Interval(low=float(low), high=float(high))
    )


_NORMAL = np.array([-1.645, -1.036, -0.674, -0.385, -0.126, 0.126, 0.385, 0.674, 1.036, 1.645])
"""Centres of ten equal parts of a normal distribution."""
