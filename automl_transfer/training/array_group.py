"""Rows that depend on the same things but the sample: their shards, and an index over them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.errors import PluginError
from automl_transfer.training.row_index import NOWHERE, RowIndex, encode_ids
from automl_transfer.training.shard import (
    SUFFIX,
    DamagedError,
    Shard,
    open_shard,
    remove,
    write_shard,
)

if TYPE_CHECKING:
    from automl_transfer.training.array_cache import ArrayCache

_TOUCH_SECONDS = 60.0
"""A shard in use is marked as used at most this often."""


class ArrayGroup:
    """Rows of one shape and dtype under the ids of their samples. Safe to share by threads.

    Several processes may read and write the same group, and its files may vanish at any moment.
    """

    def __init__(self, cache: ArrayCache, key: str, share: float) -> None:
        """Made by :meth:`.ArrayCache.group`."""
        self._cache = cache
        self._share = share
        self.directory = cache.home / key
        self._lock = threading.RLock()
        self._shards: dict[str, Shard] = {}
        self._names: list[str] = []
        self._touched: dict[str, float] = {}
        self._index = RowIndex()
        self._form: tuple[tuple[int, ...], np.dtype[Any]] | None = None

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of a row; None while there is none."""
        return self._form[0] if self._form else None

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """Of a row; None while there is none."""
        return self._form[1] if self._form else None

    @property
    def row_bytes(self) -> int | None:
        """Of a row; None while there is none."""
        if self._form is None:
            return None
        return int(np.prod(self._form[0], dtype=np.int64)) * self._form[1].itemsize

    def missing(self, ids: Sequence[str]) -> list[str]:
        """The ids that have no row, in their order and without repeats."""
        distinct = list(dict.fromkeys(ids))
        with self._lock:
            self._look()
            shards, _ = self._index.locate(encode_ids(distinct))
        return [id for id, shard in zip(distinct, shards, strict=True) if shard == NOWHERE]

    def write(self, ids: Sequence[str], rows: NDArray[Any]) -> bool:
        """Adds a shard.

        Args:
            ids: Of the samples, hexadecimal.
            rows: Shape (n, ...), in the order of ``ids``.

        Returns:
            Whether the rows are kept: not when the cache is full or cannot be written to.

        Raises:
            ValueError: There is not one row for each id, or rows of another form are there
                already; :meth:`forget` them first.
            PluginError: An id is not made of an even number of hexadecimal digits, the same for
                all.
        """
        if len(ids) != len(rows):
            raise ValueError(
                f"One row is needed for each id, but got {len(rows)} for {len(ids)} ids."
            )
        codes = encode_ids(ids)
        form = (rows.shape[1:], rows.dtype.newbyteorder("<"))
        with self._lock:
            if self._form is None:
                self._look()
            self._check(form, codes)
        if not len(ids) or not self._cache.admit(rows.nbytes, self._share):
            return False
        for _ in range(2):
            try:
                shard = write_shard(self.directory, codes, rows)
            except FileNotFoundError:
                continue  # somebody has deleted the directory in this very moment
            except OSError as error:
                self._cache.failed(error)
                return False
            with self._lock:
                self._add(shard)
            return True
        return False

    def find(self, ids: Sequence[str]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Rows of the samples that have one.

        Returns:
            Rows, shape (n, ...), and which of them are there, shape (n,); the others hold nothing
            that means anything. Without a single row the first is of shape (n, 0).
        """
        codes = encode_ids(ids)
        there = np.zeros(len(ids), dtype=bool)
        with self._lock:
            shards, places = self._index.locate(codes)
            if (shards == NOWHERE).any():
                self._look()
                shards, places = self._index.locate(codes)
            form = self._form
        if form is None:
            return np.empty((len(ids), 0), dtype=np.float32), there
        rows = np.empty((len(ids), *form[0]), dtype=form[1])
        # A second look: a row may lie in another shard beside the one that is lost.
        for _ in range(2):
            if self._gather(shards, places, rows, there):
                break
            with self._lock:
                self._look()
                shards, places = self._index.locate(codes)
            shards[there] = NOWHERE
        return rows, there

    def read(self, ids: Sequence[str]) -> NDArray[Any]:
        """Rows of the samples, shape (n, ...).

        Raises:
            KeyError: An id has no row, or no longer.
        """
        rows, there = self.find(ids)
        if not there.all():
            raise KeyError(ids[int((~there).argmax())])
        return rows

    def known(self) -> NDArray[np.bytes_]:
        """The ids that have a row at this moment, ascending; see :func:`encode_ids`."""
        with self._lock:
            self._look()
            return self._index.ids

    def forget(self) -> None:
        """Removes all rows."""
        with self._lock:
            self._look()
            for name in list(self._shards):
                self._drop(name, damaged=True)
            self._form = None

    def _gather(
        self,
        shards: NDArray[np.int32],
        places: NDArray[np.int32],
        rows: NDArray[Any],
        there: NDArray[np.bool_],
    ) -> bool:
        """Reads what can be read, and marks it; whether no shard was lost."""
        whole = True
        for number in np.unique(shards[shards != NOWHERE]).tolist():
            wanted = np.flatnonzero(shards == number)
            wanted = wanted[np.argsort(places[wanted], kind="stable")]
            with self._lock:
                shard = self._shards.get(self._names[number])
            try:
                if shard is None or (shard.shape, shard.dtype) != (rows.shape[1:], rows.dtype):
                    raise FileNotFoundError
                shard.read(places[wanted], rows, wanted)
            except (DamagedError, OSError) as error:
                whole = False
                with self._lock:
                    self._drop(self._names[number], damaged=isinstance(error, DamagedError))
                continue
            there[wanted] = True
            self._touch(shard)
        return whole

    def _touch(self, shard: Shard) -> None:
        now = time.monotonic()
        if now - self._touched.get(shard.path.name, -_TOUCH_SECONDS) >= _TOUCH_SECONDS:
            self._touched[shard.path.name] = now
            with contextlib.suppress(OSError):
                os.utime(shard.path)

    def _check(self, form: tuple[tuple[int, ...], np.dtype[Any]], codes: NDArray[Any]) -> None:
        if self._form is not None and self._form != form:
            raise ValueError(
                f"The rows of a group have one form, {self._form[1]} of shape {self._form[0]}, "
                f"but got {form[1]} of shape {form[0]}."
            )
        self._index.check(codes)

    def _look(self) -> None:
        """Takes in what the directory holds now."""
        try:
            with os.scandir(self.directory) as entries:
                names = {entry.name for entry in entries if entry.name.endswith(SUFFIX)}
        except OSError:
            names = set()
        for name in self._shards.keys() - names:
            self._drop(name)
        if not self._shards:
            self._form = None
        for name in sorted(names - self._shards.keys()):
            path = self.directory / name
            try:
                shard = open_shard(path)
                self._check((shard.shape, shard.dtype), shard.ids)
            except FileNotFoundError:
                continue
            except (DamagedError, ValueError, PluginError):
                remove(path)
                continue
            except OSError:
                continue
            self._add(shard)

    def _add(self, shard: Shard) -> None:
        if shard.path.name in self._shards:
            self._drop(shard.path.name)
        self._index.add(len(self._names), shard.ids)
        self._names.append(shard.path.name)
        self._shards[shard.path.name] = shard
        self._form = (shard.shape, shard.dtype)

    def _drop(self, name: str, damaged: bool = False) -> None:
        shard = self._shards.pop(name, None)
        if shard is None:
            return
        self._index.remove(len(self._names) - 1 - self._names[::-1].index(name))
        self._touched.pop(name, None)
        if damaged:
            remove(shard.path)
