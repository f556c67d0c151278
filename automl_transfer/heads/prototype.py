"""Nearest class mean: no training at all on frozen features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from automl_transfer.cards import HeadCard
from automl_transfer.space import Scalar

if TYPE_CHECKING:
    from torch import nn

CARD = HeadCard(
    id="prototype",
    factory="automl_transfer.heads.prototype:build",
    summary="nearest class mean, by angle or distance as leave-one-out decides",
    closed_form=True,
)


def build(*, width: int, classes: int, params: Mapping[str, Scalar]) -> nn.Module:
    """Class scores from similarity to class means (Snell et al., arXiv:1703.05175)."""
    from automl_transfer.training.similarity import NearestMean

    return NearestMean(width, classes)
