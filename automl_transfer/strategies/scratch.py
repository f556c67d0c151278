"""The baseline: the same network, trained from random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from automl_transfer.cards import StrategyCard
from automl_transfer.space import Float, Scalar

if TYPE_CHECKING:
    from automl_transfer.plan import FreezePlan, StageView

CARD = StrategyCard(
    id="scratch",
    factory="automl_transfer.strategies.scratch:plan",
    summary="trained from random weights (baseline)",
    space=(
        Float(name="lr", low=1e-4, high=1e-2, default=1e-3, log=True),
        Float(name="weight_decay", low=1e-4, high=0.3, default=5e-2, log=True),
    ),
    baseline=True,
)


def plan(*, stages: Sequence[StageView], params: Mapping[str, Scalar]) -> FreezePlan:
    """No probe: there is nothing in random features that a head could start from."""
    from automl_transfer.plan import FreezePlan, Phase

    chosen = {stage.name: 1.0 for stage in stages}
    return FreezePlan(
        phases=(Phase(name="all", share=1.0, trains=chosen, norm="train"),),
        lr=float(params["lr"]),
        head_lr=float(params["lr"]),
        weight_decay=float(params["weight_decay"]),
        start="scratch",
    )
