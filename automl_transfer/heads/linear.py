"""Multinomial logistic regression: one linear layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from automl_transfer.cards import HeadCard
from automl_transfer.kinds import KINDS
from automl_transfer.space import Float, Scalar

if TYPE_CHECKING:
    from torch import nn

CARD = HeadCard(
    id="linear",
    factory="automl_transfer.heads.linear:build",
    kinds=KINDS,
    summary="one linear layer (logistic regression)",
    space=(
        Float(name="lr", low=1e-4, high=1e-1, default=3e-3, log=True),
        Float(name="weight_decay", low=1e-5, high=1.0, default=1e-2, log=True),
        Float(name="label_smoothing", low=0.0, high=0.2, default=0.0),
    ),
)


def build(*, width: int, classes: int, params: Mapping[str, Scalar]) -> nn.Module:
    """A linear layer that starts at zero: every class equally likely."""
    from torch import nn

    layer = nn.Linear(width, classes)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
