"""Frozen features, computed once for each sample and network, and kept.

A key names everything that a feature depends on; under it lie shards of (ids, matrix), each
written whole or not at all, so that more samples cost only their own forward passes.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from automl_transfer.contracts import Backbone
from automl_transfer.dataset import Sample
from automl_transfer.errors import DivergedError, OutOfMemoryError, PluginError, TrialError
from automl_transfer.jsonable import digest, to_json
from automl_transfer.training.device import autocast, is_out_of_memory, to_device
from automl_transfer.training.rows import RowStore

_LOG = logging.getLogger(__name__)
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
    """Shards of features in a directory that may be deleted at any moment.

    A shard is named by the SHA-256 of its contents: whatever does not fit its name is damaged.
    Several processes may read and write at once.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def read(self, key: FeatureKey) -> dict[str, NDArray[np.float32]]:
        """Every sample id with its feature, shape (width,). Damaged shards are removed."""
        found: dict[str, NDArray[np.float32]] = {}
        for path in self._shards(key):
            try:
                content = path.read_bytes()
                if _name(content) != path.name:
                    raise ValueError("the contents do not fit the name")
                shard = load(content)
                ids = [bytes(row).hex() for row in shard["ids"]]
                found.update(zip(ids, shard["features"], strict=True))
            except (OSError, SafetensorError, KeyError, ValueError):
                _remove(path)
        if len({feature.shape for feature in found.values()}) > 1:
            # Two shapes under one key: the network has changed behind its card.
            self.forget(key)
            return {}
        return found

    def write(self, key: FeatureKey, ids: Sequence[str], features: NDArray[np.float32]) -> None:
        """Adds a shard: sample ids (hexadecimal) and their features, shape (n, width).

        Raises:
            PluginError: An id is not made of an even number of hexadecimal digits, the same for
                all.
            OSError: The directory cannot be written to.
        """
        try:
            codes = np.array([list(bytes.fromhex(id)) for id in ids], dtype=np.uint8)
        except ValueError as error:
            lengths = sorted({len(id) for id in ids})
            raise PluginError(
                "Sample.id must be an even number of hexadecimal digits, as many for each sample "
                f"of a modality, but got ids such as {ids[0]!r} of lengths {lengths}. Make them "
                "with automl_transfer.jsonable.digest."
            ) from error
        content = save({"ids": codes, "features": np.ascontiguousarray(features, np.float32)})
        directory = self.directory / key.digest
        directory.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=directory, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(name, directory / _name(content))
        finally:
            _remove(Path(name))

    def forget(self, key: FeatureKey) -> None:
        """Removes all that is kept under a key."""
        for path in self._shards(key):
            _remove(path)

    def _shards(self, key: FeatureKey) -> list[Path]:
        return sorted((self.directory / key.digest).glob("*.safetensors"))


def _name(content: bytes) -> str:
    return f"{hashlib.sha256(content).hexdigest()[:32]}.safetensors"


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


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
        PluginError: Features or ids of samples do not have the form that the contract asks for.
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
        module.to(memory_format=torch.channels_last)
    batches = _batches(backbone, rows, [missing[id] for id in ids], device)
    pending: list[NDArray[np.float32]] = []
    done = written = 0

    def keep() -> None:
        nonlocal written
        if not pending:
            return
        block = np.concatenate(pending)
        pending.clear()
        known.update(zip(ids[written:done], block, strict=True))
        try:
            cache.write(key, ids[written:done], block)
        except OSError as error:
            # Without its cache a search is slower, not wrong.
            _LOG.warning("Features cannot be kept in %s: %s", cache.directory, error)
        written = done

    try:
        for values in batches:
            pending.append(values)
            done += len(values)
            if done - written >= SHARD:
                keep()
            if progress is not None:
                progress(len(samples) - len(ids) + done, len(samples))
            if done < len(ids) and should_stop():
                raise StoppedError(f"Stopped after {done} of {len(ids)} samples.")
    finally:
        keep()
    found = [known[sample.id] for sample in samples]
    if len({len(feature) for feature in found}) > 1:
        # What was kept is of another width: the network has changed behind its card.
        cache.forget(key)
        if len(ids) == len({sample.id for sample in samples}):
            raise PluginError(
                "A backbone must return features of one width, but returned "
                f"{sorted({len(feature) for feature in found})}."
            )
        return extract(
            backbone=backbone,
            rows=rows,
            positions=positions,
            cache=cache,
            key=key,
            device=device,
            progress=progress,
            should_stop=should_stop,
        )
    return np.stack(found).astype(np.float32), len(ids)


def _batches(
    backbone: Backbone, rows: RowStore, places: list[int], device: torch.device
) -> Iterator[NDArray[np.float32]]:
    """Features of the samples at ``places``, batch by batch; smaller ones when memory runs out."""
    size = CPU_BATCH if device.type == "cpu" else DEVICE_BATCH
    start = 0
    while start < len(places):
        chosen = places[start : start + size]
        try:
            values = _forward(backbone, rows, chosen, device)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(chosen) == 1:
                raise OutOfMemoryError(
                    f"One sample must fit into memory, but does not: {error}"
                ) from error
            size = len(chosen) // 2
            continue
        wrong = ~np.isfinite(values).all(axis=1)
        if wrong.any():
            sample = rows.samples[chosen[int(wrong.argmax())]]
            raise DivergedError(
                f"Every feature must be finite, but those of {sample.source!r} are not. Leave "
                "this backbone out."
            )
        yield values
        start += len(chosen)


def _forward(
    backbone: Backbone, rows: RowStore, places: list[int], device: torch.device
) -> NDArray[np.float32]:
    batch = to_device(rows.encoder.batch(rows.rows(places)), device)
    with torch.inference_mode(), autocast(device):
        features = backbone.features(batch)
    if features.dim() != 2 or len(features) != len(places):
        raise PluginError(
            f"A backbone must return features of shape ({len(places)}, width), but returned "
            f"{tuple(features.shape)}."
        )
    values: NDArray[np.float32] = features.float().cpu().numpy()
    return values
