"""The plugin: cards only, nothing heavy."""

from __future__ import annotations

from automl_transfer import hookimpl
from automl_transfer.cards import (
    BackboneCard,
    CostCard,
    FeatureCard,
    HeadCard,
    StageCard,
    StrategyCard,
    WeightsCard,
)
from automl_transfer.space import Float

AUTOML_TRANSFER_API = (1, 0)

SHA256 = "295aca29d3b6158b71164bf00efc3127dc1b9424ebbbbf2d7bdf9a2b72872e43"

TINY_CNN = BackboneCard(
    id="acme/tiny-cnn",
    factory="acme_transfer.network:build",
    modality="image",
    family="acme",
    weights=WeightsCard(
        sources=("package:acme_transfer/weights.safetensors",),
        requires="acme-transfer",
        sha256=SHA256,
        license="Apache-2.0",
        pretrained_on="nothing: drawn at random from seed 0",
    ),
    input={
        "size": [3, 32, 32],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bilinear",
        "crop_pct": 1.0,
    },
    features=FeatureCard(width=32),
    stages=(
        StageCard(name="stem", tensors=(r"stem\.",)),
        StageCard(name="body", tensors=(r"body\.",)),
    ),
    cost=CostCard(params=5120),
)

SCALED_LINEAR = HeadCard(
    id="acme/scaled-linear",
    factory="acme_transfer.head:build",
    summary="A linear layer whose scores are multiplied by a constant",
    space=(Float(name="scale", low=0.5, high=4.0, default=1.0, log=True),),
)

HEAD_THEN_LAST = StrategyCard(
    id="acme/head-then-last",
    factory="acme_transfer.strategy:plan",
    summary="First the head alone, then the last stage too",
    space=(Float(name="lr", low=1e-4, high=1e-2, default=1e-3, log=True),),
)


@hookimpl
def automl_transfer_backbones() -> list[BackboneCard]:
    return [TINY_CNN]


@hookimpl
def automl_transfer_heads() -> list[HeadCard]:
    return [SCALED_LINEAR]


@hookimpl
def automl_transfer_freeze_strategies() -> list[StrategyCard]:
    return [HEAD_THEN_LAST]
