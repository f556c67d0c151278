"""Linear probing: the backbone stays as it is, only the head trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from automl_transfer.cards import StrategyCard
from automl_transfer.space import Scalar

if TYPE_CHECKING:
    from automl_transfer.plan import FreezePlan, StageView

CARD = StrategyCard(
    id="frozen",
    factory="automl_transfer.strategies.frozen:plan",
    summary="only the head trains (linear probing)",
    trains_backbone=False,
)


def plan(*, stages: Sequence[StageView], params: Mapping[str, Scalar]) -> FreezePlan:
    """One phase in which no stage trains."""
    from automl_transfer.plan import FreezePlan, Phase

    return FreezePlan(phases=(Phase(name="head", share=0.0),))
