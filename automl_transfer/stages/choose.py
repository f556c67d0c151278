"""Of the finalists, the one to recommend: the cheapest of those that nothing tells apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.recommendation import Confirmation, Cost, Finalist

AS_GOOD = 1.1
"""Costs within this factor count as equal: they are measured, and vary."""

_ROUNDING = 1e-9

_COSTS: Mapping[str, tuple[str, Callable[[Cost], float]]] = {
    "latency": ("answers fastest", lambda cost: cost.latency),
    "size": ("is the smallest", lambda cost: float(cost.bytes)),
    "memory": ("takes the least memory", lambda cost: float(cost.memory)),
    "training-time": ("trained fastest", lambda cost: cost.training),
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Who is chosen among finalists whose values are known: of those that the best does not beat
    and that scored nearly as well, the cheapest. Also for resampled values, so that the correction
    for the choice repeats the same choice."""

    margins: NDArray[np.float64]
    """Differences that would be significant, shape (f, f)."""
    costs: NDArray[np.float64] | None
    """What is to be low, shape (f,); None: the best value is chosen."""
    tolerance: float
    """How much of the metric may be given up for that."""

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """From values, shape (r, f), to how much of the choice each has, shape (r, f)."""
        leading = values >= values.max(axis=1, keepdims=True) - _ROUNDING
        parts: NDArray[np.float64] = leading / leading.sum(axis=1, keepdims=True)
        if self.costs is None:
            return parts
        shares = np.zeros_like(values)
        rows = np.arange(len(values))
        for best in range(values.shape[1]):
            most = np.minimum(self.margins[best], self.tolerance)
            near = values[:, best, None] - values <= most + _ROUNDING
            costs = np.where(near, self.costs, np.inf)
            cheap = costs <= AS_GOOD * costs.min(axis=1, keepdims=True)
            chosen = np.where(cheap, values, -np.inf).argmax(axis=1)
            shares[rows, chosen] += parts[:, best]
        return shares


def rule(
    finalists: Sequence[Finalist],
    margins: NDArray[np.float64],
    prefer: str,
    tolerance: float,
    point: float = 0.01,
) -> Rule:
    """How one of the finalists is chosen.

    Args:
        finalists: In the order of ``margins``.
        margins: Differences that would be significant, shape (f, f).
        prefer: ``accuracy``, or what decides among those that are tied.
        tolerance: Points of the metric that may be given up for what is preferred.
        point: Of the metric, see :attr:`automl_transfer.task.Task.point`.
    """
    costs = [None if one.cost is None else one.cost for one in finalists]
    known = None
    if prefer != "accuracy" and all(cost is not None for cost in costs):
        known = np.array([_COSTS[prefer][1](cost) for cost in costs if cost is not None])
    return Rule(margins=margins, costs=known, tolerance=tolerance * point)


def chosen_by(found: Confirmation, prefer: str, tolerance: float, point: float = 0.01) -> Finalist:
    """Who of the finalists of an answer would be recommended by another preference.

    Args:
        found: As stored: of the margins it has those to the best finalist, which are what decides.
        prefer: ``accuracy``, or what decides among those that are tied.
        tolerance: Points of the metric that may be given up for what is preferred.
        point: Of the metric, see :attr:`automl_transfer.task.Task.point`.
    """
    finalists = found.finalists
    if prefer == found.prefer:
        return next(one for one in finalists if one.number == found.winner)
    values = np.array([[one.value for one in finalists]])
    of_best = [
        0.0 if one.behind is None else (one.behind.high - one.behind.low) / 2 for one in finalists
    ]
    # Where several have the best value, what is known of one stands for the others.
    margins = np.tile(of_best, (len(finalists), 1))
    shares = rule(finalists, margins, prefer, tolerance, point)(values)[0]
    return finalists[int(shares.argmax())]


def why(
    finalists: Sequence[Finalist],
    chosen: Finalist,
    prefer: str,
    *,
    tolerance: float = 1.0,
    point: float = 0.01,
) -> str:
    """Why a finalist was chosen by :func:`rule`, in words that the statistics allow.

    That no difference is shown does not mean that there is none: with few samples a tie group
    spans ten points. So the cheapest of those that also scored nearly as well is taken.

    Args:
        finalists: Best value first.
        chosen: One of them.
        prefer: ``accuracy``, or what decides among those that are tied.
        tolerance: Points of the metric that may be given up for what is preferred.
        point: Of the metric, see :attr:`automl_transfer.task.Task.point`.
    """
    best = finalists[0]
    if len(finalists) == 1:
        return "It is the only finalist."
    tied = [one for one in finalists if one.tied]
    if len(tied) <= 1:
        beaten = _names([one for one in finalists if not one.tied])
        return f"It beats {beaten}: the difference is more than chance explains."
    words = f"No difference is shown between {_names(tied)}"
    near = [one for one in tied if best.value - one.value <= tolerance * point + _ROUNDING]
    if prefer == "accuracy" or len(near) == 1 or any(one.cost is None for one in finalists):
        return f"{words}; of these, it scored best."
    if chosen is best:
        return f"{words}; of these, it scored best, and none as good costs less."
    return (
        f"{words}; of those within {tolerance:g} points of the best score, it {_COSTS[prefer][0]} "
        f"(--prefer {prefer})."
    )


def _short(one: Finalist) -> str:
    return f"trial {one.number} ({one.configuration.title})"


def _names(finalists: Sequence[Finalist]) -> str:
    names = [_short(one) for one in finalists]
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
