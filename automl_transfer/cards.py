"""Cards: what a member says of itself before anything heavy is imported.

A card is frozen, keyword-only, JSON, free of torch. Its ``factory`` is a string
``"package.module:function"`` that is imported only where training happens. Fields are only ever
added, with defaults, so that a card written for an older contract stays valid.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from automl_transfer.errors import CardError
from automl_transfer.jsonable import digest, to_json
from automl_transfer.kinds import KINDS, Kind
from automl_transfer.space import Param, Space

PORTFOLIOS = ("tiny", "small", "base", "large")
"""Sizes of the default portfolio."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+@-]*(/[A-Za-z0-9~._:+@-]+)*")
_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def _check(card: Any, space: tuple[Param, ...] = ()) -> None:
    kind = type(card).__name__
    if not isinstance(card.id, str) or (
        not _ID.fullmatch(card.id) and not card.id.startswith("local:")
    ):
        raise CardError(
            f"{kind}.id must look like 'namespace/name' (letters, digits, . _ : + @ -), "
            f"but got {card.id!r}."
        )
    if not isinstance(card.factory, str) or not _FACTORY.fullmatch(card.factory):
        raise CardError(
            f"{kind}.factory of {card.id!r} must look like 'package.module:function', "
            f"but got {card.factory!r}."
        )
    Space(tuple(space))


def _check_kinds(card: Any) -> None:
    if not card.kinds or not set(card.kinds) <= set(KINDS):
        raise CardError(
            f"{type(card).__name__}.kinds of {card.id!r} must name some of {', '.join(KINDS)}, "
            f"but got {card.kinds!r}."
        )


@dataclass(frozen=True, kw_only=True)
class WeightsCard:
    """Where pretrained weights are to be found, and on what terms."""

    sources: tuple[str, ...]
    """In order of preference. ``package:PACKAGE/PATH`` a file inside an installed package;
    ``dir:PATH`` a file or directory on this machine; ``hf:REPO[@REVISION]`` a repository of the
    Hugging Face hub (its local cache first); ``url:URL`` a file of torch.hub (likewise)."""
    requires: str | None = None
    """The pip requirement that brings a ``package:`` source."""
    sha256: str | None = None
    bytes: int | None = None
    license: str | None = None
    """SPDX identifier, ``LicenseRef-...``, or None when it is not known."""
    pretrained_on: str | None = None


@dataclass(frozen=True, kw_only=True)
class FeatureCard:
    """What a backbone hands to a head: one vector of ``width`` numbers for each sample."""

    width: int | None = None
    """Pooled width; None when it is only known after building. The host probes it in any case."""


@dataclass(frozen=True, kw_only=True)
class StageCard:
    """A named part of a backbone, in order from input to output."""

    name: str
    tensors: tuple[str, ...]
    """Regular expressions, matched from the start of parameter and buffer names."""


@dataclass(frozen=True, kw_only=True)
class CostCard:
    """Declared cost of one forward pass of one sample at the card's input size."""

    params: int
    """Number of parameters, without a classifier."""
    gmacs: float | None = None
    mactivations: float | None = None


@dataclass(frozen=True, kw_only=True)
class BackboneCard:
    """A pretrained network that maps a batch of inputs to features of shape (n, width)."""

    id: str
    factory: str
    """``build(*, card, weights, seed) -> Backbone``; see :mod:`automl_transfer.backbones`."""
    modality: str
    """Id of the modality whose inputs it takes."""
    family: str
    weights: WeightsCard
    input: Mapping[str, Any] = field(default_factory=dict)
    """What the modality must know to encode a sample, in the modality's own words."""
    features: FeatureCard = FeatureCard()
    stages: tuple[StageCard, ...] = ()
    """Empty: the factory names the stages."""
    cost: CostCard | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """For the factory alone: the name of the architecture and the like."""
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check(self)
        if not self.weights.sources:
            raise CardError(f"WeightsCard.sources of {self.id!r} must name at least one source.")
        if self.cost is not None and self.cost.params <= 0:
            raise CardError(
                f"CostCard.params of {self.id!r} must be positive, but got {self.cost.params!r}."
            )
        for stage in self.stages:
            for pattern in stage.tensors:
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise CardError(
                        f"StageCard.tensors of {self.id!r} must be regular expressions, "
                        f"but got {pattern!r} ({error})."
                    ) from error

    @property
    def digest(self) -> str:
        """Changes when the card does."""
        return digest(to_json(self))


Reads = Literal["features", "stages"]
"""What a head reads of a backbone; see :attr:`HeadCard.reads`."""


@dataclass(frozen=True, kw_only=True)
class HeadCard:
    """What maps features of shape (n, width) to class scores of shape (n, classes)."""

    id: str
    factory: str
    """``build(*, width, classes, params) -> Head``; see :mod:`automl_transfer.heads`."""
    summary: str = ""
    space: tuple[Param, ...] = ()
    closed_form: bool = False
    """Fitted to frozen features by a formula; with a frozen backbone nothing is trained."""
    reads: Reads = "features"
    """``stages``: behind the features come the pooled outputs of the backbone's stages, each group
    brought to the same variance. For frozen backbones only: such a head is not fine-tuned with,
    and not tried on a backbone of which no outputs can be pooled."""
    weighs_classes: bool = False
    """Its ``fit`` takes ``class_weights``, shape (c,). Heads that train need not say so: their
    loss is the host's."""
    kinds: tuple[Kind, ...] = ("single-label",)
    """Targets that its scores can be of: see :mod:`automl_transfer.target`. ``classes`` of its
    factory is the number of outputs; its ``fit``, if any, gets targets in their form, numbers
    brought to mean 0 and deviation 1."""

    def __post_init__(self) -> None:
        _check(self, self.space)
        _check_kinds(self)
        if self.reads not in get_args(Reads):
            raise CardError(
                f"HeadCard.reads of {self.id!r} must be one of {', '.join(get_args(Reads))}, but "
                f"got {self.reads!r}."
            )


@dataclass(frozen=True, kw_only=True)
class StrategyCard:
    """A freeze strategy: which part of a backbone trains, when and how fast."""

    id: str
    factory: str
    """``plan(*, stages, params) -> FreezePlan``, a pure function; see
    :mod:`automl_transfer.strategies`."""
    summary: str = ""
    space: tuple[Param, ...] = ()
    trains_backbone: bool = True
    """False: only the head trains, so that frozen features can be computed once and kept."""
    baseline: bool = False
    """A yardstick (training from scratch): tried only when it is named."""

    def __post_init__(self) -> None:
        _check(self, self.space)


@dataclass(frozen=True, kw_only=True)
class RankerCard:
    """Orders backbones before any training, from frozen features and labels."""

    id: str
    factory: str
    """``score(*, features, labels, classes, seed) -> float``, higher is better."""
    summary: str = ""
    kinds: tuple[Kind, ...] = ("single-label",)
    """Targets that it can score features by: ``labels`` come in their form."""

    def __post_init__(self) -> None:
        _check(self)
        _check_kinds(self)


@dataclass(frozen=True, kw_only=True)
class SamplerCard:
    """Proposes hyper-parameters: a sampler of Optuna."""

    id: str
    factory: str
    """``build(*, seed, startup) -> optuna.samplers.BaseSampler``; called afresh for each ask."""
    summary: str = ""

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class PrunerCard:
    """Stops fine-tuning trials early."""

    id: str
    factory: str
    """``build(*, rungs) -> optuna.pruners.BasePruner``, from the steps at which trials report."""
    summary: str = ""
    synchronous: bool = False
    """The host trains all trials of a batch to a rung, then goes on with the best third; the
    pruner itself is not asked."""

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, kw_only=True)
class ModalityCard:
    """A kind of data."""

    id: str
    factory: str
    """``build() -> Modality``; see :mod:`automl_transfer.modalities`."""
    summary: str = ""
    space: tuple[Param, ...] = ()
    """How the training view of a sample may be varied (augmentation)."""

    def __post_init__(self) -> None:
        _check(self, self.space)


@dataclass(frozen=True, kw_only=True)
class SampleDataCard:
    """A small labelled data set that an installed package carries."""

    id: str
    factory: str
    """``write(*, directory, labelling, per_class) -> int``, the number of files written."""
    title: str
    license: str
    """SPDX identifier, shown whenever the data are written."""
    labellings: tuple[str, ...] = ()
    """Names of the ways to label it, the default first."""
    requires: str | None = None
    """The pip requirement that brings it, when it is not always there."""
    source: str = ""
    modality: str | None = None
    """Id of the modality that reads it; None: not said. The conformance kit looks at a modality,
    and at its backbones, with sample data of its own: of three classes or more, with five
    samples or more each."""

    def __post_init__(self) -> None:
        _check(self)
