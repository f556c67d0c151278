"""Samples to look at a backbone with, made up on the spot: through the modality's own path."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import Batch, Encoder
from automl_transfer.dataset import DataOptions, Dataset
from automl_transfer.errors import PluginError
from automl_transfer.registry import Registry
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
"""By modality: writes data of three classes below a directory, and returns their place. The tests
of a plugin that brings a modality add theirs."""


def inputs_for(card: BackboneCard, registry: Registry) -> Inputs:
    """Made-up samples, encoded as a card asks.

    Raises:
        PluginError: Nobody has said how data of its modality are made up.
    """
    write = WRITERS.get(card.modality)
    if write is None:
        raise PluginError(
            f"Data of modality {card.modality!r} must be made up to check {card.id!r}, but it is "
            f"known how for {', '.join(WRITERS)} only. Add a function to "
            "automl_transfer.testing.kit.inputs.WRITERS in the tests of the plugin."
        )
    modality = registry.load(registry.modality(card.modality))()
    with tempfile.TemporaryDirectory(prefix="automl-transfer-") as place:
        dataset = modality.open(write(Path(place)), DataOptions())
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
