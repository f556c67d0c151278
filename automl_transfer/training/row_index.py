"""Where the row of each sample is: sorted arrays, a tenth as large as a dictionary would be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automl_transfer.errors import PluginError

NOWHERE = -1


class RowIndex:
    """Ids of samples to the number of a shard and the place in it. Not safe for threads."""

    def __init__(self) -> None:
        self.ids: NDArray[np.bytes_] = np.empty(0, dtype="S1")
        """Ascending; an id may be in several shards."""
        self._shards: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._places: NDArray[np.int32] = np.empty(0, dtype=np.int32)

    def add(self, shard: int, ids: NDArray[np.bytes_]) -> None:
        """Takes in the ids of a shard, in the order of its rows."""
        order = np.argsort(ids, kind="stable").astype(np.int32)
        if not len(self.ids):
            self.ids = self.ids.astype(ids.dtype)
        at = np.searchsorted(self.ids, ids[order])
        self.ids = np.insert(self.ids, at, ids[order])
        self._shards = np.insert(self._shards, at, shard)
        self._places = np.insert(self._places, at, order)

    def remove(self, shard: int) -> None:
        """Forgets a shard."""
        stays = self._shards != shard
        self.ids = self.ids[stays]
        self._shards, self._places = self._shards[stays], self._places[stays]

    def locate(self, ids: NDArray[np.bytes_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Number of the shard, -1 where there is none, and place in it; both of shape (n,)."""
        nowhere = np.full(len(ids), NOWHERE, dtype=np.int32)
        if not len(self.ids) or ids.dtype != self.ids.dtype:
            return nowhere, nowhere
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[at] == ids, self._shards[at], nowhere), self._places[at]

    def check(self, ids: NDArray[np.bytes_]) -> None:
        """Looks at ids that are to be added.

        Raises:
            PluginError: They are of another length than those that are there.
        """
        if len(ids) and len(self.ids) and ids.dtype != self.ids.dtype:
            lengths = sorted({2 * self.ids.itemsize, 2 * ids.itemsize})
            raise _bad_ids(f"of lengths {lengths}")


def encode_ids(ids: Sequence[str]) -> NDArray[np.bytes_]:
    """Ids of samples as bytes, shape (n,).

    Raises:
        PluginError: An id is not made of an even number of hexadecimal digits, the same for all.
    """
    lengths = sorted({len(id) for id in ids})
    try:
        if len(lengths) > 1:
            raise ValueError
        codes = [bytes.fromhex(id) for id in ids]
    except ValueError as error:
        raise _bad_ids(f"such as {ids[0]!r} of lengths {lengths}") from error
    return np.array(codes, dtype=f"S{max(1, lengths[0] // 2 if lengths else 1)}")


def _bad_ids(found: str) -> PluginError:
    return PluginError(
        "Sample.id must be an even number of hexadecimal digits, as many for each sample of a "
        f"modality, but got ids {found}. Make them with automl_transfer.jsonable.digest."
    )
