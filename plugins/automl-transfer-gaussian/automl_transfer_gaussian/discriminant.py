"""Linear discriminants of Gaussian classes that share a shrunk covariance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl_transfer_gaussian.moments import Matrix
from automl_transfer_gaussian.spectrum import Spectrum


@dataclass(frozen=True, kw_only=True)
class Discriminant:
    """Scores of features x are ``x @ weights.T + intercept``: log-densities with the priors, but
    for a summand that all classes share."""

    weights: Matrix
    """Shape (c, d)."""
    intercept: Matrix
    """Shape (c,)."""


def discriminant(found: Spectrum, priors: Matrix, shrinkage: float) -> Discriminant:
    """Fisher's discriminants (The Elements of Statistical Learning, 2nd ed., eq. 4.10) with the
    covariance of Friedman (Regularized Discriminant Analysis, JASA 84, 1989, eq. 18) in the case
    of one covariance for all classes.

    Args:
        found: Of the samples.
        priors: Of the classes, shape (c,), positive.
        shrinkage: Share of the even variance in the covariance, above 0.
    """
    inside, outside = found.variance(shrinkage)
    weights = (found.means / inside) @ found.basis.T + found.beyond / outside
    lengths = (found.means**2 / inside).sum(axis=1) + (found.beyond**2).sum(axis=1) / outside
    return Discriminant(weights=weights, intercept=np.log(priors) - 0.5 * lengths)
