"""Cosine classifier: direction counts, length does not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from automl_transfer.cards import HeadCard
from automl_transfer.space import Float, Scalar

if TYPE_CHECKING:
    from torch import nn

CARD = HeadCard(
    id="cosine",
    factory="automl_transfer.heads.cosine:build",
    summary="cosine similarity to one learned direction a class",
    space=(
        Float(name="scale", low=4.0, high=64.0, default=16.0, log=True),
        Float(name="lr", low=1e-4, high=1e-1, default=1e-2, log=True),
        Float(name="weight_decay", low=1e-6, high=1e-1, default=1e-4, log=True),
        Float(name="label_smoothing", low=0.0, high=0.2, default=0.0),
    ),
)


def build(*, width: int, classes: int, params: Mapping[str, Scalar]) -> nn.Module:
    """Scaled cosine similarities (Gidaris and Komodakis, arXiv:1804.09458, eq. 5).

    The directions start at the class means, so that training refines a nearest-mean classifier.
    """
    from automl_transfer.training.similarity import CosineSimilarity

    return CosineSimilarity(width, classes, scale=float(params["scale"]))
