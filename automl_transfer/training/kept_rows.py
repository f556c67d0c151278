"""Rows by the id of their sample, on disk, and the first of them in memory as well."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.training.array_group import ArrayGroup

BLOCK_BYTES = 1 << 23
"""Rows that are written at once."""


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


class KeptRows:
    """Rows of one preprocessing. Safe to share by threads."""

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
