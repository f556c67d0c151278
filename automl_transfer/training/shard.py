"""One file of rows, of which any can be read, and checked, by itself.

The format is that of safetensors: tensors ``ids`` (n, bytes of an id), ``sums`` (n,) and ``rows``
(n, ...). Rows are read, not mapped: the pages of a map count as memory of the process.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import os
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

SUFFIX = ".safetensors"
UNFINISHED = ".tmp"
_MOST_HEADER = 1 << 16
_DTYPES = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "F16": np.dtype("<f2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "I64": np.dtype("<i8"),
    "F64": np.dtype("<f8"),
}
"""By the names of safetensors."""


_Places: TypeAlias = NDArray[np.signedinteger[Any]]


class DamagedError(Exception):
    """The file does not hold what was written."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Shard:
    """What is known of a file without its rows."""

    path: Path
    ids: NDArray[np.bytes_]
    """Shape (n,)."""
    sums: NDArray[np.uint32]
    """Checksum of each row, shape (n,)."""
    shape: tuple[int, ...]
    """Of one row."""
    dtype: np.dtype[Any]
    start: int
    """Where the first row begins, in bytes."""

    def read(self, places: _Places, into: NDArray[Any], rows: _Places) -> None:
        """Reads rows and checks each.

        Args:
            places: Which rows of the file, shape (k,).
            into: Where to, shape (m, ...), contiguous, of this dtype.
            rows: Which rows of ``into``, shape (k,).

        Raises:
            DamagedError: A row is not as it was written.
            OSError: The file is gone, or cannot be read.
        """
        raw = _bytes_of(into)
        size, seed = raw.shape[1], _seed(self.shape, self.dtype)
        with FileIO(self.path) as file:
            for first, last in _runs(places, rows):
                target = raw[rows[first] : rows[first] + last - first]
                file.seek(self.start + int(places[first]) * size)
                _fill(file, target.reshape(-1))
                for place, row in zip(places[first:last], target, strict=True):
                    if _sum(row, self.ids[place], seed) != self.sums[place]:
                        raise DamagedError(f"Row {place} of {self.path} has changed.")


def write_shard(directory: Path, ids: NDArray[np.bytes_], rows: NDArray[Any]) -> Shard:
    """Writes a file into ``directory``, whole or not at all.

    Its name goes by the ids: who writes the same rows twice replaces the file.

    Args:
        directory: It is made if it is not there.
        ids: Of one length, none of which ends there with a zero that counts; shape (n,).
        rows: Shape (n, ...), n at least 1.

    Raises:
        OSError: The directory cannot be written to, or the disk is full.
    """
    rows = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<"))
    codes = _bytes_of(np.ascontiguousarray(ids))
    seed = _seed(rows.shape[1:], rows.dtype)
    sums = [_sum(row, id, seed) for id, row in zip(ids, _bytes_of(rows), strict=True)]
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{hashlib.sha256(codes.tobytes()).hexdigest()[:32]}{SUFFIX}"
    handle, name = tempfile.mkstemp(dir=directory, suffix=UNFINISHED)
    os.close(handle)
    try:
        save_file({"ids": codes, "sums": np.array(sums, np.uint32), "rows": rows}, name)
        # What was written, not what now has the name: another process may write the same rows.
        shard = open_shard(Path(name))
        os.replace(name, path)
    except (SafetensorError, DamagedError) as error:
        raise OSError(f"{path} cannot be written: {error}") from error
    finally:
        remove(Path(name))
    return Shard(
        path=path,
        ids=shard.ids,
        sums=shard.sums,
        shape=shard.shape,
        dtype=shard.dtype,
        start=shard.start,
    )


def open_shard(path: Path) -> Shard:
    """Reads all of a file but its rows.

    Raises:
        DamagedError: The file has another form. Damage to a row is found when it is read.
        OSError: The file is gone, or cannot be read.
    """
    with FileIO(path) as file:
        length = int.from_bytes(_take(file, 8), "little")
        if length > _MOST_HEADER:
            raise DamagedError(f"The header of {path} is damaged.")
        try:
            header = json.loads(_take(file, length))
            parts = {
                name: (_DTYPES[part["dtype"]], tuple(part["shape"]), *part["data_offsets"])
                for name, part in header.items()
            }
            (ids, sums, rows) = (parts[name] for name in ("ids", "sums", "rows"))
            count, width = ids[1]
            form = (sums[:2], ids[0], rows[1][0]) == ((_DTYPES["U32"], (count,)), "u1", count)
            full = all(
                end - begin == dtype.itemsize * math.prod(shape)
                for dtype, shape, begin, end in parts.values()
            )
            size = 8 + length + max(part[3] for part in parts.values())
            if not form or not full or os.fstat(file.fileno()).st_size != size:
                raise ValueError
            file.seek(8 + length + ids[2])
            codes = np.frombuffer(_take(file, count * width), dtype=f"S{width}")
            file.seek(8 + length + sums[2])
            checks = np.frombuffer(_take(file, 4 * count), dtype="<u4")
        except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise DamagedError(f"{path} is damaged.") from error
        return Shard(
            path=path,
            ids=codes,
            sums=checks,
            shape=rows[1][1:],
            dtype=rows[0],
            start=8 + length + rows[2],
        )


def remove(path: Path) -> None:
    """Removes a file if that can be done."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    """A view of shape (n, bytes of a row)."""
    return array.reshape(len(array), -1).view(np.uint8)


def _seed(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    # So that a header which claims another form fits no row.
    return zlib.crc32(f"{dtype.str}{shape}".encode())


def _sum(row: NDArray[np.uint8], id: bytes, seed: int) -> int:
    return zlib.crc32(row.data, zlib.crc32(id, seed))


def _runs(places: _Places, rows: _Places) -> Iterator[tuple[int, int]]:
    """Stretches that lie one after the other both in the file and in memory."""
    breaks = np.flatnonzero((np.diff(places) != 1) | (np.diff(rows) != 1)) + 1
    edges = [0, *breaks.tolist(), len(places)]
    yield from itertools.pairwise(edges)


def _fill(file: FileIO, target: NDArray[np.uint8]) -> None:
    view = target.data
    while view:
        count = file.readinto(view)
        if not count:
            raise DamagedError(f"{file.name!r} is cut off.")
        view = view[count:]


def _take(file: FileIO, count: int) -> bytes:
    content = np.empty(count, dtype=np.uint8)
    _fill(file, content)
    return content.tobytes()
