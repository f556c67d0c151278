"""Probabilities at another temperature: softer or sharper, the most likely class the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def tempered(probabilities: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
    """softmax(log p / T) (Guo et al., On Calibration of Modern Neural Networks, ICML 2017, eq. 9).

    The most likely class stays the most likely: where rounding would make it one of several, its
    probability is the next larger number.

    Args:
        probabilities: Shape (n, c), rows add up to 1; at temperature 1.
        temperature: T > 0; above 1 softens, below sharpens.
    """
    if temperature == 1:
        return probabilities
    with np.errstate(divide="ignore"):
        logs = np.log(probabilities.astype(np.float64)) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    first = probabilities.argmax(axis=1)
    moved = np.flatnonzero(result.argmax(axis=1) != first)
    result[moved, first[moved]] = np.nextafter(result[moved].max(axis=1), np.float32(np.inf))
    return result
