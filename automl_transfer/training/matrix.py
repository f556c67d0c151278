"""A matrix that is in memory while it is small, and in a file without a name when it is large."""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import tempfile
import warnings
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

MEMORY_BYTES = 1 << 24
"""Larger matrices are in a file: a search holds several at once, of each backbone its own."""
BLOCK_NUMBERS = 1 << 19
"""Of a block of rows. Whatever is made of rows of features is made of so many at once, so that it
takes the same memory for any number of samples."""

AnyMatrix: TypeAlias = NDArray[Any] | torch.Tensor


@dataclass(frozen=True, kw_only=True)
class _Map:
    """Where a file is mapped, and where it lies."""

    start: int
    end: int
    directory: Path
    handle: int
    """Of the open file; it is closed when the map is gone."""
    offset: int
    """In the file, of the first byte of the map."""


_MAPS: WeakKeyDictionary[mmap.mmap, _Map] = WeakKeyDictionary()
"""Of the matrices in files: a tensor over one, and an array over that, do not tell."""


class GrowingMatrix:
    """Takes rows in any order; float32, shape (n, width)."""

    def __init__(
        self, count: int, width: int, directory: Path | None, *, shuffled: bool = False
    ) -> None:
        """Reserves room.

        Args:
            count: Rows.
            width: Numbers in a row.
            directory: For the file, if there is one. Where none can be made, and no other, the
                matrix is in memory; with None it always is.
            shuffled: Its rows are read in random order, epoch by epoch, which takes longer from a
                file: up to twice the size it is in memory.
        """
        self.width = width
        self._shape = (count, width)
        self._directory = directory
        self._file: FileIO | None = None
        self._rows: NDArray[np.float32] | None = None
        size = 4 * count * width
        if directory is not None and size > MEMORY_BYTES * (2 if shuffled else 1):
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

    def filled(self, made: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        """The matrix of blocks of rows, one after the other."""
        begin = 0
        for block in made:
            self.put(np.arange(begin, begin + len(block)), block)
            begin += len(block)
        return self.done()

    def done(self) -> NDArray[np.float32]:
        """The matrix; read-only if it is in a file, which ends with the last view of it."""
        if self._rows is not None:
            return self._rows
        assert self._file is not None
        assert self._directory is not None
        found = np.memmap(self._file, dtype=np.float32, mode="r", shape=self._shape)
        _remember(found, self._directory, os.dup(self._file.fileno()))
        self._file.close()
        return found


def stored(path: Path) -> NDArray[np.float32]:
    """A matrix that another process has written in NumPy's format, mapped and read-only."""
    found: np.memmap[Any, Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    _remember(found, path.parent, os.open(path, os.O_RDONLY))
    return found


def readable(values: NDArray[np.float32]) -> torch.Tensor:
    """A tensor over an array that may be a read-only file; nobody writes into it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*")
        return torch.from_numpy(values)


def give_back(matrix: AnyMatrix) -> None:
    """Gives the memory back that reading a matrix of a file has taken; its values stay.

    For whoever goes through one that is larger than memory should be. Nothing happens to others.
    """
    found = _mapped(matrix)
    if found is not None and hasattr(mmap, "MADV_DONTNEED"):
        found.madvise(mmap.MADV_DONTNEED)


def beside(matrix: AnyMatrix, count: int, width: int) -> GrowingMatrix:
    """Room for what is made of a matrix: in a file where that is in one, else in memory."""
    found = _mapped(matrix)
    known = None if found is None else _MAPS.get(found)
    return GrowingMatrix(count, width, None if known is None else known.directory)


def blocks(
    matrix: NDArray[np.float32], places: NDArray[np.int64] | None = None
) -> Iterator[NDArray[np.float32]]:
    """Rows in their order, some :data:`BLOCK_NUMBERS` at once.

    Args:
        matrix: Shape (n, width); may be in a file.
        places: Which rows, shape (k,); all when None.
    """
    for rows in slices(len(matrix) if places is None else len(places), matrix.shape[1]):
        if places is None:
            yield matrix[rows]
            give_back(matrix)
        else:
            yield gathered(matrix, places[rows])


def gathered(matrix: AnyMatrix, places: NDArray[np.int64]) -> NDArray[np.float32]:
    """A copy of the rows at ``places``, shape (k, width), in memory.

    Of a matrix in a file they are read and not copied from its map: with a row the system may map
    megabytes around it, and with a batch of random rows the whole matrix.
    """
    values = matrix.numpy() if isinstance(matrix, torch.Tensor) else matrix
    found = _mapped(values)
    at = None if found is None else _MAPS.get(found)
    if at is None or not values.flags.c_contiguous or not hasattr(os, "preadv"):
        copied: NDArray[np.float32] = values[places]
        give_back(values)
        return copied
    rows = np.empty((len(places), *values.shape[1:]), dtype=values.dtype)
    size = values.strides[0]
    first = at.offset + values.__array_interface__["data"][0] - at.start
    edges = [0, *(np.flatnonzero(np.diff(places) != 1) + 1).tolist(), len(places)]
    raw = rows.reshape(-1).view(np.uint8).data
    for begin, end in itertools.pairwise(edges if len(places) else []):
        target = raw[begin * size : end * size]
        position = first + int(places[begin]) * size
        while target:
            count = os.preadv(at.handle, [target], position)
            if not count:
                raise OSError("The file of a matrix is cut off.")
            target, position = target[count:], position + count
    return rows


def batch_of(matrix: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """The rows ``chosen``, shape (k, width), where the matrix lies; see :func:`gathered`."""
    if _mapped(matrix) is None:
        return matrix[chosen]
    return torch.from_numpy(gathered(matrix, chosen.numpy()))


def slices(count: int, width: int) -> Iterator[slice]:
    """Rows of a matrix, some :data:`BLOCK_NUMBERS` at once; of none, one slice without any.

    Args:
        count: Of its rows.
        width: Numbers in one.
    """
    each = max(1, BLOCK_NUMBERS // max(1, width))
    for start in range(0, max(1, count), each):
        yield slice(start, min(start + each, count))


def taken(matrix: NDArray[np.float32], places: NDArray[np.int64]) -> NDArray[np.float32]:
    """A copy of the rows at ``places``, shape (k,), where :func:`beside` has room for it."""
    return beside(matrix, len(places), matrix.shape[1]).filled(blocks(matrix, places))


def columns(matrix: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """A copy of the first ``count`` columns where :func:`beside` has room for it."""
    return beside(matrix, len(matrix), count).filled(block[:, :count] for block in blocks(matrix))


def _mapped(matrix: AnyMatrix) -> mmap.mmap | None:
    """The map that a matrix is a view of, if it is in a file."""
    base: Any = matrix
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap):
        return base
    if isinstance(matrix, torch.Tensor):
        if matrix.device.type != "cpu":
            return None
        address = matrix.data_ptr()
    else:
        address = matrix.__array_interface__["data"][0]
    there = [found for found, at in list(_MAPS.items()) if at.start <= address < at.end]
    return there[0] if there else None


def _remember(matrix: np.memmap[Any, Any], directory: Path, handle: int) -> None:
    base = _mapped(matrix)
    if base is None or base in _MAPS:
        os.close(handle)
        return
    start = np.frombuffer(base, dtype=np.uint8).__array_interface__["data"][0]
    _MAPS[base] = _Map(
        start=start,
        end=start + len(base),
        directory=directory,
        handle=handle,
        offset=matrix.offset - matrix.offset % mmap.ALLOCATIONGRANULARITY,
    )
    weakref.finalize(base, os.close, handle)


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
