"""The heavy side of the plug-in contract: what factories return.

These are protocols: a plugin inherits nothing. Shapes: n samples in a batch, d pooled width,
c classes. Only names are used here: numpy and torch are loaded by whoever implements them (so that
``typing.get_type_hints`` does not know them).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from automl_transfer.cards import BackboneCard
from automl_transfer.plan import FreezePlan, StageView
from automl_transfer.space import Scalar

if TYPE_CHECKING:
    import numpy as np
    import optuna
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from automl_transfer.audit import Finding
    from automl_transfer.dataset import DataOptions, Dataset, Recognition, Sample
    from automl_transfer.target import Targets

Batch = Any
"""A tensor whose first axis is the sample, or a dictionary of such tensors."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A named part of a built backbone: exact names of its parameters and buffers."""

    name: str
    tensors: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LocalWeights:
    """Weights that are on this machine."""

    path: Path
    """A file, or a directory with ``config.json`` and ``model.safetensors``."""
    source: str
    """The source of the card that it came from."""
    sha256: str
    """Of the file that holds the tensors."""


class Backbone(Protocol):
    """A built network."""

    @property
    def module(self) -> nn.Module:
        """The network, without a classifier."""
        ...

    @property
    def stages(self) -> Sequence[Stage]:
        """In order from input to output; together they hold every parameter and buffer of
        ``module`` exactly once. Empty: the host derives them."""
        ...

    def features(self, batch: Batch) -> torch.Tensor:
        """Pooled features, shape (n, d), of an encoded batch. Goes through ``module``."""
        ...


class BuildBackbone(Protocol):
    """The factory of a backbone card."""

    def __call__(self, *, card: BackboneCard, weights: LocalWeights | None, seed: int) -> Backbone:
        """Builds the network; ``weights=None`` builds it with random ones, from ``seed``."""
        ...


class BuildHead(Protocol):
    """The factory of a head card."""

    def __call__(self, *, width: int, classes: int, params: Mapping[str, Scalar]) -> nn.Module:
        """Returns a module that maps (n, d) features to (n, c) scores.

        Scores of classes go through a softmax, those of labels each through the logistic function;
        numbers are a single column, with mean 0 and deviation 1 over the training part. The card
        says for which kinds of targets the head is meant; ``classes`` is c.

        A module with a method ``fit(features, labels)`` is initialised by it, from frozen features
        of shape (n, d) and labels of shape (n,), before any training; if its card says
        ``closed_form`` and the backbone is frozen, that is all the training there is. Where its
        card says ``weighs_classes``, it is also called with ``class_weights=``, shape (c,).
        """
        ...


class MakePlan(Protocol):
    """The factory of a strategy card. Pure, free of torch."""

    def __call__(self, *, stages: Sequence[StageView], params: Mapping[str, Scalar]) -> FreezePlan:
        """Returns what trains, when and how fast."""
        ...


class Rank(Protocol):
    """The factory of a ranker card is the ranker itself."""

    def __call__(
        self,
        *,
        features: NDArray[np.float32],
        labels: Targets,
        classes: int,
        seed: int,
    ) -> float:
        """Scores frozen features, shape (n, d), with targets of a kind that the card names, in
        their form (:mod:`automl_transfer.target`), of ``classes`` outputs. Higher is better."""
        ...


class BuildSampler(Protocol):
    """The factory of a sampler card."""

    def __call__(self, *, seed: int, startup: int) -> optuna.samplers.BaseSampler:
        """A fresh sampler for one ask.

        Args:
            seed: Its only source of chance.
            startup: Trials that should be random before the sampler may learn from them.
        """
        ...


class BuildPruner(Protocol):
    """The factory of a pruner card."""

    def __call__(self, *, rungs: Sequence[int]) -> optuna.pruners.BasePruner:
        """A pruner for trials that report at the steps ``rungs``, ascending, the last the end."""
        ...


class Encoder(Protocol):
    """Turns samples into batches for one backbone's input."""

    @property
    def digest(self) -> str:
        """Identity of the preprocessing: changes when the plain view of a sample does.

        An encoder may have a ``rows_digest`` as well, which changes when what :meth:`prepare`
        makes does: encoders that only differ in what they do later share their rows.
        """
        ...

    def prepare(self, sample: Sample) -> NDArray[Any]:
        """Opens one sample and does the part that never varies. Small enough to be kept."""
        ...

    def batch(
        self, rows: Sequence[NDArray[Any]], generator: torch.Generator | None = None
    ) -> Batch:
        """Stacks prepared rows into a batch on the CPU.

        With a ``generator``, the training view, varied at random as the parameters say; without,
        the plain view.
        """
        ...


@runtime_checkable
class FiniteViews(Protocol):
    """What an encoder has as well whose training view is one of a few: they can be kept.

    ``batch(rows, generator)`` must be ``view(rows, choose(len(rows), generator))``, with the same
    draws, and an index the same view for all encoders of one ``digest``. An encoder without it
    varies without bound.
    """

    @property
    def views(self) -> int:
        """How many there are, the plain view, which has index 0, among them; 0 for no bound."""
        ...

    def choose(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Draws an index of a view for each of ``count`` samples, shape (count,), int64."""
        ...

    def view(self, rows: Sequence[NDArray[Any]], index: int) -> Batch:
        """Stacks prepared rows, each in the view ``index``, into a batch on the CPU."""
        ...


Progress = Callable[[int, int], None]
"""Called with how many are done and how many there are."""


class KeepRows(Protocol):
    """Where a modality puts the rows that it prepares while it opens data. Safe for threads."""

    def has(self, encoder: Encoder, id: str) -> bool:
        """Whether the row of a content is there: then it was once opened without fault."""
        ...

    def keep(self, encoder: Encoder, ids: Sequence[str], rows: NDArray[Any]) -> bool:
        """Keeps what ``encoder.prepare`` makes of samples with these ids, shape (n, ...).

        Returns:
            Whether there was room; if not, more need not be made.
        """
        ...


class Modality(Protocol):
    """A kind of data. Everything the core does not know about it is in here."""

    def recognise(self, path: Path, options: DataOptions) -> Recognition:
        """Says whether the data at ``path`` are of this kind. Cheap: looks at names."""
        ...

    def open(self, path: Path, options: DataOptions, progress: Progress | None = None) -> Dataset:
        """Reads names and labels, and opens every item once to set broken ones aside.

        Raises:
            DataError: The data as a whole cannot be used.
        """
        ...

    def open_items(self, paths: Sequence[Path]) -> tuple[Dataset, Sequence[str | None]]:
        """Unlabelled items, to predict: a data set with label 0 for each that could be opened,
        and for each path None, or why it could not be."""
        ...

    def encoder(
        self, root: str, input: Mapping[str, Any], params: Mapping[str, Scalar]
    ) -> Encoder:
        """An encoder for a backbone's ``card.input``, with the modality's parameters."""
        ...

    def raw_features(self, dataset: Dataset, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Simple vectors without any network, shape (n, d), for the naive baseline."""
        ...


@runtime_checkable
class OpensPrepared(Protocol):
    """What a modality has as well that opens and prepares each item in one go."""

    def open_prepared(
        self,
        path: Path,
        options: DataOptions,
        inputs: Sequence[Mapping[str, Any]],
        keep: KeepRows,
        progress: Progress | None = None,
    ) -> Dataset:
        """As :meth:`Modality.open`; gives ``keep`` the rows that are not there yet.

        Args:
            path: The data.
            options: How they are to be read.
            inputs: ``card.input`` of backbones that may be tried; those that break a rule are
                passed over.
            keep: Takes the rows. An item of which it has all may count as opened.
            progress: As in ``open``.
        """
        ...


@runtime_checkable
class RawRows(Protocol):
    """What a modality has as well whose raw features are rows of an encoder: they can be kept."""

    @property
    def raw_input(self) -> Mapping[str, Any]:
        """An ``input`` for :meth:`Modality.encoder`; its rows, made flat, are the raw features in
        any unit."""
        ...


@runtime_checkable
class ShowsSamples(Protocol):
    """What a modality has as well whose samples can be shown in a report."""

    def thumbnail(self, dataset: Dataset, position: int) -> tuple[str, bytes]:
        """A small still view of one sample: its media type, one that any browser shows, and its
        content, at most some 20 kB.

        Raises:
            DataError: The sample cannot be opened any more.
        """
        ...


if TYPE_CHECKING:
    ReadRows: TypeAlias = Callable[[NDArray[np.int64]], NDArray[Any]]
else:
    ReadRows = Callable[..., Any]
"""Reads the rows of a modality's ``raw_input`` at positions of a data set, shape (n, ...)."""


def _no_pairs() -> NDArray[np.int64]:
    import numpy as np

    return np.empty((0, 2), dtype=np.int64)


def _no_distances() -> NDArray[np.float64]:
    import numpy as np

    return np.empty(0)


@dataclass(frozen=True, kw_only=True)
class Examined:
    """What a modality sees in its data that names and labels do not tell."""

    findings: tuple[Finding, ...] = ()
    looked_for: tuple[str, ...] = ()
    """What was looked for, in words, whether it was found or not."""
    pairs: NDArray[np.int64] = field(default_factory=_no_pairs)
    """Positions of samples that are near copies of one another, shape (m, 2)."""
    distances: NDArray[np.float64] = field(default_factory=_no_distances)
    """How far apart they are, shape (m,): 0, the same; 1, just near enough."""


@runtime_checkable
class Examines(Protocol):
    """What a modality has as well that looks into its data before a search; see
    :mod:`automl_transfer.auditing`. What is said of names, labels and equal content is not its
    business."""

    @property
    def raw_input(self) -> Mapping[str, Any]:
        """As :attr:`RawRows.raw_input`."""
        ...

    def examine(
        self, dataset: Dataset, rows: ReadRows, progress: Progress | None = None
    ) -> Examined:
        """Looks at every sample. Memory: a few numbers a sample, and rows in blocks.

        Args:
            dataset: As :meth:`Modality.open` returned it.
            rows: Reads what is kept of the samples, so that none is opened twice.
            progress: As in ``open``.
        """
        ...


class WriteSampleData(Protocol):
    """The factory of a sample-data card."""

    def __call__(self, *, directory: Path, labelling: str | None, per_class: int | None) -> int:
        """Writes class folders into ``directory`` and returns the number of files."""
        ...
