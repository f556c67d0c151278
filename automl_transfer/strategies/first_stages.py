"""The first stages train: surgical fine-tuning (arXiv:2210.11466)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from automl_transfer.cards import StrategyCard
from automl_transfer.space import Float, Int, Scalar

if TYPE_CHECKING:
    from automl_transfer.plan import FreezePlan, StageView

CARD = StrategyCard(
    id="first-stages",
    factory="automl_transfer.strategies.first_stages:plan",
    summary="the first k stages train (surgical)",
    space=(
        Int(name="k", low=1, high=2, default=1),
        Float(name="lr", low=1e-5, high=1e-3, default=1e-4, log=True),
        Float(name="weight_decay", low=1e-4, high=0.3, default=1e-2, log=True),
    ),
)


def plan(*, stages: Sequence[StageView], params: Mapping[str, Scalar]) -> FreezePlan:
    """Where the inputs differ from those of the pretraining (other sensor, other texture), it is
    the first stages that must adapt.
    """
    from automl_transfer.plan import Phase, from_probed_head

    k = max(1, min(int(params["k"]), len(stages) - 1))
    chosen = {stage.name: 1.0 for stage in stages[:k]}
    return from_probed_head(
        Phase(name="first", share=1.0, trains=chosen),
        lr=float(params["lr"]),
        weight_decay=float(params["weight_decay"]),
    )
