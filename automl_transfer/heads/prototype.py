"""Nearest class mean: no training at all on frozen features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from automl_transfer.cards import HeadCard
from automl_transfer.space import Choice, Float, Scalar, When

if TYPE_CHECKING:
    from torch import nn

CARD = HeadCard(
    id="prototype",
    factory="automl_transfer.heads.prototype:build",
    summary="nearest class mean",
    space=(
        Choice(name="distance", choices=("cosine", "euclidean"), default="cosine"),
        Float(
            name="scale",
            low=4.0,
            high=64.0,
            default=16.0,
            log=True,
            when=When(parameter="distance", equals=("cosine",)),
        ),
    ),
    closed_form=True,
)


def build(*, width: int, classes: int, params: Mapping[str, Scalar]) -> nn.Module:
    """Class scores from similarity to class means (Snell et al., arXiv:1703.05175)."""
    from automl_transfer.training.similarity import CosineSimilarity, EuclideanSimilarity

    if params["distance"] == "cosine":
        return CosineSimilarity(width, classes, scale=float(params["scale"]))
    return EuclideanSimilarity(width, classes)
