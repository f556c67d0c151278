"""Images as a kind of data."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.contracts import Examined, KeepRows, Progress, ReadRows
from automl_transfer.dataset import DataOptions, Dataset, Recognition, take
from automl_transfer.layouts import dataset_of, items_of, read_layout, recognised
from automl_transfer.modalities.image.encoder import ImageEncoder
from automl_transfer.modalities.image.inspecting import Views, in_threads, inspect
from automl_transfer.modalities.image.reading import SUFFIXES
from automl_transfer.modalities.image.thumbnails import thumbnail
from automl_transfer.space import Scalar

_RAW_SIDE = 32


def build() -> ImageModality:
    """The factory of the card."""
    return ImageModality()


class ImageModality:
    """See :class:`automl_transfer.contracts.Modality`."""

    def recognise(self, path: Path, options: DataOptions) -> Recognition:
        """The share of the first files, or rows of a manifest, whose names end like images'."""
        return recognised(path, options, SUFFIXES, "image")

    def open(self, path: Path, options: DataOptions, progress: Progress | None = None) -> Dataset:
        """Lists the files and decodes each once; those that fail are quarantined.

        Raises:
            DataError: The layout is unknown, nothing can be read, or a class has too few images.
        """
        return self._open(path, options, None, progress)

    def open_prepared(
        self,
        path: Path,
        options: DataOptions,
        inputs: Sequence[Mapping[str, Any]],
        keep: KeepRows,
        progress: Progress | None = None,
    ) -> Dataset:
        """As :meth:`open`, and keeps the plain views for ``inputs`` while a file is open.

        Raises:
            DataError: As there.
        """
        return self._open(path, options, Views(inputs, keep), progress)

    def _open(
        self, path: Path, options: DataOptions, views: Views | None, progress: Progress | None
    ) -> Dataset:
        listing = read_layout(path, options, SUFFIXES, "image")
        inspected = inspect([entry.path for entry in listing.entries], progress, views)
        return dataset_of(listing, inspected, modality="image", noun="image")

    def open_items(self, paths: Sequence[Path]) -> tuple[Dataset, Sequence[str | None]]:
        """Image files to predict; a folder is not entered, so name the files in it.

        Returns:
            A data set with one sample of label 0 for each file that can be read, in the order of
            ``paths``; and for each path None, or the reason why it cannot be.
        """
        files = [Path(os.path.abspath(path)) for path in paths]
        return items_of(files, inspect(files), modality="image")

    def encoder(
        self, root: str, input: Mapping[str, Any], params: Mapping[str, Scalar]
    ) -> ImageEncoder:
        """An encoder for the ``input`` of a backbone card.

        Raises:
            CardError: The input breaks a rule of :class:`.ImageInput`.
            UsageError: The parameters are not in the modality's space.
        """
        return ImageEncoder.make(root, input, params)

    def thumbnail(self, dataset: Dataset, position: int) -> tuple[str, bytes]:
        """See :func:`.thumbnails.thumbnail`.

        Raises:
            DataError: The file cannot be read any more.
        """
        return thumbnail(Path(dataset.root) / dataset.samples[position].source)

    @property
    def raw_input(self) -> Mapping[str, Any]:
        """The whole image at 32 x 32, RGB."""
        size = [3, _RAW_SIDE, _RAW_SIDE]
        return {"size": size, "crop_mode": "squash", "interpolation": "bilinear"}

    def raw_features(self, dataset: Dataset, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Pixels of the whole image at 32 x 32, RGB, 0 to 1; shape (n, 3072)."""
        encoder = self.encoder(dataset.root, self.raw_input, {})
        rows = list(in_threads(encoder.prepare, take(dataset.samples, positions)))
        if not rows:
            return np.zeros((0, 3 * _RAW_SIDE**2), dtype=np.float32)
        return np.stack(rows).reshape(len(rows), -1).astype(np.float32) / np.float32(255)

    def examine(
        self, dataset: Dataset, rows: ReadRows, progress: Progress | None = None
    ) -> Examined:
        """Reads headers and the kept small views: see :mod:`.examining`."""
        from automl_transfer.modalities.image.examining import examine

        return examine(dataset, rows, progress)
