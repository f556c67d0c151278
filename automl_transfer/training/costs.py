"""What a network costs to use: time, bytes and memory, measured on the device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from automl_transfer.contracts import Batch
from automl_transfer.training.device import autocast, is_out_of_memory, to_device
from automl_transfer.training.inference import BATCH, CPU_BATCH

Forward = Callable[[Batch], torch.Tensor]
Clock = Callable[[], float]

SECONDS, PATIENCE = 0.5, 1.5
"""That passes are timed for; the longer while there are fewer than :data:`FEW`, or while the
device seems to be busy with something else."""
LONGEST = 5.0
"""Seconds after which no further pass is begun, with all that other programs take of them."""
WARM_UP, WARM_UP_SECONDS = 3, 0.25
"""Passes before that, at least one: so many, or for so long."""
FEW, MOST = 9, 300
"""Passes that are timed, but only one of a network that takes :data:`PATIENCE`."""
IN_A_ROW = 3
"""Passes whose median is looked at: one pass alone may be short by a fault of the clock."""
BUSY = 1.3
"""How many times the time of the quietest passes in a row all of them may take, at the median,
before it is taken as a sign of other load."""
HOW = f"median of the quietest {IN_A_ROW} passes in a row, less what other programs took"
"""What a latency is, in words."""
_WAITED = Path("/proc/thread-self/schedstat")
"""Linux: nanoseconds that a thread has run, and that it was ready to but had to wait."""


def undisturbed() -> float:
    """A clock that stands still while other programs have the processor that this thread needs.

    Only where the system tells: on Linux. Where it does not, and for what other threads of this
    process wait, it runs on: so it never makes a network faster than it is.
    """
    try:
        waited = int(_WAITED.read_bytes().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        waited = 0.0
    return time.perf_counter() - waited


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Of a network, in the state in which it is used."""

    latency: float
    """Seconds from a prepared batch of one in main memory to values in main memory."""
    latency_batch: float
    """Likewise for a batch of :attr:`batch`."""
    batch: int
    bytes: int
    """Of parameters and buffers."""
    memory: int
    """Bytes: parameters, buffers, and the activations of a batch of one at their peak."""
    parameters: int


def measure(
    model: nn.Module,
    predictions: Forward,
    make_batch: Callable[[int], Batch],
    device: torch.device,
    *,
    size: int | None = None,
    clock: Clock = undisturbed,
) -> Measured:
    """Measures a model as ``predict`` uses it; it is left on ``device``, in eval mode.

    Args:
        model: The network and its head.
        predictions: What is timed: encoded batch to predictions, by ``model``.
        make_batch: Encodes so many samples, on the CPU.
        device: Where it will be used.
        size: Of the larger batch; that of ``predict`` when None. Halved while memory is short.
        clock: Tells seconds.
    """
    model.to(device).eval()

    many = size or (CPU_BATCH if device.type == "cpu" else BATCH)
    one = make_batch(1)
    single = latency(predictions, one, device, clock=clock)
    while True:
        try:
            several = latency(predictions, make_batch(many), device, clock=clock)
            break
        except Exception as error:
            if many == 1 or not is_out_of_memory(error):
                raise
            many //= 2
    tensors = [*model.parameters(), *model.buffers()]
    stored = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return Measured(
        latency=single,
        latency_batch=several,
        batch=many,
        bytes=stored,
        memory=stored + activations(predictions, one, device),
        parameters=sum(tensor.numel() for tensor in model.parameters()),
    )


def measure_head(
    head: nn.Module,
    width: int,
    device: torch.device,
    batch: int,
    *,
    clock: Clock = undisturbed,
) -> Measured:
    """Measures a head on features of zeros, shape (1, width) and (batch, width)."""
    head.to(device).eval()
    tensors = [*head.parameters(), *head.buffers()]
    stored = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return Measured(
        latency=latency(head, torch.zeros(1, width), device, clock=clock),
        latency_batch=latency(head, torch.zeros(batch, width), device, clock=clock),
        batch=batch,
        bytes=stored,
        # Its activations are there when those of the network are gone.
        memory=stored,
        parameters=sum(tensor.numel() for tensor in head.parameters()),
    )


def plus(network: Measured, head: Measured) -> Measured:
    """A network with a head."""
    return _with(network, head, 1)


def less(network: Measured, head: Measured) -> Measured:
    """A network without the head that it was measured with."""
    return _with(network, head, -1)


def _with(network: Measured, head: Measured, sign: int) -> Measured:
    return Measured(
        latency=max(0.0, network.latency + sign * head.latency),
        latency_batch=max(0.0, network.latency_batch + sign * head.latency_batch),
        batch=network.batch,
        bytes=network.bytes + sign * head.bytes,
        memory=network.memory + sign * head.memory,
        parameters=network.parameters + sign * head.parameters,
    )


def latency(
    forward: Forward, batch: Batch, device: torch.device, *, clock: Clock = undisturbed
) -> float:
    """Seconds of a pass: the way to the device and back is part of it, encoding is not.

    It is the lowest median of :data:`IN_A_ROW` passes in a row, by a clock that leaves out what
    other programs had of the processor (:func:`undisturbed`). What else runs on a machine can only
    add to a time, never take from it (so Python's ``timeit`` recommends the minimum); it comes and
    goes, so that the quietest moment says most of the network itself. On a machine with five times
    as much to do as it has cores, the median time of one network was ten times its own.

    Args:
        forward: A batch on ``device`` to values; its network is there, in eval mode.
        batch: On the CPU.
        device: Where to compute.
        clock: Tells seconds.
    """

    def run() -> float:
        started = clock()
        # As `predict` does it, and not in inference mode: layers that keep something (LeViT its
        # attention biases) would keep a tensor that no later training may touch.
        with torch.no_grad(), autocast(device):
            forward(to_device(batch, device)).float().cpu()  # waits for the device
        return clock() - started

    warm: list[float] = []
    while not warm or (len(warm) < WARM_UP and sum(warm) < WARM_UP_SECONDS):
        warm.append(run())
    times: list[float] = []
    begun = time.perf_counter()
    while not times or (not _enough(times) and time.perf_counter() - begun < LONGEST):
        times.append(run())
    return _quietest(times)


def _enough(times: list[float]) -> bool:
    total = sum(times)
    if total >= PATIENCE or len(times) >= MOST:
        return True
    if total < SECONDS or len(times) < FEW:
        return False
    return statistics.median(times) <= BUSY * _quietest(times)


def _quietest(times: list[float]) -> float:
    last = max(1, len(times) - IN_A_ROW + 1)
    return min(statistics.median(times[place : place + IN_A_ROW]) for place in range(last))


def activations(forward: Forward, batch: Batch, device: torch.device) -> int:
    """Bytes of the activations of a pass at their peak, the batch itself included.

    On CUDA what the allocator says. Elsewhere an estimate: the largest sum of results of
    operations that are alive at once; what an operation needs within itself is not seen.
    """
    inputs = to_device(batch, device)
    held = sum(int(leaf.nbytes) for leaf in tree_leaves(inputs) if isinstance(leaf, torch.Tensor))
    with torch.no_grad(), autocast(device):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            before = int(torch.cuda.memory_allocated(device))
            torch.cuda.reset_peak_memory_stats(device)
            forward(inputs)
            torch.cuda.synchronize(device)
            return held + int(torch.cuda.max_memory_allocated(device)) - before
        alive = _Alive()
        with alive:
            forward(inputs)
    return held + int(alive.peak)


class _Alive(TorchDispatchMode):
    """Notes the bytes of results that are alive after each operation, and the most of them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._sizes: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        given = {self._key(leaf) for leaf in tree_leaves((args, kwargs or {})) if _plain(leaf)}
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            # What an operation hands on, a view of a weight, was there before it.
            if _plain(leaf) and self._key(leaf) not in given:
                storage = leaf.untyped_storage()
                self._sizes[self._key(leaf)] = (_reference(storage), storage.nbytes())
        self._sizes = {
            key: (reference, size)
            for key, (reference, size) in self._sizes.items()
            if not reference.expired()  # type: ignore[no-untyped-call]
        }
        self.peak = max(self.peak, sum(size for _, size in self._sizes.values()))
        return result

    @staticmethod
    def _key(tensor: torch.Tensor) -> int:
        return int(tensor.untyped_storage()._cdata)


def _reference(storage: torch.UntypedStorage) -> StorageWeakRef:
    return StorageWeakRef(storage)  # type: ignore[no-untyped-call]


def _plain(leaf: object) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.layout is torch.strided
