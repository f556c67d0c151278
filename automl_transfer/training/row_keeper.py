"""Takes the rows that a modality makes while it opens data."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.contracts import Encoder
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.array_group import ArrayGroup
from automl_transfer.training.row_index import encode_ids
from automl_transfer.training.rows import rows_digest, rows_group


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
