"""What a larger backbone bought, from the first looks of screening."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from automl_transfer.cards import BackboneCard, CostCard
from automl_transfer.recommendation import Interval, SizeGain
from automl_transfer.stages.context import Context

LARGER = 1.25
"""Times the size, from which on a backbone counts as larger."""


def size_gain(context: Context) -> SizeGain | None:
    """The largest screened backbone against the smallest, with a ridge head on the first look.

    The two are picked by their size alone, so the difference is not flattered by the choice.

    Returns:
        None when backbones of one size only were screened.
    """
    standing = context.store.get("standing", {})
    known = _costs(context)
    rows = [row for row in standing.get("rows", ()) if row["backbone"] in known]
    if standing.get("metric") != context.task.metric or len(rows) < 2:
        return None
    by_operations = all(known[row["backbone"]].gmacs for row in rows)

    def size(row: Mapping[str, Any]) -> float:
        cost = known[row["backbone"]]
        return float((cost.gmacs or 0.0) if by_operations else cost.params)

    rows.sort(key=lambda row: (size(row), row["backbone"]))
    small, large = rows[0], rows[-1]
    if size(large) < LARGER * size(small) or small["samples"] != large["samples"]:
        return None
    gain = float(large["value"]) - float(small["value"])
    return SizeGain(
        smaller=small["backbone"],
        larger=large["backbone"],
        smaller_parameters=known[small["backbone"]].params,
        larger_parameters=known[large["backbone"]].params,
        times=size(large) / size(small),
        unit="operations" if by_operations else "parameters",
        smaller_value=float(small["value"]),
        larger_value=float(large["value"]),
        gain=gain,
        interval=Interval(
            low=gain - _together(_below(large), _above(small)),
            high=gain + _together(_above(large), _below(small)),
        ),
        samples=int(small["samples"]),
    )


def _costs(context: Context) -> dict[str, CostCard]:
    found = {
        card.id: card.cost
        for card in context.selected
        if isinstance(card, BackboneCard) and card.cost is not None
    }
    for candidate in context.candidates.values():
        found.setdefault(candidate.card.id, CostCard(params=candidate.parameters))
    return found


def _together(one: float, other: float) -> float:
    return float(np.hypot(one, other))


def _below(row: Mapping[str, Any]) -> float:
    return float(row["value"]) - float(row["interval"]["low"])


def _above(row: Mapping[str, Any]) -> float:
    return float(row["interval"]["high"]) - float(row["value"])
