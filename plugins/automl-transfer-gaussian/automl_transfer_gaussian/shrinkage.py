"""How far the covariance is pulled towards the same variance in every direction."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.covariance import ledoit_wolf_shrinkage

from automl_transfer.space import Scalar
from automl_transfer_gaussian.left_out import left_out
from automl_transfer_gaussian.moments import Moments
from automl_transfer_gaussian.sharpness import sharpness
from automl_transfer_gaussian.spectrum import Spectrum

LEAST = 1e-6
"""Keeps the covariance invertible where features do not vary, and rounding errors out of it."""
ODDS = 2.0 ** np.arange(-8, 7)
"""Of the shrinkages that are tried: evenly spaced from 0.004 to 0.985 on the logit scale."""


def shrinkage(of: Moments, found: Spectrum, params: Mapping[str, Scalar]) -> float:
    """The share of the even variance in the shrunk covariance, from :data:`LEAST` to 1.

    ``leave-one-out`` takes the one that is best for the classes: the least log-loss of samples
    left out. ``ledoit-wolf`` takes the one that is best for the covariance: the least expected
    squared error (Ledoit and Wolf, A Well-Conditioned Estimator for Large-Dimensional Covariance
    Matrices, J. Multivariate Analysis 88, 2004).

    Args:
        of: The samples.
        found: Of them.
        params: Of the head.
    """
    rule = params["shrinkage"]
    if rule == "fixed":
        amount = float(params["amount"])
    elif not found.eigenvalues.size:
        amount = 1.0
    elif rule == "ledoit-wolf":
        amount = float(ledoit_wolf_shrinkage(of.residuals, assume_centered=True))
    else:
        amounts = [float(odds / (1 + odds)) for odds in ODDS]
        amount = min(amounts, key=lambda one: sharpness(left_out(of, found, one))[1])
    return min(1.0, max(LEAST, amount))
