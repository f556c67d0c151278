"""The last stages train, after a probe of the head (LP-FT, arXiv:2202.10054)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from automl_transfer.cards import StrategyCard
from automl_transfer.space import Float, Int, Scalar

if TYPE_CHECKING:
    from automl_transfer.plan import FreezePlan, StageView

CARD = StrategyCard(
    id="last-stages",
    factory="automl_transfer.strategies.last_stages:plan",
    summary="the last k stages train",
    space=(
        Int(name="k", low=1, high=3, default=1),
        Float(name="lr", low=3e-5, high=3e-3, default=3e-4, log=True),
        Float(name="weight_decay", low=1e-4, high=0.3, default=1e-2, log=True),
    ),
)


def plan(*, stages: Sequence[StageView], params: Mapping[str, Scalar]) -> FreezePlan:
    """Stages near the output are the most specific to what the network was trained on."""
    from automl_transfer.plan import Phase, from_probed_head

    k = max(1, min(int(params["k"]), len(stages) - 1))
    chosen = {stage.name: 1.0 for stage in stages[-k:]}
    return from_probed_head(
        Phase(name="last", share=1.0, trains=chosen),
        lr=float(params["lr"]),
        weight_decay=float(params["weight_decay"]),
    )
