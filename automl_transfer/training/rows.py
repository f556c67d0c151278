"""Prepared samples: decoded once, kept on disk, and the first of them in memory as well."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.contracts import Encoder
from automl_transfer.dataset import Sample
from automl_transfer.jsonable import digest
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.array_group import ArrayGroup, encode_ids
from automl_transfer.training.device import usable_cores

MEMORY_BYTES = 1 << 26
"""Of rows in memory, for all stores of the process together. More would gain little: a row is read
and checked in a hundredth of the time that a network needs for it."""
BLOCK_BYTES = 1 << 23
"""Rows that are written at once."""
SHARE = 0.75
"""Of the cache that rows may fill: they are large, and cheaper to make than features."""
REVISION = 1


class MemoryBudget:
    """Bytes that several stores may take together."""

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes
        self._lock = threading.Lock()

    def take(self, count: int) -> bool:
        """Takes bytes, if as many are left."""
        with self._lock:
            if count > self._left:
                return False
            self._left -= count
            return True

    def give_back(self, taken: list[int]) -> None:
        """Gives bytes back."""
        with self._lock:
            self._left += sum(taken)
            taken.clear()


_BUDGET = MemoryBudget(MEMORY_BYTES)


def rows_digest(encoder: Encoder) -> str:
    """Identity of what ``encoder.prepare`` makes.

    That is ``encoder.rows_digest`` where there is one: several plain views may be made from the
    same rows. Else it is ``encoder.digest``.
    """
    found = getattr(encoder, "rows_digest", None)
    return found if isinstance(found, str) else encoder.digest


def rows_group(cache: ArrayCache, encoder: Encoder) -> ArrayGroup:
    """Where the rows of an encoder are kept."""
    key = digest({"rows": rows_digest(encoder), "revision": REVISION}, 32)
    return cache.group(key, share=SHARE)


class _Kept:
    """Rows by the id of their sample, in memory and on disk."""

    def __init__(self, group: ArrayGroup | None, budget: MemoryBudget) -> None:
        self._group = group
        self._budget = budget
        self._lock = threading.RLock()
        self._memory: dict[str, NDArray[Any]] = {}
        self._unwritten: dict[str, NDArray[Any]] = {}
        self._unwritten_bytes = 0
        self._taken: list[int] = []
        weakref.finalize(self, budget.give_back, self._taken)

    def find(self, ids: Sequence[str]) -> dict[str, NDArray[Any]]:
        """The rows that are there."""
        with self._lock:
            sources = (self._memory, self._unwritten)
            found = {id: source[id] for source in sources for id in ids if id in source}
        lacking = [id for id in dict.fromkeys(ids) if id not in found]
        if lacking and self._group is not None:
            rows, there = self._group.find(lacking)
            for id, row, is_there in zip(lacking, rows, there, strict=True):
                if is_there:
                    found[id] = row
                    self._remember(id, row)
        return found

    def keep(self, id: str, row: NDArray[Any]) -> None:
        """Keeps a new row as far as there is room for it."""
        self._remember(id, row)
        if self._group is None:
            return
        with self._lock:
            if id not in self._unwritten:
                self._unwritten[id] = row
                self._unwritten_bytes += row.nbytes
            full = self._unwritten_bytes >= BLOCK_BYTES
        if full:
            self.flush()

    def flush(self) -> None:
        """Writes what is not written yet."""
        with self._lock:
            unwritten, self._unwritten = self._unwritten, {}
            self._unwritten_bytes = 0
        if not unwritten or self._group is None:
            return
        # Rows of another form than the first stay out: they are made again when they are needed.
        first = next(iter(unwritten.values()))
        shape, dtype = self._group.shape or first.shape, self._group.dtype or first.dtype
        fit = {
            id: row for id, row in unwritten.items() if (row.shape, row.dtype) == (shape, dtype)
        }
        if fit:
            self._group.write(list(fit), np.stack(list(fit.values())))

    def _remember(self, id: str, row: NDArray[Any]) -> None:
        with self._lock:
            if id not in self._memory and self._budget.take(row.nbytes):
                self._taken.append(row.nbytes)
                # A view would keep the whole block alive that it was read with.
                self._memory[id] = row if row.base is None else row.copy()


class RowStore:
    """What ``encoder.prepare`` made of each sample. Safe to share by threads."""

    def __init__(
        self,
        encoder: Encoder,
        samples: Sequence[Sample],
        cache: ArrayCache | None = None,
        memory: MemoryBudget = _BUDGET,
        _kept: _Kept | None = None,
    ) -> None:
        """Makes nothing yet.

        Args:
            encoder: What prepares samples.
            samples: All samples; rows are asked for by their positions.
            cache: Where rows are kept on disk; None: only in memory, as far as there is room.
            memory: How much of it.
        """
        self.encoder = encoder
        self.samples = samples
        group = None if cache is None else rows_group(cache, encoder)
        self._kept = _kept or _Kept(group, memory)

    def seen_by(self, encoder: Encoder) -> RowStore:
        """The same rows with another plain or training view.

        Raises:
            ValueError: The encoder prepares other rows.
        """
        wanted, ours = rows_digest(encoder), rows_digest(self.encoder)
        if wanted != ours:
            raise ValueError(
                f"Rows are shared by encoders that prepare the same, but got {wanted!r} for "
                f"{ours!r}."
            )
        return RowStore(encoder, self.samples, _kept=self._kept)

    def rows(self, positions: Sequence[int] | NDArray[np.int64]) -> list[NDArray[Any]]:
        """Prepared rows at ``positions`` of the samples, in that order."""
        wanted = [self.samples[int(position)] for position in positions]
        found = self._kept.find([sample.id for sample in wanted])
        lacking = {sample.id: sample for sample in wanted if sample.id not in found}
        for id, row in zip(lacking, self._prepare(list(lacking.values())), strict=True):
            found[id] = row
            self._kept.keep(id, row)
        return [found[sample.id] for sample in wanted]

    def flush(self) -> None:
        """Writes rows to disk that wait for others to be written with."""
        self._kept.flush()

    def _prepare(self, samples: list[Sample]) -> list[NDArray[Any]]:
        if len(samples) < 2:
            return [self.encoder.prepare(sample) for sample in samples]
        with ThreadPoolExecutor(min(8, usable_cores())) as pool:
            return list(pool.map(self.encoder.prepare, samples))


class RowKeeper:
    """Takes rows from a modality that prepares them; see :class:`.contracts.KeepRows`."""

    def __init__(self, cache: ArrayCache) -> None:
        """Rows that are kept while it lives stay kept."""
        self._cache = cache
        self._lock = threading.Lock()
        self._groups: dict[str, tuple[ArrayGroup, NDArray[np.bytes_]]] = {}

    def has(self, encoder: Encoder, id: str) -> bool:
        """Whether the row was there when it was first asked."""
        _, known = self._group(encoder)
        code = encode_ids([id])
        if not len(known) or known.dtype != code.dtype:
            return False
        place = min(int(np.searchsorted(known, code)[0]), len(known) - 1)
        return bool(known[place] == code[0])

    def keep(self, encoder: Encoder, ids: Sequence[str], rows: NDArray[Any]) -> bool:
        """Keeps rows; whether there was room."""
        group, _ = self._group(encoder)
        return group.write(ids, rows)

    def _group(self, encoder: Encoder) -> tuple[ArrayGroup, NDArray[np.bytes_]]:
        key = rows_digest(encoder)
        with self._lock:
            if key not in self._groups:
                group = rows_group(self._cache, encoder)
                self._groups[key] = group, group.known()
            return self._groups[key]
