"""Probabilities at another temperature: softer or sharper, the most likely class the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from automl_transfer.kinds import Kind


def tempered(
    probabilities: NDArray[np.float32], temperature: float, kind: Kind = "single-label"
) -> NDArray[np.float32]:
    """softmax(log p / T) (Guo et al., On Calibration of Modern Neural Networks, ICML 2017, eq. 9).

    The most likely class stays the most likely: where rounding would make it one of several, its
    probability is the next larger number. Of labels each becomes logistic(logit p / T), which
    is .5 where it was .5; numbers stay as they are.

    Args:
        probabilities: Shape (n, c), at temperature 1.
        temperature: T > 0; above 1 softens, below sharpens.
        kind: Of what they are probabilities.
    """
    if temperature == 1 or kind == "regression":
        return probabilities
    if kind == "multi-label":
        scaled: NDArray[np.float32] = special.expit(
            special.logit(probabilities.astype(np.float64)) / temperature
        ).astype(np.float32)
        return scaled
    with np.errstate(divide="ignore"):
        logs = np.log(probabilities.astype(np.float64)) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    first = probabilities.argmax(axis=1)
    moved = np.flatnonzero(result.argmax(axis=1) != first)
    result[moved, first[moved]] = np.nextafter(result[moved].max(axis=1), np.float32(np.inf))
    return result
