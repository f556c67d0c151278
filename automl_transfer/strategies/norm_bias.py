"""Only norm layers and biases train (BitFit, arXiv:2106.10199; BN-tuning)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from automl_transfer.cards import StrategyCard
from automl_transfer.space import Float, Scalar

if TYPE_CHECKING:
    from automl_transfer.plan import FreezePlan, StageView

CARD = StrategyCard(
    id="norm-bias",
    factory="automl_transfer.strategies.norm_bias:plan",
    summary="only norm layers and biases train",
    space=(Float(name="lr", low=1e-4, high=1e-2, default=1e-3, log=True),),
)


def plan(*, stages: Sequence[StageView], params: Mapping[str, Scalar]) -> FreezePlan:
    """All stages, but of each only the affine parameters of norm layers and the biases."""
    from automl_transfer.plan import Phase, from_probed_head

    chosen = {stage.name: 1.0 for stage in stages}
    return from_probed_head(
        Phase(name="norm-bias", share=1.0, trains=chosen, tensors="norm-bias"),
        lr=float(params["lr"]),
    )
