"""Modalities that are broken in one way each, for the checks of the conformance kit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from automl_transfer import hookimpl
from automl_transfer.backbones import bundled
from automl_transfer.cards import BackboneCard, ModalityCard, SampleDataCard
from automl_transfer.contracts import Batch, Progress
from automl_transfer.dataset import DataOptions, Dataset, Recognition, Sample
from automl_transfer.jsonable import digest
from automl_transfer.modalities.image.modality import ImageModality
from automl_transfer.modalities.image.reading import content_id
from automl_transfer.testing.kit.inputs import write_images

ID = "acme/pictures"


class Coding:
    """An image encoder, without what it may have besides."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    @property
    def digest(self) -> str:
        return str(self.inner.digest)

    def prepare(self, sample: Sample) -> Any:
        return self.inner.prepare(sample)

    def batch(self, rows: Sequence[Any], generator: torch.Generator | None = None) -> Batch:
        return self.inner.batch(rows, generator)


class Pictures:
    """Images by another name, without what a modality may have besides."""

    coding: type[Coding] = Coding

    def __init__(self) -> None:
        self.images = ImageModality()

    def named(self, dataset: Dataset) -> Dataset:
        return replace(dataset, modality=ID)

    def recognise(self, path: Path, options: DataOptions) -> Recognition:
        return self.images.recognise(path, options)

    def open(self, path: Path, options: DataOptions, progress: Progress | None = None) -> Dataset:
        return self.named(self.images.open(path, options, progress))

    def open_items(self, paths: Sequence[Path]) -> tuple[Dataset, Sequence[str | None]]:
        dataset, reasons = self.images.open_items(paths)
        return self.named(dataset), reasons

    def encoder(self, root: str, input: Mapping[str, Any], params: Mapping[str, Any]) -> Any:
        return self.coding(self.images.encoder(root, input, {}))

    def raw_features(self, dataset: Dataset, positions: Any) -> Any:
        return self.images.raw_features(dataset, positions)


class Shy(Pictures):
    def recognise(self, path: Path, options: DataOptions) -> Recognition:
        found = super().recognise(path, options)
        return replace(found, score=found.score / 2)


class Greedy(Pictures):
    def recognise(self, path: Path, options: DataOptions) -> Recognition:
        return Recognition(score=1.0, reason="it is there")


class Misnamed(Pictures):
    def named(self, dataset: Dataset) -> Dataset:
        return dataset


def _truly(sample: Sample, root: str) -> Sample:
    """With the id of its content, on which the encoder of images insists."""
    return replace(sample, id=content_id((Path(root) / sample.source).read_bytes()))


class _ByPlaceCoding(Coding):
    def prepare(self, sample: Sample) -> Any:
        return super().prepare(_truly(sample, self.inner.root))


class ByPlace(Pictures):
    coding = _ByPlaceCoding

    def raw_features(self, dataset: Dataset, positions: Any) -> Any:
        samples = tuple(_truly(sample, dataset.root) for sample in dataset.samples)
        return super().raw_features(replace(dataset, samples=samples), positions)

    def named(self, dataset: Dataset) -> Dataset:
        samples = tuple(
            replace(sample, id=digest(str(Path(dataset.root) / sample.source)))
            for sample in dataset.samples
        )
        return replace(dataset, modality=ID, samples=samples)


class Turned(Pictures):
    def open_items(self, paths: Sequence[Path]) -> tuple[Dataset, Sequence[str | None]]:
        dataset, reasons = super().open_items(paths)
        return replace(dataset, samples=dataset.samples[::-1]), reasons


class Silent(Pictures):
    def named(self, dataset: Dataset) -> Dataset:
        return replace(dataset, modality=ID, quarantined=())


class _TremblingCoding(Coding):
    def prepare(self, sample: Sample) -> Any:
        row = super().prepare(sample)
        return row + np.random.default_rng().integers(0, 2, size=row.shape).astype(row.dtype)


class Trembling(Pictures):
    coding = _TremblingCoding


class _Brighter:
    def __init__(self, keep: Any) -> None:
        self.keep_rows = keep

    def has(self, encoder: Any, id: str) -> bool:
        return bool(self.keep_rows.has(encoder, id))

    def keep(self, encoder: Any, ids: Any, rows: Any) -> bool:
        return bool(self.keep_rows.keep(encoder, ids, rows + 1))


class Hasty(Pictures):
    def open_prepared(
        self, path: Path, options: DataOptions, inputs: Any, keep: Any, progress: Any = None
    ) -> Dataset:
        images = self.images
        return self.named(images.open_prepared(path, options, inputs, _Brighter(keep), progress))


class _CentringCoding(Coding):
    def batch(self, rows: Sequence[Any], generator: torch.Generator | None = None) -> Batch:
        found = super().batch(rows, generator)
        return found if generator else found - found.mean(dim=0)


class Centring(Pictures):
    coding = _CentringCoding


class _SelfWilledCoding(Coding):
    def batch(self, rows: Sequence[Any], generator: torch.Generator | None = None) -> Batch:
        found = super().batch(rows)
        return found if generator is None else found + torch.randn(found.shape)


class SelfWilled(Pictures):
    coding = _SelfWilledCoding


class _MixedCoding(Coding):
    views = 2

    def choose(self, count: int, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(0, 2, (count,), generator=generator)

    def view(self, rows: Sequence[Any], index: int) -> Batch:
        found = self.inner.batch(rows)
        return found.flip(-1) if index else found

    def batch(self, rows: Sequence[Any], generator: torch.Generator | None = None) -> Batch:
        found = self.inner.batch(rows)
        if generator is not None:
            turned = self.choose(len(rows), generator) == 0  # the other way round
            found[turned] = found[turned].flip(-1)
        return found


class Mixed(Pictures):
    coding = _MixedCoding


class _AlikeCoding(Coding):
    @property
    def digest(self) -> str:
        return "pictures-1"


class Alike(Pictures):
    coding = _AlikeCoding


class Precise(Pictures):
    def raw_features(self, dataset: Dataset, positions: Any) -> Any:
        return super().raw_features(dataset, positions).astype(np.float64)


class Wasteful(Pictures):
    def thumbnail(self, dataset: Dataset, position: int) -> tuple[str, bytes]:
        return "image/bmp", bytes(1 << 20)


class Impatient(Pictures):
    def open(self, path: Path, options: DataOptions, progress: Progress | None = None) -> Dataset:
        if progress is not None:
            progress("begun")  # type: ignore[call-arg, arg-type]
        return super().open(path, options)


def write(*, directory: Path, labelling: str | None, per_class: int | None) -> int:
    write_images(directory)
    return 15


class PicturesPlugin:
    """A modality with sample data and two backbones."""

    __name__ = "acme"

    def __init__(self, card: ModalityCard) -> None:
        self._card = card

    @hookimpl
    def automl_transfer_modalities(self) -> Iterable[ModalityCard]:
        return [self._card]

    @hookimpl
    def automl_transfer_backbones(self) -> Iterable[BackboneCard]:
        small, large = sorted(bundled.CARDS, key=lambda card: card.input["size"][1])
        return [
            replace(small, id="acme/a", modality=ID),
            replace(large, id="acme/b", modality=ID),
        ]

    @hookimpl
    def automl_transfer_sample_data(self) -> Iterable[SampleDataCard]:
        return [
            SampleDataCard(
                id="acme/stripes",
                factory=f"{__name__}:write",
                title="Stripes",
                license="MIT",
                modality=ID,
            )
        ]
