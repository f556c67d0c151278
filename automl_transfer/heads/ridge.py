"""Ridge regression: its whole path is tried by one formula."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from automl_transfer.cards import HeadCard
from automl_transfer.kinds import KINDS
from automl_transfer.space import Scalar

if TYPE_CHECKING:
    from torch import nn

CARD = HeadCard(
    id="ridge",
    factory="automl_transfer.heads.ridge:build",
    kinds=KINDS,
    summary="ridge regression, its penalty by exact leave-one-out",
    closed_form=True,
    weighs_classes=True,
)

OF_STAGES = replace(
    CARD,
    id="ridge-stages",
    summary="ridge regression on the pooled outputs of all stages",
    reads="stages",
)


def build(*, width: int, classes: int, params: Mapping[str, Scalar]) -> nn.Module:
    """A linear layer that chooses penalty and temperature by itself when it is fitted."""
    from automl_transfer.training.closed_form import RidgeHead

    return RidgeHead(width, classes)
