"""What discriminants say of samples that they have not learned from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer_gaussian.moments import Matrix, Moments
from automl_transfer_gaussian.spectrum import Spectrum


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Scores of m samples whose class has others."""

    scores: Matrix
    """Shape (m, c)."""
    labels: NDArray[np.int64]
    """Shape (m,)."""
    weights: Matrix
    """What each counts for, shape (m,)."""


def left_out(of: Moments, found: Spectrum, shrinkage: float) -> LeftOut:
    """Scores of each sample when it is left out of the mean of its class and of the covariance.

    Without sample i of class k the scatter loses n_k / (n_k - 1) times the outer product of its
    residual, so that the inverse follows by Sherman and Morrison (after Fukunaga and Hummels,
    Leave-One-Out Procedures for Nonparametric Error Estimates, IEEE TPAMI 11, 1989). The
    shrinkage and the even variance stay those of all samples.

    Args:
        of: The samples.
        found: Of them.
        shrinkage: As in :func:`~automl_transfer_gaussian.discriminant.discriminant`.
    """
    inside, outside = found.variance(shrinkage)
    places = np.flatnonzero(of.counts[of.labels] > 1)
    own = of.labels[places]
    rows = np.arange(len(places))
    weights = of.weights[own]
    residuals = found.residuals[places] / np.sqrt(weights)[:, None]
    size = (residuals**2 @ (1 / inside))[:, None]  # (m, 1)
    along = residuals @ (found.means / inside).T
    along = along[rows, own][:, None] - along  # of a residual and mean k less mean j
    between = _distances(found.means / np.sqrt(inside)) + _distances(found.beyond) / outside
    others = of.counts[own][:, None]
    stretch = others / (others - 1)
    gone = (1 - shrinkage) / len(of.labels) * weights[:, None] * stretch
    # It is below 1 in theory; rounding must not make a negative distance of it.
    remains = np.maximum(1 - gone * size, 1e-12)
    distances = size + 2 * along + between[own] + gone * (size + along) ** 2 / remains
    distances[rows, own] = (stretch**2 * size / remains)[:, 0]
    counts = np.tile(of.counts, (len(places), 1))
    counts[rows, own] -= 1
    return LeftOut(
        scores=np.log(of.weights * counts) - 0.5 * distances, labels=own, weights=weights
    )


def _distances(vectors: Matrix) -> Matrix:
    """Squared, between each two of c vectors, shape (c, c)."""
    squares = (vectors**2).sum(axis=1)
    found: Matrix = squares[:, None] + squares - 2 * vectors @ vectors.T
    return found
