"""Where activations of one backbone are kept: on disk, in memory, on the device."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from automl_transfer.training.activations import Activations, Memory, NoRoomError, TooLargeError
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.boundary import Boundary
from automl_transfer.training.features import FeatureKey
from automl_transfer.training.rows import RowStore

DType = Literal["float32", "float16"]


class ActivationStore:
    """Where activations of one backbone are kept."""

    def __init__(
        self,
        *,
        cache: ArrayCache | None,
        key: FeatureKey,
        limit_bytes: int = 8 << 30,
        memory_bytes: int = 512 << 20,
        dtype: DType | None = None,
        _memory: Memory | None = None,
    ) -> None:
        """Keeps them on disk and in memory.

        Args:
            cache: On disk; None keeps them in memory alone.
            key: Weights, card and preprocessing of the backbone.
            limit_bytes: Of the activations of one part of the data, all views together; what
                needs more is not kept.
            memory_bytes: For all backbones that share this store, in the host's memory.
            dtype: On disk and in memory; float32 on a CPU and float16 elsewhere when None.
        """
        self.cache = cache
        self.key = key
        self.limit_bytes = limit_bytes
        self.memory = _memory or Memory(memory_bytes)
        self.dtype = dtype

    def of_backbone(self, key: FeatureKey) -> ActivationStore:
        """The same store for another backbone."""
        return ActivationStore(
            cache=self.cache,
            key=key,
            limit_bytes=self.limit_bytes,
            dtype=self.dtype,
            _memory=self.memory,
        )

    def of_plain_view(
        self,
        *,
        boundary: Boundary,
        rows: RowStore,
        positions: NDArray[np.int64],
        device: torch.device,
    ) -> Activations:
        """Those of the plain view of some samples, to be filled from outside."""
        return Activations(
            cache=self.cache,
            memory=self.memory,
            key=self.key,
            dtype=self.dtype or ("float32" if device.type == "cpu" else "float16"),
            boundary=boundary,
            rows=rows,
            positions=positions,
            views=1,
            device=device,
        )

    def open(
        self,
        *,
        boundary: Boundary,
        rows: RowStore,
        positions: NDArray[np.int64],
        views: int,
        device: torch.device,
        check: Callable[[], None],
    ) -> Activations | None:
        """Computes what is not there yet; None where the limits do not allow to keep it.

        Args:
            boundary: Everything before it as it was when the weights were loaded.
            rows: The samples.
            positions: Which of them, shape (n,).
            views: How many of each, at least 1; the first is the plain one.
            device: Where the network is.
            check: Called after each block; may raise.
        """
        dtype = self.dtype or ("float32" if device.type == "cpu" else "float16")
        for kind in dict.fromkeys((dtype, "float32")):
            found = Activations(
                cache=self.cache,
                memory=self.memory,
                key=self.key,
                dtype=kind,
                boundary=boundary,
                rows=rows,
                positions=positions,
                views=views,
                device=device,
            )
            if found.bytes > self.limit_bytes or (
                self.cache is None and found.bytes > self.memory.limit
            ):
                return None
            with contextlib.suppress(TooLargeError):
                try:
                    found.fill(check)
                except NoRoomError:
                    return None
                return found
        return None
