"""The covariance within classes by its eigenvectors: with them any shrinkage is a division."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl_transfer_gaussian.moments import Matrix, Moments


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Of rank r. What of the means its eigenvectors do not reach is kept apart."""

    eigenvalues: Matrix
    """Shape (r,), positive."""
    basis: Matrix
    """Eigenvectors, shape (d, r)."""
    residuals: Matrix
    """Of :class:`Moments`, in terms of the eigenvectors, shape (n, r)."""
    means: Matrix
    """Likewise, shape (c, r)."""
    beyond: Matrix
    """The means less that, shape (c, d)."""
    even: float
    """Mean variance of a feature: what the covariance is shrunk towards in every direction."""

    def variance(self, shrinkage: float) -> tuple[Matrix, float]:
        """Of the shrunk covariance along each eigenvector, shape (r,), and along all else."""
        even = shrinkage * self.even
        return (1 - shrinkage) * self.eigenvalues + even, even


def spectrum(of: Moments) -> Spectrum:
    """Of the matrix of features or of samples, whichever is smaller."""
    n, width = of.residuals.shape
    if n <= width:
        eigenvalues, vectors = _eigen(of.residuals @ of.residuals.T / n)
        roots = np.sqrt(n * eigenvalues)
        basis = of.residuals.T @ (vectors / roots)
        residuals = vectors * roots
    else:
        eigenvalues, basis = _eigen(of.residuals.T @ of.residuals / n)
        residuals = of.residuals @ basis
    means = of.means @ basis
    total = float(eigenvalues.sum())
    return Spectrum(
        eigenvalues=eigenvalues,
        basis=basis,
        residuals=residuals,
        means=means,
        beyond=of.means - means @ basis.T,
        # Where no sample differs from the mean of its class, distances to the means are left.
        even=total / width if total > 0 else 1.0,
    )


def _eigen(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues that are not rounding errors, and their vectors."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    floor = max(eigenvalues[-1], 0.0) * np.finfo(np.float64).eps * len(matrix)
    kept = eigenvalues > floor
    return eigenvalues[kept], vectors[:, kept]
