"""The plugin: its card, nothing heavy. It is imported whenever plugins are listed."""

from __future__ import annotations

from automl_transfer import hookimpl
{%- if cookiecutter.kind == "backbone" %}
from automl_transfer.cards import BackboneCard, CostCard, FeatureCard, StageCard, WeightsCard

AUTOML_TRANSFER_API = (1, 0)

CARD = BackboneCard(
    id="{{ cookiecutter.namespace }}/{{ cookiecutter.member }}",
    factory="{{ cookiecutter.module }}.backbone:build",
    modality="image",
    family="{{ cookiecutter.namespace }}",
    weights=WeightsCard(
        sources=("package:{{ cookiecutter.module }}/weights.safetensors",),
        requires="{{ cookiecutter.distribution }}",
        license="Apache-2.0",
        pretrained_on="nothing yet: drawn at random",
    ),
    input={
        "size": [3, 64, 64],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "interpolation": "bilinear",
        "crop_pct": 1.0,
    },
    features=FeatureCard(width=64),
    # From input to output; together they hold every parameter and buffer once.
    stages=(
        StageCard(name="stem", tensors=(r"stem\.",)),
        StageCard(name="body", tensors=(r"body\.",)),
        StageCard(name="last", tensors=(r"last\.",)),
    ),
    cost=CostCard(params=23584),
)


@hookimpl
def automl_transfer_backbones() -> list[BackboneCard]:
    """Backbones that are always offered."""
    return [CARD]
{%- elif cookiecutter.kind == "head" %}
from automl_transfer.cards import HeadCard
from automl_transfer.space import Float

AUTOML_TRANSFER_API = (1, 0)

CARD = HeadCard(
    id="{{ cookiecutter.namespace }}/{{ cookiecutter.member }}",
    factory="{{ cookiecutter.module }}.head:build",
    summary="a linear layer after dropout",
    space=(
        Float(name="lr", low=1e-3, high=3e-1, default=1e-2, log=True),
        Float(name="weight_decay", low=1e-6, high=1e-1, default=1e-4, log=True),
        Float(name="dropout", low=0.0, high=0.5, default=0.1),
    ),
    kinds=("single-label", "multi-label", "regression"),
)


@hookimpl
def automl_transfer_heads() -> list[HeadCard]:
    """Heads."""
    return [CARD]
{%- elif cookiecutter.kind == "strategy" %}
from automl_transfer.cards import StrategyCard
from automl_transfer.space import Float

AUTOML_TRANSFER_API = (1, 0)

CARD = StrategyCard(
    id="{{ cookiecutter.namespace }}/{{ cookiecutter.member }}",
    factory="{{ cookiecutter.module }}.strategy:plan",
    summary="first the last stage, then the last half of the stages",
    space=(Float(name="lr", low=3e-5, high=3e-3, default=3e-4, log=True),),
)


@hookimpl
def automl_transfer_freeze_strategies() -> list[StrategyCard]:
    """Freeze strategies."""
    return [CARD]
{%- elif cookiecutter.kind == "ranker" %}
from automl_transfer.cards import RankerCard

AUTOML_TRANSFER_API = (1, 0)

CARD = RankerCard(
    id="{{ cookiecutter.namespace }}/{{ cookiecutter.member }}",
    factory="{{ cookiecutter.module }}.ranker:score",
    summary="share of samples whose nearest class mean is their own",
)


@hookimpl
def automl_transfer_rankers() -> list[RankerCard]:
    """Rankers."""
    return [CARD]
{%- endif %}
