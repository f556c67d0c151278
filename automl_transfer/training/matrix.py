"""A matrix that is in memory while it is small, and in a file without a name when it is large."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import warnings
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

MEMORY_BYTES = 1 << 26
"""Larger matrices are in a file."""


class GrowingMatrix:
    """Takes rows in any order; float32, shape (n, width)."""

    def __init__(self, count: int, width: int, directory: Path) -> None:
        """Reserves room.

        Args:
            count: Rows.
            width: Numbers in a row.
            directory: For the file, if there is one. Where none can be made, and no other, the
                matrix is in memory.
        """
        self.width = width
        self._shape = (count, width)
        self._file: FileIO | None = None
        self._rows: NDArray[np.float32] | None = None
        size = 4 * count * width
        if size > MEMORY_BYTES:
            self._file = _nameless(directory, size)
        if self._file is None:
            self._rows = np.zeros(self._shape, dtype=np.float32)

    def put(self, places: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Writes ``values``, shape (k, width), to the rows ``places``, shape (k,)."""
        if self._rows is not None:
            self._rows[places] = values
        elif self._file is not None and len(places):
            values = np.ascontiguousarray(values, dtype=np.float32)
            # Written, not mapped: what is written through a map counts as memory of the process.
            breaks = np.flatnonzero(np.diff(places) != 1) + 1
            for run, rows in zip(np.split(places, breaks), np.split(values, breaks), strict=True):
                self._file.seek(4 * self.width * int(run[0]))
                _write_all(self._file, rows.data.cast("B"))

    def done(self) -> NDArray[np.float32]:
        """The matrix; read-only if it is in a file, which ends with the last view of it."""
        if self._rows is not None:
            return self._rows
        assert self._file is not None
        found = np.memmap(self._file, dtype=np.float32, mode="r", shape=self._shape)
        self._file.close()
        return found


def readable(values: NDArray[np.float32]) -> torch.Tensor:
    """A tensor over an array that may be a read-only file; nobody writes into it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(values)


def give_back(matrix: NDArray[Any]) -> None:
    """Gives the memory back that reading a matrix of a file has taken; its values stay.

    For whoever goes through one that is larger than memory should be. Nothing happens to others.
    """
    base: Any = matrix
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)


def _nameless(directory: Path, size: int) -> FileIO | None:
    """A file of ``size`` bytes of which no name is left; None if there is no room for it."""
    for place in (directory, Path(tempfile.gettempdir())):
        with contextlib.suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            with contextlib.ExitStack() as failed:
                file = failed.enter_context(tempfile.TemporaryFile(dir=place, buffering=0))
                _reserve(file.fileno(), size)
                failed.pop_all()
                return file
    return None


def _reserve(handle: int, size: int) -> None:
    # Where it can be done, a full disk is found out now and not by a signal when it is read.
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, size)
    else:
        os.ftruncate(handle, size)


def _write_all(file: FileIO, content: memoryview) -> None:
    while content:
        content = content[file.write(content) :]
