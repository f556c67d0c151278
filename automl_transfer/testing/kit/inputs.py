"""Samples to look at a member with, written on the spot and read by the modality itself."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import Batch, Encoder
from automl_transfer.dataset import DataOptions, Dataset
from automl_transfer.errors import PluginError
from automl_transfer.registry import Registry
from automl_transfer.sample_data import write_sample
from automl_transfer.training.rows import RowStore

SAMPLES = 15
CLASSES = 3


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A few samples of three classes that a glance tells apart."""

    dataset: Dataset
    encoder: Encoder
    rows: RowStore

    def batch(self, positions: Any = None) -> Batch:
        """Encoded samples, all of them unless said otherwise."""
        chosen = np.arange(len(self.dataset.samples)) if positions is None else positions
        return self.encoder.batch(self.rows.rows(np.asarray(chosen)))


def write_images(directory: Path) -> Path:
    """Class folders of pictures: each class has a colour and stripes of its own."""
    from PIL import Image

    generator = np.random.default_rng(0)
    for place in range(SAMPLES):
        label = place % CLASSES
        picture = generator.integers(0, 60, size=(64, 64, 3))
        picture[:, :, label] += 120
        picture[:: label + 2] += 60
        path = directory / f"class{label}" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(path)
    return directory


def _vectors(directory: Path) -> Path:
    from automl_transfer.testing.toy import write_toy_data

    return write_toy_data(directory / "data.toy.csv", n=SAMPLES)


WRITERS: dict[str, Callable[[Path], Path]] = {"image": write_images, "vectors": _vectors}
"""By modality: writes data of three classes below a directory, and returns their place. Of other
modalities the sample data are used that a plugin offers."""


def data_for(modality: str, registry: Registry, directory: Path) -> Path:
    """Writes data of three classes, at most five samples of each.

    Args:
        modality: Id of the kind of data.
        registry: Of the plugins.
        directory: An empty one.

    Returns:
        Where the data are, there or below.

    Raises:
        PluginError: Nobody offers sample data of that kind, or they have too few classes.
    """
    if modality in WRITERS:
        return WRITERS[modality](directory)
    cards = [
        entry.card for entry in registry.sample_data.values() if entry.card.modality == modality
    ]
    if not cards:
        raise PluginError(
            f"To check what takes data of modality {modality!r}, sample data of it are needed, "
            "but no plugin offers any: give a SampleDataCard with "
            f"modality={modality!r} (automl_transfer_sample_data), as `plugins new modality` does."
        )
    place = directory / "data"
    write_sample(cards[0], registry.load(cards[0]), place, per_class=SAMPLES // CLASSES)
    folders = sorted(path for path in place.iterdir() if path.is_dir())
    if len(folders) < CLASSES:
        raise PluginError(
            f"Sample data of a modality must be folders of at least {CLASSES} classes, but "
            f"{cards[0].id!r} are {len(folders)}. Write more of them in {cards[0].factory}."
        )
    for folder in folders[CLASSES:]:
        shutil.rmtree(folder)
    return place


def backbones_for(modality: str, registry: Registry) -> list[BackboneCard]:
    """The listed backbones that take data of a kind, by id."""
    cards = [entry.card for entry in registry.backbones.values()]
    return sorted((card for card in cards if card.modality == modality), key=lambda card: card.id)


def input_of(modality: str, registry: Registry) -> Mapping[str, Any]:
    """What some backbone says of its input; an empty mapping where there is none of that kind."""
    return next((card.input for card in backbones_for(modality, registry)), {})


def inputs_for(card: BackboneCard, registry: Registry) -> Inputs:
    """Sample data, encoded as a card asks.

    Raises:
        PluginError: Nobody offers sample data of its modality.
    """
    modality = registry.load(registry.modality(card.modality))()
    with tempfile.TemporaryDirectory(prefix="automl-transfer-") as place:
        path = data_for(card.modality, registry, Path(place))
        dataset = modality.open(path, DataOptions())
        encoder = modality.encoder(dataset.root, card.input, {})
        rows = [encoder.prepare(sample) for sample in dataset.samples]
    # The files are gone by now: what was prepared of them is what is looked at.
    prepared = _Prepared(encoder, dataset, rows)
    return Inputs(dataset=dataset, encoder=prepared, rows=RowStore(prepared, dataset.samples))


class _Prepared:
    """An encoder that has its rows already."""

    def __init__(self, encoder: Encoder, dataset: Dataset, rows: list[Any]) -> None:
        self._encoder = encoder
        self._rows = {sample.id: row for sample, row in zip(dataset.samples, rows, strict=True)}
        self.digest = encoder.digest

    def prepare(self, sample: Any) -> Any:
        return self._rows[sample.id]

    def batch(self, rows: Any, generator: Any = None) -> Batch:
        return self._encoder.batch(rows, generator)
