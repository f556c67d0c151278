"""What a worker on any machine needs to know of a search, as JSON in its database.

Arrays lie in files of the study's directory, which all of them see. Nothing is pickled: a worker
loads its own plugins and its own view of the data, and checks that both are the same.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np

from automl_transfer.artifacts import replacing
from automl_transfer.cards import ModalityCard
from automl_transfer.contracts import LocalWeights
from automl_transfer.dataset import Dataset, Splits
from automl_transfer.errors import PluginError, StudyError
from automl_transfer.jsonable import digest, from_json, to_json
from automl_transfer.registry import Registry
from automl_transfer.request import SearchRequest
from automl_transfer.stages.context import Context
from automl_transfer.stages.handover import HandedCandidate, Setup, hand_over
from automl_transfer.store import Store
from automl_transfer.task import Task

DOCUMENT = "fleet"
SHARED = "shared"
"""Directory of the files that workers read."""
_PARTS = ("train", "val", "test", "units")


@dataclass(frozen=True, kw_only=True)
class SharedCandidate:
    """A backbone that is fine-tuned."""

    id: str
    weights: str | None
    """SHA-256; None: random ones."""
    features: str
    """Name of the file."""
    parameters: int
    width: int
    score: float
    seconds_per_sample: float


@dataclass(frozen=True, kw_only=True)
class SharedSetup:
    """The state of a search, once its backbones are screened."""

    revision: str
    """Another one is another state."""
    inventory: Mapping[str, str]
    """What the plugins of the search offer."""
    modality: str
    fingerprint: str
    """Of the data."""
    order: str
    """Digest of the ids of the samples, in their order."""
    positions: str
    """Name of the file with the parts, and with the samples of each candidate's features."""
    description: str
    task: Task
    heads: tuple[str, ...]
    strategies: tuple[str, ...]
    candidates: tuple[SharedCandidate, ...]

    @classmethod
    def publish(cls, context: Context) -> SharedSetup:
        """Writes down the state of a search for all workers, and the files with it."""
        home = context.files.path / SHARED
        revision = uuid4().hex
        candidates: list[SharedCandidate] = []
        arrays = {name: getattr(context.splits, name) for name in _PARTS}
        for id, candidate in context.candidates.items():
            name = f"{digest([id, candidate.positions.tolist()], 16)}.npy"
            hand_over(candidate, home / name)
            arrays[f"of-{len(candidates)}"] = candidate.positions
            weights = candidate.weights
            candidates.append(
                SharedCandidate(
                    id=id,
                    weights=weights.sha256 if weights else None,
                    features=name,
                    parameters=candidate.parameters,
                    width=candidate.width,
                    score=candidate.score,
                    seconds_per_sample=candidate.seconds_per_sample,
                )
            )
        with replacing(home / f"{revision}.npz") as temporary:
            np.savez(temporary, **arrays)
        made = cls(
            revision=revision,
            inventory=context.registry.inventory,
            modality=context.modality_card.id,
            fingerprint=context.dataset.fingerprint,
            order=order_of(context.dataset),
            positions=f"{revision}.npz",
            description=context.splits.description,
            task=context.task,
            heads=tuple(card.id for card in context.heads),
            strategies=tuple(card.id for card in context.strategies),
            candidates=tuple(candidates),
        )
        context.store.put(DOCUMENT, to_json(made))
        return made

    @staticmethod
    def withdraw(context: Context) -> None:
        """Takes back what an earlier session wrote down, and removes its files: workers wait for
        the next state."""
        context.store.put(DOCUMENT, None)
        shutil.rmtree(context.files.path / SHARED, ignore_errors=True)

    @classmethod
    def read(cls, store: Store) -> SharedSetup | None:
        """The present state, or None before there is one."""
        found = store.get(DOCUMENT)
        return None if found is None else from_json(cls, found)

    def require_plugins(self, registry: Registry) -> None:
        """Checks that the plugins of this process are those of the search.

        Raises:
            PluginError: They offer something else.
        """
        differences = registry.differences(self.inventory)
        if differences:
            raise PluginError(
                "A worker must have the plugins of the search, in the same versions, but "
                f"{'; '.join(differences[:5])}. Install what is missing here."
            )

    def unpacked(
        self,
        request: SearchRequest,
        registry: Registry,
        card: ModalityCard,
        dataset: Dataset,
        home: Path,
    ) -> Setup:
        """The state in another process.

        Args:
            request: Of the search, with where the data are here.
            registry: Of this process.
            card: Of the modality.
            dataset: As it was read here.
            home: The study's directory.

        Raises:
            StudyError: The data here are others, or the directory is not that of the study.
            WeightsUnavailableError: Weights are not here.
        """
        if dataset.fingerprint != self.fingerprint or order_of(dataset) != self.order:
            raise StudyError(
                "A worker must see the data of the search, but those in "
                f"{request.data!r} have fingerprint {dataset.fingerprint}, where the search has "
                f"{self.fingerprint}. Give the same files with --data."
            )
        directory = home / SHARED
        try:
            with np.load(directory / self.positions, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError) as error:
            raise StudyError(
                f"A worker must see the directory of the study, but {str(directory)!r} lacks "
                f"{self.positions} ({type(error).__name__}). Give the shared directory with "
                "--studies."
            ) from error
        return Setup(
            request=request,
            modality=card,
            dataset=dataset,
            splits=Splits(**{name: arrays[name] for name in _PARTS}, description=self.description),
            task=self.task,
            heads=tuple(registry.head(id) for id in self.heads),
            strategies=tuple(registry.strategy(id) for id in self.strategies),
            candidates={
                one.id: _handed(one, registry, request, directory, arrays[f"of-{place}"])
                for place, one in enumerate(self.candidates)
            },
        )


def _handed(
    shared: SharedCandidate,
    registry: Registry,
    request: SearchRequest,
    directory: Path,
    positions: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> HandedCandidate:
    from automl_transfer.training.stages import stage_views, stages_of

    entry = registry.resolved(shared.id)
    weights: LocalWeights | None = None
    if shared.weights is not None:
        weights = registry.find_weights(entry.card.weights, offline=request.offline)
        if weights.sha256 != shared.weights:
            raise StudyError(
                f"The weights of {shared.id!r} must be those of the search (SHA-256 "
                f"{shared.weights}), but here they are {weights.sha256}. Copy them from there."
            )
    backbone = registry.load(entry.card)(card=entry.card, weights=weights, seed=request.seed)
    stages = stages_of(backbone, entry.card)
    return HandedCandidate(
        entry=entry,
        weights=weights,
        stages=tuple(stages),
        views=stage_views(backbone.module, stages),
        parameters=shared.parameters,
        width=shared.width,
        features=directory / shared.features,
        positions=positions,
        score=shared.score,
        seconds_per_sample=shared.seconds_per_sample,
    )


def order_of(dataset: Dataset) -> str:
    """Digest of the ids of the samples, in their order."""
    return digest([sample.id for sample in dataset.samples], 32)
