"""Low-rank adapters beside frozen weights (LoRA, arXiv:2106.09685)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from automl_transfer.cards import StrategyCard
from automl_transfer.space import Choice, Float, Scalar

if TYPE_CHECKING:
    from automl_transfer.plan import FreezePlan, StageView

CARD = StrategyCard(
    id="lora",
    factory="automl_transfer.strategies.lora:plan",
    summary="low-rank adapters train, the weights do not",
    space=(
        Choice(name="rank", choices=(4, 8, 16), default=8),
        Float(name="lr", low=5e-5, high=5e-3, default=5e-4, log=True),
    ),
)


def plan(*, stages: Sequence[StageView], params: Mapping[str, Scalar]) -> FreezePlan:
    """Adapters in every stage, merged into the weights at the end."""
    from automl_transfer.plan import Adapter, Phase, from_probed_head

    rank = int(params["rank"])
    chosen = {stage.name: 1.0 for stage in stages}
    adapter = Adapter(rank=rank, alpha=2.0 * rank)
    return from_probed_head(
        Phase(name="adapters", share=1.0, trains=chosen, adapter=adapter),
        lr=float(params["lr"]),
    )
