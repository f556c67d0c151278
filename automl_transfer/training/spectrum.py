"""The singular values of features, and targets in their terms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.target import Targets, columns, kind_of
from automl_transfer.training.matrix import give_back

BLOCK = 1024
"""Rows of the features held in double precision at once."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Regressed:
    """Features of shape (n, d), targets of c columns, and what each sample weighs."""

    features: NDArray[np.floating]
    targets: Targets
    """In the form of their kind."""
    outputs: int
    """Columns, c."""
    sample_weights: Matrix
    """Shape (n,), with mean 1."""
    mean: Matrix
    """What is taken from the features, shape (d,)."""
    prior: Matrix
    """What is taken from the targets, shape (c,)."""

    @classmethod
    def centred(
        cls,
        features: NDArray[np.floating],
        targets: Targets,
        outputs: int,
        class_weights: NDArray[np.floating] | None = None,
    ) -> Regressed:
        """Features and targets less their (weighted) means: as if there were an intercept."""
        weights = np.ones(len(targets))
        if class_weights is not None:
            weights = np.asarray(class_weights, float)[targets]
            weights = weights / weights.mean()
        mean = np.zeros(features.shape[1])
        for rows in _blocks(len(targets), BLOCK):
            mean += weights[rows] @ features[rows]
            give_back(features)
        if kind_of(targets) == "single-label":
            prior = np.bincount(targets, weights=weights, minlength=outputs) / len(targets)
        else:
            prior = weights @ columns(targets, outputs) / len(targets)
        return cls(
            features=features,
            targets=targets,
            outputs=outputs,
            sample_weights=weights,
            mean=mean / len(targets),
            prior=prior,
        )

    @classmethod
    def as_they_are(
        cls, features: NDArray[np.floating], targets: Targets, outputs: int
    ) -> Regressed:
        """Nothing taken from either."""
        return cls(
            features=features,
            targets=targets,
            outputs=outputs,
            sample_weights=np.ones(len(targets)),
            mean=np.zeros(features.shape[1]),
            prior=np.zeros(outputs),
        )

    def blocks(self, rows: int = BLOCK) -> Iterator[slice]:
        """All samples, so many at a time."""
        return _blocks(len(self.targets), rows)

    def x(self, rows: slice) -> Matrix:
        """Centred features times the roots of the weights, shape (b, d), in double precision."""
        found: Matrix = self.features[rows] - self.mean
        give_back(self.features)
        found *= np.sqrt(self.sample_weights[rows])[:, None]
        return found

    def y(self, rows: slice) -> Matrix:
        """Centred targets times the roots of the weights, shape (b, c)."""
        found: Matrix = columns(self.targets[rows], self.outputs) - self.prior
        found *= np.sqrt(self.sample_weights[rows])[:, None]
        return found


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """x = U sqrt(eigenvalues) V', of rank r; either U or V is kept, whichever is smaller."""

    of: Regressed
    eigenvalues: Matrix
    """Of x'x, shape (r,), ascending, positive."""
    targets: Matrix
    """U' y, shape (r, c)."""
    _left: Matrix | None
    _right: Matrix | None

    def left(self, rows: slice) -> Matrix:
        """Rows of U, shape (b, r)."""
        if self._left is not None:
            return self._left[rows]
        assert self._right is not None
        return self.of.x(rows) @ (self._right / np.sqrt(self.eigenvalues))

    def to_features(self, coefficients: Matrix) -> Matrix:
        """V coefficients: from shape (r, c) to shape (d, c)."""
        if self._right is not None:
            return self._right @ coefficients
        assert self._left is not None
        back = self._left @ (coefficients / np.sqrt(self.eigenvalues)[:, None])
        return self.of.x(slice(0, len(self.of.targets))).T @ back


def spectrum(of: Regressed) -> Spectrum:
    """Eigendecomposition of x'x or of x x', whichever is smaller.

    With more samples than features, ``of.features`` is read in blocks and never copied whole.
    """
    n, width = of.features.shape
    if n <= width:
        whole = slice(0, n)
        x = of.x(whole)
        eigenvalues, vectors = _eigen(x @ x.T)
        targets = vectors.T @ of.y(whole)
        return Spectrum(
            of=of, eigenvalues=eigenvalues, targets=targets, _left=vectors, _right=None
        )
    scatter = np.zeros((width, width))
    moments = np.zeros((width, of.outputs))
    for rows in of.blocks():
        x = of.x(rows)
        scatter += x.T @ x
        moments += x.T @ of.y(rows)
    eigenvalues, vectors = _eigen(scatter)
    targets = vectors.T @ moments / np.sqrt(eigenvalues)[:, None]
    return Spectrum(of=of, eigenvalues=eigenvalues, targets=targets, _left=None, _right=vectors)


def _eigen(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues that are not rounding errors, shape (r,), and their vectors, shape (m, r)."""
    eigenvalues, vectors = np.linalg.eigh(matrix)
    floor = max(eigenvalues[-1], 0.0) * np.finfo(np.float64).eps * len(matrix)
    first = int(np.searchsorted(eigenvalues, floor, side="right"))
    return eigenvalues[first:], vectors[:, first:]


def _blocks(samples: int, rows: int) -> Iterator[slice]:
    for start in range(0, samples, rows):
        yield slice(start, min(start + rows, samples))
