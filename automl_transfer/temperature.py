"""One number that makes probabilities as sure as they are right (Guo et al., 2017)."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from automl_transfer.target import Targets, kind_of

COLDEST, HOTTEST = 0.05, 20.0
"""Predictions without a mistake ask for a temperature of 0, random ones for an infinite one."""
_TINY = 1e-12


def temperature(probabilities: NDArray[np.floating], targets: Targets) -> float:
    """The temperature at which the log-loss is least (On Calibration of Modern Neural Networks,
    ICML 2017, section 4.2), between :data:`COLDEST` and :data:`HOTTEST`.

    Each label counts for a little of every class, 1 / (n + 1) in all (Platt, 1999, section 2.2):
    a hundred samples without a mistake do not show that there will never be one.

    Of labels it is the one temperature of all their logistic curves; numbers have none, which is
    a temperature of 1.

    Args:
        probabilities: Of samples that the model has not seen, shape (n, c); or (repeats, n, c).
            Logits l give the same as ``softmax(l)``, which holds all that they say.
        targets: Of n samples.
    """
    kind = kind_of(targets)
    if kind == "regression" or not len(targets):
        return 1.0
    if kind == "multi-label":
        return _of_labels(probabilities, targets)
    logits = _logits(probabilities.reshape(-1, probabilities.shape[-1]))
    truth = np.tile(targets, len(logits) // len(targets))
    share = 1 / (len(targets) + 1)
    own = logits[np.arange(len(logits)), truth]
    wanted = (1 - share) * own + share * logits.mean(axis=1)

    def log_loss(log_sharpness: float) -> float:
        sharp = math.exp(log_sharpness)
        normaliser = np.log(np.exp(sharp * logits).sum(axis=1))  # the largest logit is 0
        return float((normaliser - sharp * wanted).mean())

    return _least(log_loss)


def _of_labels(probabilities: NDArray[np.floating], sets: NDArray[np.uint8]) -> float:
    likely = np.clip(probabilities.astype(np.float64), _TINY, 1 - _TINY)
    logits = special.logit(likely.reshape(-1, sets.shape[1]))
    share = 1 / (len(sets) + 1)
    wanted = (1 - share) * np.tile(sets, (len(logits) // len(sets), 1)) + share / 2

    def log_loss(log_sharpness: float) -> float:
        scaled = math.exp(log_sharpness) * logits
        return float((np.logaddexp(0, scaled) - wanted * scaled).mean())

    return _least(log_loss)


def _least(log_loss: Callable[[float], float]) -> float:
    """The temperature at which it is least, of the logarithm of the sharpness."""
    bounds = (-math.log(HOTTEST), -math.log(COLDEST))
    found = optimize.minimize_scalar(
        log_loss, bounds=bounds, method="bounded", options={"xatol": 1e-5}
    )
    return float(math.exp(-found.x))


def _logits(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Logarithms, less the largest of each sample."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), _TINY))
    return np.asarray(logs - logs.max(axis=-1, keepdims=True))
