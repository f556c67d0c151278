"""What a worker is told, and what it answers.

These objects travel between our own processes, through a pipe of :mod:`multiprocessing`; nothing
of this is ever stored.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from automl_transfer.artifacts import replacing
from automl_transfer.cards import BackboneCard, HeadCard, ModalityCard, StrategyCard
from automl_transfer.contracts import Backbone, LocalWeights, Stage
from automl_transfer.dataset import Dataset, Splits
from automl_transfer.entries import Entry, Sources
from automl_transfer.jsonable import digest
from automl_transfer.outcome import Outcome
from automl_transfer.plan import StageView
from automl_transfer.registry import Registry
from automl_transfer.request import SearchRequest
from automl_transfer.stages.context import Bench, Candidate, Context
from automl_transfer.task import Task


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The first message to a worker: which plugins there are."""

    disabled: tuple[str, ...]
    modules: tuple[str | None, ...]
    """Plugins that are modules by name, in their order; None is the next of ``objects``."""
    objects: tuple[object, ...]
    builtin: bool
    third_party: bool

    @classmethod
    def of(cls, sources: Sources) -> Hello:
        """A module goes by its name; any other plugin must be picklable."""
        modules = [
            plugin.__name__ if isinstance(plugin, ModuleType) else None for plugin in sources.extra
        ]
        return cls(
            disabled=sources.disabled,
            modules=tuple(modules),
            objects=tuple(
                plugin for plugin in sources.extra if not isinstance(plugin, ModuleType)
            ),
            builtin=sources.builtin,
            third_party=sources.third_party,
        )

    def plugins(self) -> list[object]:
        """The plugins that are not installed, in their order."""
        objects = iter(self.objects)
        return [
            next(objects) if name is None else importlib.import_module(name)
            for name in self.modules
        ]


@dataclass(frozen=True, kw_only=True)
class Present:
    """A worker's first answer: what its plugins offer."""

    inventory: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class HandedCandidate:
    """A candidate without what cannot be handed over: its features are in a file."""

    entry: Entry[BackboneCard]
    weights: LocalWeights | None
    stages: tuple[Stage, ...]
    views: tuple[StageView, ...]
    parameters: int
    width: int
    features: Path
    positions: NDArray[np.int64]
    score: float
    seconds_per_sample: float

    def unpacked(self, registry: Registry, seed: int) -> Candidate:
        """The candidate in this process, its features mapped from the file.

        Args:
            registry: Of this process.
            seed: Of the search, for networks without weights.
        """
        from automl_transfer.training.matrix import stored

        registry.remember(self.entry)
        factory = registry.load(self.entry.card)

        def build() -> Backbone:
            backbone: Backbone = factory(card=self.entry.card, weights=self.weights, seed=seed)
            return backbone

        return Candidate(
            card=self.entry.card,
            weights=self.weights,
            build=build,
            stages=self.stages,
            views=self.views,
            parameters=self.parameters,
            width=self.width,
            features=stored(self.features),
            positions=self.positions,
            score=self.score,
            seconds_per_sample=self.seconds_per_sample,
        )


@dataclass(frozen=True, kw_only=True)
class Setup:
    """The second message: the data, and what is searched over."""

    request: SearchRequest
    modality: ModalityCard
    dataset: Dataset
    splits: Splits
    task: Task
    heads: tuple[HeadCard, ...]
    strategies: tuple[StrategyCard, ...]
    candidates: Mapping[str, HandedCandidate]

    @classmethod
    def of(cls, context: Context, directory: Path) -> Setup:
        """Takes down the state of a search.

        Args:
            context: Screened.
            directory: Where features will be; see :func:`hand_over`.
        """
        return cls(
            request=context.request,
            modality=context.modality_card,
            dataset=context.dataset,
            splits=context.splits,
            task=context.task,
            heads=context.heads,
            strategies=context.strategies,
            candidates={
                id: HandedCandidate(
                    entry=context.registry.resolved(id),
                    weights=candidate.weights,
                    stages=tuple(candidate.stages),
                    views=candidate.views,
                    parameters=candidate.parameters,
                    width=candidate.width,
                    features=directory / f"{digest(id, 16)}.npy",
                    positions=candidate.positions,
                    score=candidate.score,
                    seconds_per_sample=candidate.seconds_per_sample,
                )
                for id, candidate in context.candidates.items()
            },
        )

    def bench(self, registry: Registry) -> Bench:
        """All but the device and the candidates."""
        bench = Bench(
            request=self.request,
            registry=registry,
            heads=self.heads,
            strategies=self.strategies,
        )
        modality = registry.load(self.modality)()
        bench.set_data(self.modality, modality, self.dataset, self.splits, self.task)
        return bench

    def take_up(self, bench: Bench, backbone: str) -> None:
        """Gives the bench a candidate, if it does not have it yet."""
        if backbone not in bench.candidates:
            handed = self.candidates[backbone]
            bench.candidates[backbone] = handed.unpacked(bench.registry, bench.request.seed)


def hand_over(candidate: Candidate, path: Path) -> None:
    """Writes the features of a candidate, which all workers then map: one copy for all."""
    from automl_transfer.training.matrix import blocks

    if not path.exists():
        with replacing(path) as temporary, temporary.open("wb") as file:
            header = np.lib.format.header_data_from_array_1_0(candidate.features)
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks(candidate.features):
                file.write(np.ascontiguousarray(block).data)


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The worker waits for orders."""


@dataclass(frozen=True, kw_only=True)
class Refused:
    """The worker cannot work."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Order:
    """Take a trial from where its row is to a rung; answered with steps, then an end."""

    row: Outcome
    ladder: tuple[int, ...]
    rung: int
    parked: Path
    """Directory of the trial's checkpoints."""
    seconds_left: float = float("inf")
    """Clocks of processes differ, so what is left is told, not when it ends."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How far an order is."""

    done: int
    total: int
