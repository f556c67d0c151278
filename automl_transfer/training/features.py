"""Frozen features, computed once for each sample and network, and kept.

A key names everything that a feature depends on; under it lie shards of (ids, matrix), each
written whole or not at all, so that more samples cost only their own forward passes.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from automl_transfer.contracts import Backbone
from automl_transfer.dataset import Sample
from automl_transfer.errors import DivergedError, OutOfMemoryError, TrialError
from automl_transfer.jsonable import digest, to_json
from automl_transfer.training.device import autocast, is_out_of_memory, to_device
from automl_transfer.training.rows import RowStore

REVISION = 1
"""Raised when the meaning of a stored feature changes."""
CPU_BATCH = 8
DEVICE_BATCH = 64
SHARD = 1024
"""Samples between two writes: what a kill can lose."""


class StoppedError(TrialError):
    """Extraction was told to stop; what was done is kept."""

    kind = "out-of-time"


@dataclass(frozen=True, kw_only=True)
class FeatureKey:
    """Everything that a frozen feature depends on, but the sample."""

    weights: str
    """SHA-256 of the weights, or the seed of random ones."""
    card: str
    """Digest of the backbone's card."""
    encoder: str
    """Digest of the preprocessing."""
    boundary: str = "pooled"
    dtype: str = "float32"
    view: str = "plain"
    revision: int = REVISION

    @property
    def digest(self) -> str:
        """Name of the directory of its shards."""
        return digest(to_json(self), 32)


class FeatureCache:
    """Shards of features in a directory that may be deleted at any moment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self, key: FeatureKey) -> dict[str, NDArray[np.float32]]:
        """Every sample id with its feature, shape (width,). Damaged shards are removed."""
        found: dict[str, NDArray[np.float32]] = {}
        for path in sorted((self.directory / key.digest).glob("*.safetensors")):
            try:
                shard = load_file(path)
                ids = [bytes(row).hex() for row in shard["ids"]]
                found.update(zip(ids, shard["features"], strict=True))
            except (OSError, SafetensorError, KeyError, ValueError):
                path.unlink(missing_ok=True)
        return found

    def write(self, key: FeatureKey, ids: Sequence[str], features: NDArray[np.float32]) -> None:
        """Adds a shard: sample ids (hexadecimal) and their features, shape (n, width)."""
        directory = self.directory / key.digest
        directory.mkdir(parents=True, exist_ok=True)
        codes = np.array([list(bytes.fromhex(id)) for id in ids], dtype=np.uint8)
        handle, name = tempfile.mkstemp(dir=directory, suffix=".tmp")
        os.close(handle)
        try:
            save_file({"ids": codes, "features": np.ascontiguousarray(features)}, name)
            os.replace(name, directory / f"{digest(list(ids), 32)}.safetensors")
        finally:
            Path(name).unlink(missing_ok=True)


def extract(
    *,
    backbone: Backbone,
    rows: RowStore,
    positions: NDArray[np.int64],
    cache: FeatureCache,
    key: FeatureKey,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[NDArray[np.float32], int]:
    """Frozen features of some samples, from the cache where they are there.

    Args:
        backbone: In any mode; it is put into eval mode.
        rows: The samples.
        positions: Which of them, shape (n,).
        cache: Where features are kept.
        key: What they depend on.
        device: Where to compute.
        progress: Called with how many are done, and how many there are.
        should_stop: Looked at after each batch.

    Returns:
        Features of shape (n, width) in the order of ``positions``, and how many of them were
        computed now.

    Raises:
        StoppedError: ``should_stop`` said so.
        DivergedError: A feature is not finite.
        OutOfMemoryError: Not even one sample fits into memory.
    """
    samples: list[Sample] = [rows.samples[int(place)] for place in positions]
    known = cache.read(key)
    missing = {
        sample.id: int(place)
        for sample, place in zip(samples, positions, strict=True)
        if sample.id not in known
    }
    ids = list(missing)
    module = backbone.module.to(device).eval()
    if device.type in ("cuda", "cpu"):
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch_size = CPU_BATCH if device.type == "cpu" else DEVICE_BATCH
    pending: list[NDArray[np.float32]] = []
    written = start = 0
    while start < len(ids):
        chosen = ids[start : start + batch_size]
        try:
            values = _forward(backbone, rows, [missing[id] for id in chosen], device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if batch_size == 1:
                raise OutOfMemoryError("One sample does not fit into memory.") from error
            batch_size //= 2
            continue
        if not np.isfinite(values).all():
            raise DivergedError("Every feature must be finite, but some are not.")
        pending.append(values)
        start += len(chosen)
        stop = should_stop()
        if start - written >= SHARD or start == len(ids) or stop:
            block = np.concatenate(pending)
            cache.write(key, ids[written:start], block)
            known.update(zip(ids[written:start], block, strict=True))
            pending, written = [], start
        if progress is not None:
            progress(len(samples) - len(ids) + start, len(samples))
        if stop and start < len(ids):
            raise StoppedError(f"Stopped after {start} of {len(ids)} samples.")
    return np.stack([known[sample.id] for sample in samples]).astype(np.float32), len(ids)


def _forward(
    backbone: Backbone, rows: RowStore, places: list[int], device: torch.device
) -> NDArray[np.float32]:
    batch = to_device(rows.encoder.batch(rows.rows(places)), device)
    with torch.inference_mode(), autocast(device):
        features = backbone.features(batch)
    if features.dim() != 2 or len(features) != len(places):
        raise ValueError(
            f"A backbone must return features of shape ({len(places)}, width), but returned "
            f"{tuple(features.shape)}."
        )
    values: NDArray[np.float32] = features.float().cpu().numpy()
    return values
