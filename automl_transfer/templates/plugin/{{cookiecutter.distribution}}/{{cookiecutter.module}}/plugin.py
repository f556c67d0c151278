{%- macro network(name, member, modality, input, params) -%}
{{ name }} = BackboneCard(
    id="{{ cookiecutter.namespace }}/{{ member }}",
    factory="{{ cookiecutter.module }}.backbone:build",
    modality={{ modality }},
    family="{{ cookiecutter.namespace }}",
    weights=WeightsCard(
        sources=("package:{{ cookiecutter.module }}/weights.safetensors",),
        requires="{{ cookiecutter.distribution }}",
        license="Apache-2.0",
        pretrained_on="nothing yet: drawn at random",
    ),
    input={{ input }},
    features=FeatureCard(width=64),
    # From input to output; together they hold every parameter and buffer once.
    stages=(
        StageCard(name="stem", tensors=(r"stem\.",)),
        StageCard(name="body", tensors=(r"body\.",)),
        StageCard(name="last", tensors=(r"last\.",)),
    ),
    cost=CostCard(params={{ params }}),
)
{%- endmacro -%}
"""The plugin: its {{ "cards" if cookiecutter.kind == "modality" else "card" }}, nothing heavy. It is imported whenever plugins are listed."""

from __future__ import annotations

from automl_transfer import hookimpl
{%- if cookiecutter.kind == "backbone" %}
from automl_transfer.cards import BackboneCard, CostCard, FeatureCard, StageCard, WeightsCard

AUTOML_TRANSFER_API = (1, 0)

{% set input -%}
{
        "size": [3, 64, 64],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "interpolation": "bilinear",
        "crop_pct": 1.0,
    }
{%- endset -%}
{{ network("CARD", cookiecutter.member, '"image"', input, 23584) }}


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
{%- elif cookiecutter.kind == "modality" %}
from automl_transfer.cards import (
    BackboneCard,
    CostCard,
    FeatureCard,
    ModalityCard,
    SampleDataCard,
    StageCard,
    WeightsCard,
)
from automl_transfer.space import Choice

AUTOML_TRANSFER_API = (1, 0)

CARD = ModalityCard(
    id="{{ cookiecutter.namespace }}/{{ cookiecutter.member }}",
    factory="{{ cookiecutter.module }}.modality:build",
    summary="sounds in WAV files",
    # How the training view of a sample may vary.
    space=(Choice(name="noise", choices=(0.0, 0.01), default=0.0),),
)
{{ network("NET", "net", "CARD.id", '{"samples": 8000}', 23520) }}
# What `plugins check` and the tests look at, and what people can try the search on.
TONES = SampleDataCard(
    id="{{ cookiecutter.namespace }}/tones",
    factory="{{ cookiecutter.module }}.sample_data:write",
    title="Tones of three pitches, 120 sounds of a second",
    license="CC0-1.0",
    modality=CARD.id,
)


@hookimpl
def automl_transfer_modalities() -> list[ModalityCard]:
    """Kinds of data."""
    return [CARD]


@hookimpl
def automl_transfer_backbones() -> list[BackboneCard]:
    """Backbones that are always offered."""
    return [NET]


@hookimpl
def automl_transfer_sample_data() -> list[SampleDataCard]:
    """Small data sets for `automl-transfer data sample`."""
    return [TONES]
{%- endif %}
