"""Prepared samples: each is decoded once, if there is room to keep it."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.contracts import Encoder
from automl_transfer.dataset import Sample
from automl_transfer.jsonable import digest
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.array_group import ArrayGroup
from automl_transfer.training.device import usable_cores
from automl_transfer.training.kept_rows import KeptRows, MemoryBudget

MEMORY_BYTES = 1 << 25
"""Of rows in memory, for all stores of the process together. More would gain little: a row is read
and checked in a hundredth of the time that a network needs for it."""
SHARE = 0.75
"""Of the cache that rows may fill: they are large, and cheaper to make than features."""
REVISION = 1
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
    kind = type(encoder)
    # Two kinds of data may have chosen the same short digest.
    made_by = f"{kind.__module__}.{kind.__qualname__}"
    key = digest({"rows": rows_digest(encoder), "by": made_by, "revision": REVISION}, 32)
    return cache.group(key, share=SHARE)


class RowStore:
    """What ``encoder.prepare`` made of each sample. Safe to share by threads."""

    def __init__(
        self,
        encoder: Encoder,
        samples: Sequence[Sample],
        cache: ArrayCache | None = None,
        memory: MemoryBudget = _BUDGET,
        _kept: KeptRows | None = None,
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
        self._kept = _kept or KeptRows(group, memory)

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
