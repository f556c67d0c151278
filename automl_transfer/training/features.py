"""Frozen features, computed once for each sample and network, and kept."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from automl_transfer.contracts import Backbone, Batch
from automl_transfer.errors import DivergedError, PluginError, TrialError, staying
from automl_transfer.generators import ended
from automl_transfer.jsonable import digest, to_json
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.array_group import ArrayGroup
from automl_transfer.training.batch_sizes import BatchSizes
from automl_transfer.training.device import autocast
from automl_transfer.training.matrix import GrowingMatrix
from automl_transfer.training.passes import passes
from automl_transfer.training.rows import RowStore

REVISION = 1
"""Raised when the meaning of a stored feature changes."""
SHARD = 1024
"""Most samples between two writes: what a kill can lose."""
SHARD_SECONDS = 10.0
"""Longest time between two writes."""
_READ = 2048
"""Features that are read at once."""


class StoppedError(TrialError):
    """Extraction was told to stop; what was done is kept."""

    kind = "out-of-time"


class Listener(Protocol):
    """What keeps more of a pass than its features."""

    def listening(self) -> AbstractContextManager[None]:
        """Within, passes are noted."""
        ...

    def take(self, ids: Sequence[str]) -> None:
        """Told which samples a batch was of, batches in order."""
        ...

    def flush(self) -> None:
        """Writes what was noted."""
        ...


@dataclass(frozen=True, kw_only=True)
class FeatureKey:
    """Everything that a frozen feature depends on, but the sample."""

    weights: str
    """SHA-256 of the weights, or the seed of random ones."""
    card: str
    """Digest of the backbone's card."""
    encoder: str
    """Digest of the preprocessing."""
    boundary: str = "end"
    """Where in the network; ``end`` is what it returns."""
    pooling: str = "own"
    """How places become one vector; ``own`` is the network's way."""
    dtype: str = "float32"
    view: str = "plain"
    revision: int = REVISION

    @property
    def digest(self) -> str:
        """Key of its group in the cache."""
        return digest(to_json(self), 32)


def extract(
    *,
    backbone: Backbone,
    rows: RowStore,
    positions: NDArray[np.int64],
    cache: ArrayCache,
    key: FeatureKey,
    device: torch.device,
    progress: Callable[[int, int], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    sizes: BatchSizes | None = None,
    tap: Listener | None = None,
) -> tuple[NDArray[np.float32], int]:
    """As :func:`extracting`; ``progress`` is called with what that yields."""
    run = extracting(
        backbone=backbone,
        rows=rows,
        positions=positions,
        cache=cache,
        key=key,
        device=device,
        should_stop=should_stop,
        sizes=sizes,
        tap=tap,
    )
    # It is closed whatever `progress` raises, so that what is done is kept.
    return ended(run, None if progress is None else lambda tick: progress(*tick))


def extracting(
    *,
    backbone: Backbone,
    rows: RowStore,
    positions: NDArray[np.int64],
    cache: ArrayCache,
    key: FeatureKey,
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
    sizes: BatchSizes | None = None,
    tap: Listener | None = None,
) -> Generator[tuple[int, int], None, tuple[NDArray[np.float32], int]]:
    """Frozen features of some samples, from the cache where they are there.

    Args:
        backbone: In any mode; it is put into eval mode.
        rows: The samples.
        positions: Which of them, shape (n,).
        cache: Where features are kept.
        key: What they depend on.
        device: Where to compute.
        should_stop: Looked at after each batch.
        sizes: Decides how many samples at once; None: the best size is found.
        tap: Keeps something else that the same passes compute.

    Yields:
        How many are done, and how many there are, after each batch.

    Returns:
        Features of shape (n, width) in the order of ``positions``, and how many of them were
        computed now. A large matrix is a read-only map of a file without a name; see
        :func:`.matrix.give_back`.

    Raises:
        StoppedError: ``should_stop`` said so. What was done is kept.
        DivergedError: A feature is not finite.
        OutOfMemoryError: Not even one sample fits into memory.
        PluginError: Features or ids of samples do not have the form that the contract asks for.
    """
    positions = np.asarray(positions, dtype=np.int64)
    group = cache.group(key.digest)
    matrix, there = _known(group, rows, positions, cache)
    todo = _Todo(rows, positions, there)
    writer = _Writer(group)
    done, total = 0, len(positions)
    stale = False
    beside = contextlib.ExitStack()
    if tap is not None:
        beside.enter_context(tap.listening())
        beside.callback(tap.flush)
    try:
        for values in _computed(backbone, rows, todo.positions, device, sizes):
            width = values.shape[1]
            if matrix is None:
                matrix = GrowingMatrix(total, width, cache.home)
            elif matrix.width != width:
                stale = done == 0
                if stale:
                    break
                raise PluginError(
                    "A backbone must return features of one width, but returned "
                    f"{sorted({matrix.width, width})}."
                )
            places, sources = todo.places(done, done + len(values))
            matrix.put(places, values[sources])
            writer.add(todo.ids[done : done + len(values)], values)
            if tap is not None:
                tap.take(todo.ids[done : done + len(values)])
            done += len(values)
            yield total - len(todo.ids) + done, total
            if done < len(todo.ids) and should_stop():
                raise StoppedError(f"Stopped after {done} of {len(todo.ids)} samples.")
    finally:
        beside.close()
        writer.flush()
        rows.flush()
    if stale:
        # What was kept is of another width: the network has changed behind its card.
        group.forget()
        again = extracting(
            backbone=backbone,
            rows=rows,
            positions=positions,
            cache=cache,
            key=key,
            device=device,
            should_stop=should_stop,
            sizes=sizes,
        )
        return (yield from again)
    if matrix is None:
        return np.zeros((0, 0), dtype=np.float32), 0
    return matrix.done(), done


def _known(
    group: ArrayGroup, rows: RowStore, positions: NDArray[np.int64], cache: ArrayCache
) -> tuple[GrowingMatrix | None, NDArray[np.bool_]]:
    """A matrix with the features that are kept, and which those are; None if there are none."""
    matrix: GrowingMatrix | None = None
    there = np.zeros(len(positions), dtype=bool)
    for start in range(0, len(positions), _READ):
        block = positions[start : start + _READ]
        values, found = group.find([rows.samples[int(place)].id for place in block])
        if not found.any():
            continue
        if matrix is None:
            matrix = GrowingMatrix(len(positions), values.shape[1], cache.home)
        if values.shape[1:] != (matrix.width,):
            continue  # another process has replaced them in between
        matrix.put(start + np.flatnonzero(found), values[found])
        there[start : start + len(block)] = found
    return matrix, there


class _Todo:
    """The samples whose features are not there: each once, with all its places."""

    def __init__(
        self, rows: RowStore, positions: NDArray[np.int64], there: NDArray[np.bool_]
    ) -> None:
        lacking = np.flatnonzero(~there)
        numbers: dict[str, int] = {}
        of_place = np.array(
            [
                numbers.setdefault(rows.samples[int(place)].id, len(numbers))
                for place in positions[lacking]
            ],
            dtype=np.int64,
        )
        self.ids = list(numbers)
        self.positions = positions[lacking[np.unique(of_place, return_index=True)[1]]]
        order = np.argsort(of_place, kind="stable")
        self._numbers, self._places = of_place[order], lacking[order]

    def places(self, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of the matrix for the samples from ``start`` to ``stop``, and which is whose."""
        first, last = np.searchsorted(self._numbers, [start, stop])
        return self._places[first:last], self._numbers[first:last] - start


class _Writer:
    """Collects features for shards of a good size."""

    def __init__(self, group: ArrayGroup) -> None:
        self._group = group
        self._ids: list[str] = []
        self._values: list[NDArray[np.float32]] = []
        self._written = time.monotonic()

    def add(self, ids: list[str], values: NDArray[np.float32]) -> None:
        """Takes the features of a batch."""
        self._ids += ids
        self._values.append(values)
        if len(self._ids) >= SHARD or time.monotonic() - self._written >= SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes what is there."""
        ids, values = self._ids, self._values
        self._ids, self._values = [], []
        self._written = time.monotonic()
        if ids:
            try:
                self._group.write(ids, np.concatenate(values))
            except ValueError:
                # Kept ones of another width: whoever needs them will find out, and forget them.
                return


def _computed(
    backbone: Backbone,
    rows: RowStore,
    positions: NDArray[np.int64],
    device: torch.device,
    sizes: BatchSizes | None,
) -> Iterator[NDArray[np.float32]]:
    """Features of the samples at ``positions``, batch by batch."""
    module = backbone.module.to(device).eval()
    if device.type in ("cuda", "cpu"):
        module.to(memory_format=torch.channels_last)

    def forward(batch: Batch) -> torch.Tensor:
        with torch.inference_mode(), autocast(device), staying("A backbone"):
            return backbone.features(batch).float()

    for chosen, values in passes(forward, rows, positions, device, sizes):
        if values.ndim != 2 or len(values) != len(chosen):
            raise PluginError(
                f"A backbone must return features of shape ({len(chosen)}, width), but returned "
                f"{values.shape}."
            )
        wrong = ~np.isfinite(values).all(axis=1)
        if wrong.any():
            sample = rows.samples[int(chosen[int(wrong.argmax())])]
            raise DivergedError(
                f"Every feature must be finite, but those of {sample.source!r} are not. Leave "
                "this backbone out."
            )
        yield values
