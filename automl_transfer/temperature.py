"""One number that makes probabilities as sure as they are right (Guo et al., 2017)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

COLDEST, HOTTEST = 0.05, 20.0
"""Predictions without a mistake ask for a temperature of 0, random ones for an infinite one."""
_TINY = 1e-12


def temperature(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The temperature at which the log-loss is least (On Calibration of Modern Neural Networks,
    ICML 2017, section 4.2), between :data:`COLDEST` and :data:`HOTTEST`.

    Each label counts for a little of every class, 1 / (n + 1) in all (Platt, 1999, section 2.2):
    a hundred samples without a mistake do not show that there will never be one.

    Args:
        probabilities: Of samples that the model has not seen, shape (n, c); or (repeats, n, c).
            Logits l give the same as ``softmax(l)``, which holds all that they say.
        labels: Shape (n,).
    """
    logits = _logits(probabilities.reshape(-1, probabilities.shape[-1]))
    truth = np.tile(labels, len(logits) // max(len(labels), 1))
    share = 1 / (len(labels) + 1)
    own = logits[np.arange(len(logits)), truth]
    wanted = (1 - share) * own + share * logits.mean(axis=1)

    def log_loss(log_sharpness: float) -> float:
        sharp = math.exp(log_sharpness)
        normaliser = np.log(np.exp(sharp * logits).sum(axis=1))  # the largest logit is 0
        return float((normaliser - sharp * wanted).mean())

    if not len(logits):
        return 1.0
    bounds = (-math.log(HOTTEST), -math.log(COLDEST))
    found = optimize.minimize_scalar(
        log_loss, bounds=bounds, method="bounded", options={"xatol": 1e-5}
    )
    return float(math.exp(-found.x))


def at_temperature(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """Probabilities at a temperature: p^(1/T), made to add up to 1 again, of the same shape.

    The order of the classes of a sample stays as it is.
    """
    raised = np.exp(_logits(probabilities) / temperature)
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True), dtype=np.float32)


def _logits(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithms, less the largest of each sample."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), _TINY))
    return np.asarray(logs - logs.max(axis=-1, keepdims=True))
