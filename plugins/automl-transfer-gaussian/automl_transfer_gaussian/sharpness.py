"""How sure scores may be."""

from __future__ import annotations

import math

import numpy as np
from scipy import optimize, special

from automl_transfer_gaussian.left_out import LeftOut

LOWEST, HIGHEST = 1e-4, 1e2


def sharpness(of: LeftOut) -> tuple[float, float]:
    """The factor of scores with the least log-loss (Guo et al., arXiv:1706.04599), and that loss.

    The densities of a covariance of few samples in many dimensions are far too sure of themselves:
    their softmax is near 0 or 1 whether it is right or wrong. Each label counts for a little of
    every class, 1 / (n + 1) in all (Platt, Probabilistic Outputs for Support Vector Machines,
    1999, section 2.2), as else scores without a mistake would ask for an infinite factor.

    Returns:
        A factor of 1 and no loss where there is nothing to be seen.
    """
    n, classes = of.scores.shape
    if not n or classes < 2:
        return 1.0, 0.0
    gaps = of.scores - of.scores.max(axis=1, keepdims=True)
    share = 1 / (n + 1)
    wanted = (1 - share) * gaps[np.arange(n), of.labels] + share * gaps.mean(axis=1)
    weights = of.weights / of.weights.sum()

    def log_loss(log_factor: float) -> float:
        factor = math.exp(log_factor)
        return float(weights @ (special.logsumexp(factor * gaps, axis=1) - factor * wanted))

    bounds = (math.log(LOWEST), math.log(HIGHEST))
    found = optimize.minimize_scalar(log_loss, bounds=bounds, method="bounded")
    return math.exp(float(found.x)), float(found.fun)
