"""The plugin that we ship. It is written as a third party would write theirs.

Listing members does without the modules of the families that are too large to list.
"""

from __future__ import annotations

from collections.abc import Iterable

from automl_transfer.backbones import bundled
from automl_transfer.cards import (
    BackboneCard,
    HeadCard,
    ModalityCard,
    PrunerCard,
    RankerCard,
    SampleDataCard,
    SamplerCard,
    StrategyCard,
)
from automl_transfer.heads import cosine, linear, mlp, prototype
from automl_transfer.heads import ridge as ridge_head
from automl_transfer.hookspecs import hookimpl
from automl_transfer.modalities import image
from automl_transfer.modalities.image import samples
from automl_transfer.pruners import hyperband, median, rungs
from automl_transfer.pruners import none as no_pruner
from automl_transfer.rankers import knn, logme, ridge
from automl_transfer.samplers import gp, tpe
from automl_transfer.samplers import random as random_sampler
from automl_transfer.strategies import (
    first_stages,
    frozen,
    full,
    last_stages,
    lora,
    norm_bias,
    scratch,
)

AUTOML_TRANSFER_API = (1, 0)


@hookimpl
def automl_transfer_modalities() -> Iterable[ModalityCard]:
    """Kinds of data."""
    return [image.CARD]


@hookimpl
def automl_transfer_backbones() -> Iterable[BackboneCard]:
    """The network that works with no hub at all, at two input sizes."""
    return list(bundled.CARDS)


@hookimpl
def automl_transfer_resolve_backbone(id: str) -> BackboneCard | None:
    """Cards for the names of four families."""
    from automl_transfer.backbones import local, timm, torchvision, transformers

    for resolve in (timm.resolve, torchvision.resolve, transformers.resolve, local.resolve):
        card = resolve(id)
        if card is not None:
            return card
    return None


@hookimpl
def automl_transfer_portfolio(size: str, modality: str) -> Iterable[BackboneCard]:
    """The curated defaults."""
    from automl_transfer.backbones import portfolio

    return [card for card in portfolio.portfolio(size) if card.modality == modality]


@hookimpl
def automl_transfer_heads() -> Iterable[HeadCard]:
    """Heads."""
    return [
        linear.CARD,
        mlp.CARD,
        mlp.OF_STAGES,
        cosine.CARD,
        prototype.CARD,
        ridge_head.CARD,
        ridge_head.OF_STAGES,
    ]


@hookimpl
def automl_transfer_freeze_strategies() -> Iterable[StrategyCard]:
    """Freeze strategies."""
    return [
        frozen.CARD,
        last_stages.CARD,
        first_stages.CARD,
        full.CARD,
        norm_bias.CARD,
        lora.CARD,
        scratch.CARD,
    ]


@hookimpl
def automl_transfer_rankers() -> Iterable[RankerCard]:
    """Rankers."""
    return [ridge.CARD, logme.CARD, knn.CARD]


@hookimpl
def automl_transfer_samplers() -> Iterable[SamplerCard]:
    """Samplers."""
    return [tpe.CARD, gp.CARD, random_sampler.CARD]


@hookimpl
def automl_transfer_pruners() -> Iterable[PrunerCard]:
    """Pruners."""
    return [rungs.CARD, hyperband.CARD, median.CARD, no_pruner.CARD]


@hookimpl
def automl_transfer_sample_data() -> Iterable[SampleDataCard]:
    """Sample data sets."""
    return list(samples.CARDS)
