{%- if cookiecutter.kind == "modality" -%}
"""From sounds to batches."""

from __future__ import annotations

import io
import wave
from pathlib import Path

import numpy as np
import torch


class Encoder:
    """What the host needs of an encoder; see automl_transfer.contracts.Encoder."""

    def __init__(self, root: str, length: int, noise: float) -> None:
        self._root = Path(root)
        self._length = length
        self._noise = noise

    @property
    def digest(self) -> str:
        """Changes when the plain view does: what is computed of a sample is kept by it."""
        return f"{{ cookiecutter.namespace }}-{{ cookiecutter.member }}-1-{self._length}"

    def prepare(self, sample) -> np.ndarray:
        """The part that never varies: the sound cut, or filled up, to a length; int16."""
        sound = read((self._root / sample.source).read_bytes())[: self._length]
        return np.pad(sound, (0, self._length - len(sound)))

    def batch(self, rows, generator=None) -> torch.Tensor:
        """Shape (n, 1, length), -1 to 1; with a generator the training view, with noise."""
        batch = torch.from_numpy(np.stack(rows).astype(np.float32) / 32768)[:, None]
        if generator is not None and self._noise:
            batch = batch + self._noise * torch.randn(batch.shape, generator=generator)
        return batch


def read(content: bytes) -> np.ndarray:
    """The first channel, shape (samples,), int16.

    Raises:
        wave.Error, EOFError, RuntimeError, ValueError: It is nothing that can be read.
    """
    with wave.open(io.BytesIO(content)) as sound:
        frames = sound.readframes(sound.getnframes())
        if sound.getsampwidth() != 2 or len(frames) < 2:
            raise ValueError("16 bits a sample are needed, and one sample at least")
        whole = frames[: len(frames) // 2 * 2]
        return np.frombuffer(whole, dtype="<i2")[:: sound.getnchannels()]
{% endif -%}
