"""Every hook of the plugin door.

A plugin is a module, named by an entry point in the group ``automl_transfer``, with functions
marked ``@hookimpl`` that bear these names. Hooks *return* cards, so that each card can be
attributed, checked and, if need be, set aside. An implementation may leave out arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from automl_transfer.cards import (
        BackboneCard,
        HeadCard,
        ModalityCard,
        PrunerCard,
        RankerCard,
        SampleDataCard,
        SamplerCard,
        StrategyCard,
        WeightsCard,
    )
    from automl_transfer.contracts import LocalWeights
    from automl_transfer.events import Event
    from automl_transfer.task import Task

API = (1, 0)
"""Version of this contract (major, minor), apart from the version of the package. A plugin module
may state the one it was written for as ``AUTOML_TRANSFER_API = (1, 0)``: another major, or a newer
minor, is refused with a clear message."""

GROUP = "automl_transfer"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def automl_transfer_modalities() -> Iterable[ModalityCard]:
    """Kinds of data."""
    raise NotImplementedError


@hookspec
def automl_transfer_backbones() -> Iterable[BackboneCard]:
    """Backbones that are always offered."""
    raise NotImplementedError


@hookspec
def automl_transfer_resolve_backbone(id: str) -> BackboneCard | None:
    """A card for a name of a family too large to list (``timm/...``), or None if it is not yours.

    Raise :class:`~automl_transfer.errors.UsageError` if it is yours and wrong.
    """
    raise NotImplementedError


@hookspec
def automl_transfer_portfolio(size: str, modality: str) -> Iterable[BackboneCard]:
    """Backbones of the default portfolio ``tiny``, ``small``, ``base`` or ``large``."""
    raise NotImplementedError


@hookspec
def automl_transfer_heads() -> Iterable[HeadCard]:
    """Heads."""
    raise NotImplementedError


@hookspec
def automl_transfer_freeze_strategies() -> Iterable[StrategyCard]:
    """Freeze strategies."""
    raise NotImplementedError


@hookspec
def automl_transfer_rankers() -> Iterable[RankerCard]:
    """Rankers of backbones."""
    raise NotImplementedError


@hookspec
def automl_transfer_samplers() -> Iterable[SamplerCard]:
    """Samplers of Optuna, chosen with ``--sampler``."""
    raise NotImplementedError


@hookspec
def automl_transfer_pruners() -> Iterable[PrunerCard]:
    """Pruners, chosen with ``--pruner``."""
    raise NotImplementedError


@hookspec
def automl_transfer_sample_data() -> Iterable[SampleDataCard]:
    """Small data sets for ``automl-transfer data sample``."""
    raise NotImplementedError


@hookspec
def automl_transfer_locate_weights(weights: WeightsCard, offline: bool) -> LocalWeights | None:
    """Weights that only you know where to find; asked before the card's own sources."""
    raise NotImplementedError


@hookspec
def automl_transfer_veto(backbone: BackboneCard, task: Task) -> str | None:
    """A reason not to try this backbone for this task, or None."""
    raise NotImplementedError


@hookspec
def automl_transfer_trial_event(study: str, event: Event) -> None:
    """Called with each event of a search. Whatever you do here cannot change a result."""
    raise NotImplementedError
