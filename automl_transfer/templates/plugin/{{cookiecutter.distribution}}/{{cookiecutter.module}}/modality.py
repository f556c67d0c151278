{%- if cookiecutter.kind == "modality" -%}
"""Sounds in WAV files: which files there are, and what is in them."""

from __future__ import annotations

import hashlib
import os
import wave
from pathlib import Path

import numpy as np

from automl_transfer.layouts import Inspected, dataset_of, items_of, read_layout, recognised
from {{ cookiecutter.module }}.encoder import Encoder, read

SUFFIXES = frozenset({".wav"})
RAW = 64
"""Numbers in a raw vector."""


class Sounds:
    """What the host needs of a modality; see automl_transfer.contracts.Modality."""

    def recognise(self, path, options):
        """By the names of the files."""
        return recognised(path, options, SUFFIXES, "sound")

    def open(self, path, options, progress=None):
        """Class folders, train/val/test folders or a manifest; broken files are set aside."""
        listing = read_layout(path, options, SUFFIXES, "sound")
        found = []
        for entry in listing.entries:
            found.append(inspect(entry.path))
            if progress is not None:
                progress(len(found), len(listing.entries))
        return dataset_of(
            listing, found, modality="{{ cookiecutter.namespace }}/{{ cookiecutter.member }}", noun="sound"
        )

    def open_items(self, paths):
        """Files to predict."""
        files = [Path(os.path.abspath(path)) for path in paths]
        found = [inspect(file) for file in files]
        return items_of(files, found, modality="{{ cookiecutter.namespace }}/{{ cookiecutter.member }}")

    def encoder(self, root, input, params):
        """For the ``input`` of a backbone card."""
        return Encoder(root, int(input.get("samples", 8000)), float(params.get("noise", 0.0)))

    def raw_features(self, dataset, positions):
        """Loudness over frequencies: what can be said without any network."""
        encoder = self.encoder(dataset.root, {}, {})
        rows = [encoder.prepare(dataset.samples[int(place)]) for place in positions]
        if not rows:
            return np.zeros((0, RAW), dtype=np.float32)
        loudness = np.abs(np.fft.rfft(np.stack(rows).astype(np.float32), axis=1))[:, 1:]
        bands = np.array_split(loudness, RAW, axis=1)
        return np.log1p(np.stack([band.mean(axis=1) for band in bands], axis=1)).astype(np.float32)


def build() -> Sounds:
    """The factory of the card."""
    return Sounds()


def inspect(file: Path) -> Inspected:
    """The identity of a file's content, or why it cannot be used."""
    try:
        content = file.read_bytes()
        read(content)
    except OSError as error:
        return Inspected(id="", error=f"it cannot be read: {error.strerror}", kind="cannot be read")
    except (EOFError, RuntimeError, ValueError, wave.Error) as error:
        return Inspected(id="", error=f"it is no WAV file: {error}", kind="no WAV file")
    return Inspected(id=hashlib.sha256(content).hexdigest())

{% endif -%}
