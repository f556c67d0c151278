"""Where the batches of a training come from: encoded samples, or what crosses a boundary."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from automl_transfer.contracts import Batch, FiniteViews
from automl_transfer.training.activations import Activations
from automl_transfer.training.boundary import Boundary
from automl_transfer.training.device import pinned, to_device
from automl_transfer.training.rows import RowStore

Chosen = NDArray[np.int64]
"""Local indices of the samples of a batch."""


class Feed(Protocol):
    """Makes batches, and knows what the network does with them."""

    @property
    def instant(self) -> bool:
        """Whether loading is no work worth another thread."""
        ...

    def load(self, chosen: Chosen, generator: torch.Generator | None) -> Any:
        """A batch on the host, in the training view with a generator; on any thread."""
        ...

    def features(self, chosen: Chosen, loaded: Any) -> torch.Tensor:
        """Pooled features, shape (n, d), of what was loaded."""
        ...

    def part(self, loaded: Any, places: slice) -> Any:
        """Some samples of what was loaded."""
        ...


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Encoded samples, through the whole network."""

    rows: RowStore
    positions: Chosen
    network: Callable[[Batch], torch.Tensor]
    device: torch.device
    instant: bool = False

    def load(self, chosen: Chosen, generator: torch.Generator | None) -> Batch:
        """Encodes samples."""
        batch = self.rows.encoder.batch(self.rows.rows(self.positions[chosen]), generator)
        return pinned(batch) if self.device.type == "cuda" else batch

    def features(self, chosen: Chosen, loaded: Batch) -> torch.Tensor:
        """Runs the network."""
        return self.network(to_device(loaded, self.device))

    def part(self, loaded: Batch, places: slice) -> Batch:
        """Some of the encoded samples."""
        if isinstance(loaded, dict):
            return {key: value[places] for key, value in loaded.items()}
        return loaded[places]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What crosses a boundary, through the rest of the network."""

    activations: Activations
    boundary: Boundary
    rows: RowStore
    device: torch.device

    @property
    def instant(self) -> bool:
        """In memory already."""
        return self.activations.held

    def load(
        self, chosen: Chosen, generator: torch.Generator | None
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...] | None]:
        """Views, by the draws that encoding would have made, and values; None if lost."""
        encoder = self.rows.encoder
        views = torch.zeros(len(chosen), dtype=torch.int64)
        if generator is not None and isinstance(encoder, FiniteViews):
            views = encoder.choose(len(chosen), generator)
        try:
            return views, self.activations.gather(chosen, views)
        except KeyError:
            return views, None

    def features(
        self, chosen: Chosen, loaded: tuple[torch.Tensor, tuple[torch.Tensor, ...] | None]
    ) -> torch.Tensor:
        """Runs what lies behind the boundary."""
        views, values = loaded
        if values is None:
            values = self.activations.compute(chosen, views)
        return self.boundary.after(
            [
                # In two steps: a copy that changes the type as well is made on the host first.
                value.to(self.device, non_blocking=True).to(dtype)
                for value, dtype in zip(values, self.boundary.dtypes, strict=True)
            ]
        )

    def part(
        self, loaded: tuple[torch.Tensor, tuple[torch.Tensor, ...] | None], places: slice
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...] | None]:
        """Some of the views and values."""
        views, values = loaded
        some = None if values is None else tuple(value[places] for value in values)
        return views[places], some


def ahead(
    feed: Feed, batches: Iterable[tuple[Chosen, torch.Generator | None]]
) -> Iterator[tuple[Chosen, Any]]:
    """Loads each batch while the one before it is in use."""
    if feed.instant:
        for chosen, generator in batches:
            yield chosen, feed.load(chosen, generator)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="feed") as pool:
        waiting: tuple[Chosen, Future[Any]] | None = None
        for chosen, generator in batches:
            coming = (chosen, pool.submit(feed.load, chosen, generator))
            if waiting is not None:
                yield waiting[0], waiting[1].result()
            waiting = coming
        if waiting is not None:
            yield waiting[0], waiting[1].result()
