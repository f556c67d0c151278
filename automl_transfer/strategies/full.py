"""Every stage trains, the earlier the slower, after a probe of the head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from automl_transfer.cards import StrategyCard
from automl_transfer.space import Choice, Float, Scalar

if TYPE_CHECKING:
    from automl_transfer.plan import FreezePlan, StageView

CARD = StrategyCard(
    id="full",
    factory="automl_transfer.strategies.full:plan",
    summary="all stages train, the earlier the slower",
    space=(
        Float(name="lr", low=1e-5, high=1e-3, default=1e-4, log=True),
        Choice(name="decay", choices=(0.65, 0.75, 0.85, 1.0), default=0.75),
        Float(name="weight_decay", low=1e-4, high=0.3, default=1e-2, log=True),
    ),
)


def plan(*, stages: Sequence[StageView], params: Mapping[str, Scalar]) -> FreezePlan:
    """Layer-wise decay of the learning rate (arXiv:1801.06146), from the probed head
    (LP-FT, arXiv:2202.10054).
    """
    from automl_transfer.plan import Phase, from_probed_head

    decay = float(params["decay"])
    last = len(stages) - 1
    # Networks differ in how many stages they have: the decay is that of twelve, spread over them.
    per_stage = decay ** (12 / max(12, len(stages)))
    chosen = {stage.name: per_stage ** (last - place) for place, stage in enumerate(stages)}
    return from_probed_head(
        Phase(name="all", share=1.0, trains=chosen),
        lr=float(params["lr"]),
        head_factor=10.0,
        weight_decay=float(params["weight_decay"]),
    )
