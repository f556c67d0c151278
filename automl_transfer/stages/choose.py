"""Of the finalists, the one to recommend: the cheapest of those that nothing tells apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from automl_transfer.errors import NothingUsableError
from automl_transfer.recommendation import Cost, Finalist

AS_GOOD = 1.1
"""Costs within this factor count as equal: they are measured, and vary."""

_ROUNDING = 1e-9

_COSTS: Mapping[str, tuple[str, Callable[[Cost], float]]] = {
    "latency": ("answers fastest", lambda cost: cost.latency),
    "size": ("is the smallest", lambda cost: float(cost.bytes)),
    "memory": ("takes the least memory", lambda cost: float(cost.memory)),
    "training-time": ("trained fastest", lambda cost: cost.training),
}


def choose(
    finalists: Sequence[Finalist],
    prefer: str,
    *,
    tolerance: float = 1.0,
    max_latency: float | None = None,
) -> tuple[Finalist, str]:
    """The finalist to recommend, and why, in words that the statistics allow.

    That no difference is shown does not mean that there is none: with few samples a tie group
    spans ten points. So the cheapest of those that also scored nearly as well is taken.

    Args:
        finalists: Best value first.
        prefer: ``accuracy``, or what decides among those that are tied.
        tolerance: Points of the metric that may be given up for what is preferred.
        max_latency: Seconds that the model may take for a batch of one.

    Raises:
        NothingUsableError: None is fast enough.
    """
    allowed = [one for one in finalists if _is_fast_enough(one, max_latency)]
    if not allowed:
        timed = [one.cost.latency for one in finalists if one.cost is not None]
        if not timed:
            raise NothingUsableError(
                "A finalist must keep to --max-latency, but the latency of none could be measured "
                "on this device; the notes say why. Leave out --max-latency."
            )
        fastest = min(timed)
        raise NothingUsableError(
            f"A finalist must take at most {1000 * (max_latency or 0):g} ms (--max-latency), but "
            f"the fastest takes {1000 * fastest:.1f} ms on this device. Allow more, or search "
            "smaller backbones (--portfolio tiny)."
        )
    best = allowed[0]
    others = [one for one in finalists if one.number != best.number]
    tied = [one for one in allowed if one.tied]
    if best is not finalists[0]:
        slow = f"{_short(finalists[0])} scored best, but is slower than --max-latency allows"
        if not tied:
            return best, f"{slow}; of the others this one scored best."
    if len(finalists) == 1:
        return best, "It is the only finalist."
    if len(tied) <= 1:
        beaten = _names([one for one in others if not one.tied])
        return best, f"It beats {beaten}: the difference is more than chance explains."
    words = f"No difference is shown between {_names(tied)}"
    near = [one for one in tied if best.value - one.value <= tolerance / 100 + _ROUNDING]
    if prefer == "accuracy" or len(near) == 1 or any(one.cost is None for one in near):
        return tied[0], f"{words}; of these, it scored best."
    what, cost = _COSTS[prefer]
    least = min(cost(one.cost) for one in near if one.cost is not None)
    cheap = [one for one in near if one.cost is not None and cost(one.cost) <= AS_GOOD * least]
    chosen = cheap[0]
    if chosen is best:
        return chosen, f"{words}; of these, it scored best, and none as good costs less."
    return chosen, (
        f"{words}; of those within {tolerance:g} points of the best score, it {what} (--prefer "
        f"{prefer})."
    )


def cheapest_first(finalists: Sequence[Finalist], prefer: str) -> list[int] | None:
    """Places of the finalists, as :func:`choose` goes through a tie group; None: by value."""
    if prefer == "accuracy" or any(one.cost is None for one in finalists):
        return None
    cost = _COSTS[prefer][1]
    return sorted(
        range(len(finalists)),
        key=lambda place: (
            cost(one) if (one := finalists[place].cost) is not None else 0.0,
            -finalists[place].value,
        ),
    )


def _is_fast_enough(one: Finalist, most: float | None) -> bool:
    return most is None or (one.cost is not None and one.cost.latency <= most)


def _short(one: Finalist) -> str:
    return f"trial {one.number} ({one.configuration.title})"


def _names(finalists: Sequence[Finalist]) -> str:
    names = [_short(one) for one in finalists]
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
