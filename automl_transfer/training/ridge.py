"""Ridge regression on one-hot targets: the whole path, and each sample left out, at one go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.training.calibration import SharpnessGrid, fit_sharpness, softmax
from automl_transfer.training.spectrum import BLOCK, Matrix, Spectrum, Targets, spectrum

LAMBDAS = 2.0 ** np.linspace(-22, 2, 25)
"""Penalties looked at, in units of the sum of the eigenvalues of the scatter matrix."""
_NUMBERS = 1 << 22
"""Scores held at once."""


@dataclass(frozen=True, kw_only=True)
class RidgePath:
    """What ridge regression makes of features, penalty by penalty. L penalties, c classes.

    Class scores of features x are ``x @ weights + intercept``; the softmax of scores divided by
    ``temperature`` is calibrated on the samples left out.
    """

    lambdas: NDArray[np.float64]
    """Shape (L,), as they are added to the scatter matrix."""
    accuracy: NDArray[np.float64]
    """Of each sample left out in turn, shape (L,); weighted, if classes are."""
    log_loss: NDArray[np.float64]
    """Likewise, in nats, each penalty at its own temperature, shape (L,)."""
    chosen: int
    """Which penalty the rest is about."""
    probabilities: NDArray[np.float32]
    """Of each sample by the model without it, shape (n, c)."""
    weights: NDArray[np.float32]
    """Shape (d, c)."""
    intercept: NDArray[np.float32]
    """Shape (c,)."""
    temperature: float


def ridge_path(
    features: NDArray[np.floating],
    labels: NDArray[np.int64],
    classes: int,
    class_weights: NDArray[np.floating] | None = None,
) -> RidgePath:
    """Fits ridge regression to one-hot targets for all of :data:`LAMBDAS`.

    Features are centred, the intercept is not penalised. One eigendecomposition serves all
    penalties, and the prediction for a sample by the model without it is exact: with the leverage
    h of the sample (the intercept's part included) it is ``y - (y - fitted) / (1 - h)`` (Allen's
    PRESS, Technometrics 1974; Hastie, Tibshirani, Friedman, The Elements of Statistical Learning,
    2nd ed., eq. 7.64 for linear smoothers, eq. 3.47 for ridge in singular values).

    The penalty with the least log-loss of the samples left out is chosen, each penalty's scores
    brought to their best temperature first: on the features of EfficientNet-Lite0 and eight image
    sets it gave 0.0 to 0.3 points more on held-out samples than the penalty with the highest
    left-out accuracy (but for one with 0.1 less), and it decides between penalties that err alike.

    Memory: with n > d, blocks of rows, and matrices of (d, d) and (n, c) numbers, so that
    memory-mapped features are never copied whole.

    Args:
        features: Shape (n, d), n >= 1, finite.
        labels: Shape (n,), from 0 to ``classes`` - 1; a class may have none.
        classes: Number of classes, c.
        class_weights: What a sample of each class counts for, shape (c,); all alike when None.
    """
    targets = Targets.centred(features, labels, classes, class_weights)
    found = spectrum(targets)
    total = float(found.eigenvalues.sum())
    lambdas = LAMBDAS * (total if total > 0 else 1.0)
    shrink = found.eigenvalues[:, None] / (found.eigenvalues[:, None] + lambdas)  # (r, L)
    accuracy, grid = _leave_one_out(found, shrink)
    sharpness, log_loss = grid.best()
    chosen = int(log_loss.argmin())
    coefficients = shrink[:, chosen, None] * found.targets  # (r, c)
    scores = np.empty((len(labels), classes))
    for rows in targets.blocks():
        left = found.left(rows)
        leverage = _leverage(targets, rows, left, shrink[:, chosen])
        scores[rows] = _without(targets, rows, left @ coefficients, leverage)
    best = fit_sharpness(scores, labels, targets.sample_weights, float(sharpness[chosen]))
    weights = found.to_features(coefficients / np.sqrt(found.eigenvalues)[:, None])
    return RidgePath(
        lambdas=lambdas,
        accuracy=accuracy,
        log_loss=log_loss,
        chosen=chosen,
        probabilities=softmax(best * scores).astype(np.float32),
        weights=weights.astype(np.float32),
        intercept=(targets.prior - targets.mean @ weights).astype(np.float32),
        temperature=1 / best,
    )


def _leave_one_out(found: Spectrum, shrink: Matrix) -> tuple[Matrix, SharpnessGrid]:
    """Accuracy of the samples left out, shape (L,), and their log-losses."""
    targets, settings = found.of, shrink.shape[1]
    n, classes = len(targets.labels), targets.classes
    hits = np.zeros(settings)
    grid = SharpnessGrid(settings, n)
    coefficients = shrink[:, :, None] * found.targets[:, None, :]
    coefficients = coefficients.reshape(len(shrink), settings * classes)
    for rows in targets.blocks(max(16, min(BLOCK, _NUMBERS // (settings * classes)))):
        left = found.left(rows)
        weights, labels = targets.sample_weights[rows], targets.labels[rows]
        fitted = (left @ coefficients).reshape(len(left), settings, classes)
        scores = _without(targets, rows, fitted, _leverage(targets, rows, left, shrink))
        hits += weights @ (scores.argmax(axis=2) == labels[:, None])
        grid.add(scores, labels, weights)
    return hits / targets.sample_weights.sum(), grid


def _leverage(targets: Targets, rows: slice, left: Matrix, shrink: Matrix) -> Matrix:
    """How much samples decide of their own scores, shape (b, L) for shrinkage (r, L), or (b,)."""
    weights = targets.sample_weights[rows].reshape(-1, *[1] * (shrink.ndim - 1))
    found: Matrix = weights / len(targets.labels) + left**2 @ shrink
    return found


def _without(targets: Targets, rows: slice, fitted: Matrix, leverage: Matrix) -> Matrix:
    """Class scores of samples by the models without them, shape (b, ..., c).

    Args:
        targets: Of all samples.
        rows: Which of them.
        fitted: Centred scores times the roots of the weights, shape (b, ..., c).
        leverage: Shape (b, ...).
    """
    between = tuple(range(1, fitted.ndim - 1))
    roots = np.expand_dims(np.sqrt(targets.sample_weights[rows]), (*between, fitted.ndim - 1))
    own = np.expand_dims(np.eye(targets.classes)[targets.labels[rows]], between)
    residual = own - targets.prior - fitted / roots
    # Of a single sample nothing is left to learn from, and its leverage is one.
    found: Matrix = own - residual / np.maximum(1 - leverage, 1e-12)[..., None]
    return found
