"""Prepared samples, kept in memory up to a bound, so that few are decoded twice."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.contracts import Encoder
from automl_transfer.dataset import Sample
from automl_transfer.training.device import usable_cores

LIMIT_BYTES = 1 << 30


class _Memory:
    def __init__(self, limit_bytes: int) -> None:
        self.limit = limit_bytes
        self.bytes = 0
        self.kept: dict[int, NDArray[Any]] = {}
        self.lock = threading.Lock()

    def keep(self, place: int, row: NDArray[Any]) -> None:
        """Keeps a row if there is room for it and it is not there yet."""
        with self.lock:
            if place not in self.kept and self.bytes + row.nbytes <= self.limit:
                self.kept[place] = row
                self.bytes += row.nbytes


class RowStore:
    """What ``encoder.prepare`` made of each sample."""

    def __init__(
        self,
        encoder: Encoder,
        samples: Sequence[Sample],
        limit_bytes: int = LIMIT_BYTES,
        _memory: _Memory | None = None,
    ) -> None:
        """Keeps rows of ``samples`` up to ``limit_bytes``; the rest is prepared when asked for."""
        self.encoder = encoder
        self.samples = samples
        self._memory = _memory or _Memory(limit_bytes)

    def seen_by(self, encoder: Encoder) -> RowStore:
        """The same rows with another training view.

        Raises:
            ValueError: The encoder's plain view is another, so its rows are too.
        """
        if encoder.digest != self.encoder.digest:
            raise ValueError(
                f"Rows are shared by encoders of one plain view, but got {encoder.digest!r} for "
                f"{self.encoder.digest!r}."
            )
        return RowStore(encoder, self.samples, _memory=self._memory)

    def rows(self, positions: Sequence[int] | NDArray[np.int64]) -> list[NDArray[Any]]:
        """Prepared rows at ``positions`` of the samples, in that order."""
        wanted = [int(position) for position in positions]
        kept = self._memory.kept
        found = {place: kept[place] for place in wanted if place in kept}
        missing = sorted(set(wanted) - found.keys())
        for place, row in zip(missing, self._prepare(missing), strict=True):
            found[place] = row
            self._memory.keep(place, row)
        return [found[place] for place in wanted]

    def _prepare(self, places: list[int]) -> list[NDArray[Any]]:
        if len(places) < 2:
            return [self.encoder.prepare(self.samples[place]) for place in places]
        with ThreadPoolExecutor(min(8, usable_cores())) as pool:
            return list(pool.map(lambda place: self.encoder.prepare(self.samples[place]), places))
