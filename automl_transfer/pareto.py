"""Which answers no other one beats in score and cost at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pareto(values: NDArray[np.float64], costs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The Pareto front: whether no point is at least as good in both and better in one.

    Args:
        values: Scores, higher is better, shape (n,).
        costs: Lower is better, shape (n,).

    Returns:
        Shape (n,). Points that are equal in both are all in it, or none of them is.
    """
    values, costs = np.asarray(values, dtype=float), np.asarray(costs, dtype=float)
    if values.shape != costs.shape or values.ndim != 1:
        raise ValueError(
            "A Pareto front needs as many costs as values, each of shape (n,), but got shapes "
            f"{values.shape} and {costs.shape}."
        )
    as_good = (values[:, None] >= values) & (costs[:, None] <= costs)
    better = (values[:, None] > values) | (costs[:, None] < costs)
    found: NDArray[np.bool_] = np.logical_not((as_good & better).any(axis=0))
    return found
