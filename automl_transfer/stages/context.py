"""What the stages of one search share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.budget import Stopwatch
from automl_transfer.cards import BackboneCard, HeadCard, ModalityCard, StrategyCard
from automl_transfer.configuration import Configuration
from automl_transfer.contracts import Backbone, Encoder, LocalWeights, Modality, Stage
from automl_transfer.dataset import Dataset, Splits
from automl_transfer.errors import TrialError
from automl_transfer.outcome import Outcome
from automl_transfer.plan import StageView
from automl_transfer.recommendation import Exclusion
from automl_transfer.registry import Registry
from automl_transfer.request import SearchRequest
from automl_transfer.space import Scalar
from automl_transfer.stages.speeds import Speeds
from automl_transfer.store import Store
from automl_transfer.task import Task

if TYPE_CHECKING:
    import torch

    from automl_transfer.stages.confirm import Confirmed
    from automl_transfer.stages.fleet import Fleet
    from automl_transfer.stages.forecast import Forecast
    from automl_transfer.stages.workers import Workers
    from automl_transfer.training.activation_store import ActivationStore
    from automl_transfer.training.array_cache import ArrayCache
    from automl_transfer.training.costs import Measured
    from automl_transfer.training.link import Link
    from automl_transfer.training.rows import RowStore
    from automl_transfer.training.stage_outputs import StageOutputs

T = TypeVar("T")

ROW_STORES = 3
"""Preprocessings whose rows the cache holds on to at once."""

PREDICTIONS = 1 << 20
"""Bytes of a trial's predictions up to which they are kept, whatever became of it."""

CACHE_VARIABLE = "AUTOML_TRANSFER_CACHE_DIR"


def cache_directory() -> Path:
    """Where caches live: ``AUTOML_TRANSFER_CACHE_DIR``, or the user's cache directory."""
    import platformdirs

    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else Path(platformdirs.user_cache_dir("automl-transfer"))


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A backbone that can run here, with its frozen features."""

    card: BackboneCard
    weights: LocalWeights | None
    build: Callable[[], Backbone]
    """A fresh copy with the pretrained weights."""
    stages: Sequence[Stage]
    views: tuple[StageView, ...]
    parameters: int
    width: int
    features: NDArray[np.float32]
    """Frozen features of the development part, shape (n, width); may be memory-mapped."""
    positions: NDArray[np.int64]
    """Which sample of the data set each row is of, ascending, shape (n,)."""
    score: float
    """The ranker's; higher is better."""
    seconds_per_sample: float
    """Of a frozen forward pass, as measured here, with what it takes to prepare a sample."""
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    """Of a forward pass alone, by stage; empty where it was not measured."""
    read: StageOutputs | None = None
    """What its features are made of, if they go on with the outputs of its stages."""
    staged: Candidate | None = None
    """The same backbone, its features going on with the outputs of its stages; None where none
    can be pooled, or no head reads them."""

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the groups of its features, each with a scale of its own; none: one group."""
        return () if self.read is None else self.read.widths

    @property
    def forward_seconds(self) -> float:
        """Of a forward pass of a sample that is prepared."""
        return sum(self.stage_seconds.values()) or self.seconds_per_sample

    def read_by(self, head: HeadCard) -> Candidate | None:
        """The backbone as a head reads it, or None if it cannot be read so."""
        return self.staged if head.reads == "stages" else self

    def features_at(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Frozen features of samples of the development part, in the order of ``positions``; a
        copy of very many is in a file, as the features themselves are."""
        from automl_transfer.training.matrix import taken

        if len(positions) == len(self.positions) and np.array_equal(positions, self.positions):
            return self.features
        return taken(self.features, self.places(positions))

    def places(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of :attr:`features` for samples of the development part."""
        found: NDArray[np.int64] = np.searchsorted(self.positions, positions)
        return found


@dataclass(kw_only=True)
class Bench:
    """What it takes to train a configuration: in the process of the search, or in a worker's."""

    request: SearchRequest
    registry: Registry
    heads: tuple[HeadCard, ...] = ()
    strategies: tuple[StrategyCard, ...] = ()
    candidates: dict[str, Candidate] = field(default_factory=dict)
    """Screened backbones by id, best score first."""
    tapped: set[tuple[str, str]] = field(default_factory=set)
    """Backbone and first stage that trains, of which the activations of the plain view are kept
    but for those of the first look."""
    waiting: list[Any] = field(default_factory=list)
    """Backbones that screening keeps, but had no time to look at wholly."""
    device: torch.device = field(init=False)
    cache: ArrayCache = field(init=False)
    activations: ActivationStore = field(init=False)
    """Of no backbone yet; see ``of_backbone``."""
    _data: tuple[ModalityCard, Modality, Dataset, Splits, Task] | None = None
    _rows: dict[str, RowStore] = field(default_factory=dict)

    def set_device(self, device: torch.device) -> None:
        """Where it trains, and the caches that go with it."""
        from automl_transfer.training.activation_store import ActivationStore
        from automl_transfer.training.array_cache import ArrayCache
        from automl_transfer.training.features import FeatureKey

        self.device = device
        self.cache = ArrayCache(cache_directory(), self.request.cache_size)
        self.activations = ActivationStore(
            cache=self.cache, key=FeatureKey(weights="", card="", encoder="")
        )

    def set_data(
        self, card: ModalityCard, modality: Modality, dataset: Dataset, splits: Splits, task: Task
    ) -> None:
        """Called by the load stage."""
        self._data = (card, modality, dataset, splits, task)

    def narrow(self, splits: Splits) -> None:
        """Fewer samples from here on, for a budget that does not allow to use all."""
        card, modality, dataset, _, task = self._loaded
        self.set_data(card, modality, dataset, splits, task)

    @property
    def _loaded(self) -> tuple[ModalityCard, Modality, Dataset, Splits, Task]:
        if self._data is None:
            raise RuntimeError("The data are used before the load stage has run.")
        return self._data

    @property
    def modality_card(self) -> ModalityCard:
        """The kind of data."""
        return self._loaded[0]

    @property
    def modality(self) -> Modality:
        """What opens and encodes samples."""
        return self._loaded[1]

    @property
    def dataset(self) -> Dataset:
        """The samples."""
        return self._loaded[2]

    @property
    def splits(self) -> Splits:
        """Train, validation, test."""
        return self._loaded[3]

    @property
    def task(self) -> Task:
        """What is to be solved."""
        return self._loaded[4]

    @property
    def link(self) -> Link:
        """From scores to predictions of the target."""
        from automl_transfer.training.link import link_of

        return link_of(self.task.target)

    def encoder(self, card: BackboneCard, params: Mapping[str, Scalar] | None = None) -> Encoder:
        """The encoder for a backbone, with the modality's parameters (its defaults if None)."""
        from automl_transfer.space import Space

        values = Space(self.modality_card.space).defaults() | dict(params or {})
        return self.modality.encoder(self.dataset.root, card.input, values)

    def rows(self, encoder: Encoder) -> RowStore:
        """Prepared rows of all samples, shared by encoders that prepare the same."""
        from automl_transfer.training.rows import RowStore, rows_digest

        key = rows_digest(encoder)
        if key not in self._rows:
            while len(self._rows) >= ROW_STORES:
                self._rows.pop(next(iter(self._rows)))
            self._rows[key] = RowStore(encoder, self.dataset.samples, self.cache)
        return self._rows[key].seen_by(encoder)

    def strategy(self, id: str) -> StrategyCard:
        """The card of a strategy, whether it is searched over or not."""
        known = (card for card in self.strategies if card.id == id)
        return next(known, None) or self.registry.strategy(id)

    def is_frozen(self, configuration: Configuration) -> bool:
        """Whether only a head is trained, on features that are kept."""
        return not self.strategy(configuration.strategy).trains_backbone

    def head(self, id: str) -> HeadCard:
        """The card of a head, whether it is searched over or not."""
        known = (card for card in self.heads if card.id == id)
        return next(known, None) or self.registry.head(id)

    def tuned_heads(self) -> tuple[HeadCard, ...]:
        """Those that may sit on a backbone that trains."""
        return tuple(card for card in self.heads if card.reads == "features")

    @property
    def tunes(self) -> bool:
        """Whether anything is fine-tuned: by a strategy that trains, under a head that may."""
        return bool(self.tuned_heads()) and any(card.trains_backbone for card in self.strategies)

    def view_of(self, configuration: Configuration) -> Candidate | None:
        """The backbone of a configuration as its head reads it, or None if it cannot be."""
        return self.candidates[configuration.backbone].read_by(self.head(configuration.head))

    def candidate_of(self, configuration: Configuration) -> Candidate:
        """As :meth:`view_of`.

        Raises:
            TrialError: It cannot be read so.
        """
        found = self.view_of(configuration)
        if found is None:
            raise TrialError(
                f"The head {configuration.head!r} reads the outputs of stages, but of "
                f"{configuration.backbone!r} none can be pooled. Choose another head."
            )
        return found

    def by_view(
        self, candidate: Candidate, items: Sequence[T], of: Callable[[T], Configuration]
    ) -> Iterator[tuple[Candidate, list[T]]]:
        """Items that are about a backbone, apart by what the heads of their configurations read
        of it: they share no features. Those whose head cannot read it are left out."""
        for view in (candidate, candidate.staged):
            own = [one for one in items if candidate.read_by(self.head(of(one).head)) is view]
            if view is not None and own:
                yield view, own


@dataclass(kw_only=True)
class Context(Bench):
    """The state of a search. The search makes it; each stage adds its part."""

    store: Store
    files: StudyDirectory
    watch: Stopwatch
    recognised: tuple[ModalityCard, Modality]
    """The kind of data that the user's are."""
    selected: Sequence[BackboneCard | tuple[str, str]] = ()
    """Backbones to try; (name, reason) for one that has no card to be had."""
    why_not: list[Exclusion] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    """Ended trials of all sessions, by number."""
    reserved: int = 0
    """Numbers below it are of trials that an earlier session has begun."""
    generation: int = 0
    speeds: Speeds = field(init=False)
    forecast: Forecast = field(init=False)
    """Of fine-tunes; learns from each."""
    confirmed: Confirmed | None = None
    """What the finalists predicted on fresh folds; None: there was no time for it."""
    predicted: tuple[NDArray[np.int64], NDArray[np.float32]] | None = None
    """The samples that the winner was scored on, shape (n,), and what it said of them, shape
    (n, c); None: it was not scored in this session."""
    failed_again: set[int] = field(default_factory=set)
    """Trials that could not be trained a second time: none of them is the answer."""
    costs: dict[object, Measured] = field(default_factory=dict)
    """What was measured of models, by backbone and form of the head."""
    workers: Workers | None = None
    """Processes that train, one a device; None: this one does."""
    fleet: Fleet | None = None
    """Processes that have come to help, on whichever machine."""

    @property
    def side_by_side(self) -> int:
        """How many fine-tuning trials advance at once."""
        if self.workers is not None:
            return self.workers.count
        if self.fleet is None:
            return 1
        # Those that were asked for count also while they start.
        return max(self.request.workers, 1 + self.fleet.helpers())

    def exclude(self, what: str, reason: str) -> None:
        """Adds a row to the *why not* table, once."""
        row = Exclusion(what=what, reason=reason)
        if row not in self.why_not:
            self.why_not.append(row)

    def predictions(self, number: int) -> NDArray[np.float32] | None:
        """What a trial predicted for the validation part, shape (n, c); None if it is not kept
        whole."""
        found = self.files.read_predictions(number)
        return found if found is not None and len(found) == len(self.splits.val) else None

    def keep_predictions(
        self,
        number: int,
        predicted: NDArray[np.float32],
        among_best: Callable[[], bool] = lambda: False,
    ) -> None:
        """Keeps what a trial predicted for the validation part: if small, or among the best."""
        if predicted.nbytes <= PREDICTIONS or among_best():
            self.files.write_predictions(number, predicted)

    @property
    def answered(self) -> bool:
        """Whether there is an answer already, and nothing was tried since."""
        stored = self.files.read_recommendation()
        return stored is not None and stored.trials_total == len(self.outcomes)

    @property
    def next_number(self) -> int:
        """The number of the next trial."""
        used = 1 + max((outcome.number for outcome in self.outcomes), default=-1)
        return max(self.reserved, used)

    def trials_left(self) -> float:
        """Trials left of the budget; infinite when it is in time only."""
        wanted = self.request.trials
        return float("inf") if wanted is None else wanted - len(self.outcomes)
