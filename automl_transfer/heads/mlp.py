"""A perceptron with one hidden layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from automl_transfer.cards import HeadCard
from automl_transfer.kinds import KINDS
from automl_transfer.space import Float, Int, Scalar

if TYPE_CHECKING:
    from torch import nn

CARD = HeadCard(
    id="mlp",
    factory="automl_transfer.heads.mlp:build",
    kinds=KINDS,
    summary="one hidden layer with dropout",
    space=(
        # Wider ones cost in proportion, and were no better (benchmarks/halving_heads.md).
        Int(name="hidden", low=16, high=128, default=64, log=True),
        Float(name="dropout", low=0.0, high=0.6, default=0.2),
        Float(name="lr", low=1e-4, high=3e-2, default=1e-3, log=True),
        Float(name="weight_decay", low=1e-5, high=1.0, default=1e-2, log=True),
        Float(name="label_smoothing", low=0.0, high=0.2, default=0.0),
    ),
)

OF_STAGES = replace(
    CARD,
    id="mlp-stages",
    summary="one hidden layer with dropout, on the pooled outputs of all stages",
    reads="stages",
)


def build(*, width: int, classes: int, params: Mapping[str, Scalar]) -> nn.Module:
    """Linear, GELU, dropout, linear."""
    from torch import nn

    hidden = int(params["hidden"])
    return nn.Sequential(
        nn.Linear(width, hidden),
        nn.GELU(),
        nn.Dropout(float(params["dropout"])),
        nn.Linear(hidden, classes),
    )
