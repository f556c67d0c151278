"""Passes of many samples through a network, batch by batch.

While the network computes, threads prepare the batches that follow.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from automl_transfer.contracts import Batch
from automl_transfer.errors import OutOfMemoryError
from automl_transfer.training.batch_sizes import BatchSizes
from automl_transfer.training.device import (
    is_out_of_memory,
    laid_out,
    pinned,
    to_device,
    usable_cores,
)
from automl_transfer.training.rows import RowStore

_MOST_WORKERS = 8


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """A batch that is being prepared."""

    start: int
    positions: NDArray[np.int64]
    batch: Future[Batch]


def passes(
    forward: Callable[[Batch], torch.Tensor],
    rows: RowStore,
    positions: NDArray[np.int64],
    device: torch.device,
    sizes: BatchSizes | None = None,
) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """What a network makes of the plain view of samples, batch by batch in their order.

    Args:
        forward: A batch on ``device`` to a tensor whose first axis is the sample.
        rows: The samples.
        positions: Which of them, shape (n,).
        device: Where the network is.
        sizes: Decides how many at once.

    Yields:
        Positions of a batch, and its values in main memory.

    Raises:
        OutOfMemoryError: Not even one sample fits into memory.
    """
    sizes = sizes or BatchSizes(device)
    # A GPU is given a batch before its last answer is there; the CPU computes where it is asked,
    # and one more thread has time enough.
    depth = 1 if device.type == "cuda" else 0
    workers = min(_MOST_WORKERS, usable_cores()) if device.type == "cuda" else 1
    coming: deque[_Prepared] = deque()
    flying: deque[_Answer] = deque()
    clock = _Clock()
    begun = 0
    with _pool(workers) as pool:
        while begun < len(positions) or coming:
            while begun < len(positions) and len(coming) <= workers:
                stop = begun + sizes.next(len(positions) - begun)
                chosen = positions[begun:stop]
                batch = pool.submit(_prepare, rows, chosen, device)
                coming.append(_Prepared(start=begun, positions=chosen, batch=batch))
                begun = stop
            now = coming.popleft()
            answer = _ask(forward, now, device)
            if answer is None:
                # What is prepared for later is as large: all of it is made again, in halves.
                sizes.too_large(len(now.positions))
                for prepared in coming:
                    prepared.batch.cancel()
                coming.clear()
                begun = now.start
                continue
            flying.append(answer)
            depth = 0 if begun == len(positions) and not coming else depth
            while len(flying) > depth:
                first = flying.popleft()
                values = first.get()
                sizes.took(len(first.positions), clock.since(first.begun))
                yield first.positions, values


def _ask(
    forward: Callable[[Batch], torch.Tensor], prepared: _Prepared, device: torch.device
) -> _Answer | None:
    """Sets the network to work on a batch; None if memory runs out."""
    try:
        batch = prepared.batch.result()
        begun = time.perf_counter()
        return _Answer(forward(to_device(batch, device)), prepared.positions, begun)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if len(prepared.positions) == 1:
            raise OutOfMemoryError(
                f"One sample must fit into memory, but does not: {error}"
            ) from error
    # Out here the error no longer holds the tensors of the pass.
    if device.type == "cuda":
        torch.cuda.empty_cache()
    return None


class _Answer:
    """Values on their way to main memory."""

    def __init__(self, values: torch.Tensor, positions: NDArray[np.int64], begun: float) -> None:
        self.positions = positions
        self.begun = begun
        self._there: torch.cuda.Event | None = None
        if values.device.type == "cuda":
            self._values = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self._values.copy_(values, non_blocking=True)
            self._there = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._there.record()
        else:
            self._values = values.cpu()

    def get(self) -> NDArray[Any]:
        """Waits until they are there."""
        if self._there is not None:
            self._there.synchronize()
        found: NDArray[Any] = self._values.numpy()
        return found


class _Clock:
    """Seconds from one answer to the next."""

    def __init__(self) -> None:
        self._last = 0.0

    def since(self, begun: float) -> float:
        """Since a batch was begun, or since the answer before it, whichever is later."""
        now = time.perf_counter()
        seconds, self._last = now - max(begun, self._last), now
        return seconds


def _prepare(rows: RowStore, positions: NDArray[np.int64], device: torch.device) -> Batch:
    batch = rows.encoder.batch(rows.rows(positions))
    return pinned(batch) if device.type == "cuda" else laid_out(batch)


@contextmanager
def _pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prepare")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
