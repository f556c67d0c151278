"""Where the numbers are crunched, and how a process is prepared for it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

from automl_transfer.contracts import Batch
from automl_transfer.errors import SURROUNDINGS, DataError, UsageError

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_KEEP_BYTES = 1 << 30


def choose_device(wanted: str, option: str = "--device") -> torch.device:
    """The device that ``wanted`` names.

    Args:
        wanted: ``auto`` (CUDA, else Apple's MPS, else the CPU), ``cpu``, ``cuda``, ``cuda:N``,
            ``mps``.
        option: Where the user has named it.

    Raises:
        UsageError: It names none, or one that is not here.
    """
    there = ["cpu"]
    if torch.backends.mps.is_available():
        there.insert(0, "mps")
    if torch.cuda.is_available():
        there = [f"cuda:{index}" for index in range(torch.cuda.device_count())] + there
    if wanted == "auto":
        return torch.device(there[0])
    name = "cuda:0" if wanted == "cuda" else wanted
    if name not in there:
        raise UsageError(
            f"{option} must be auto or one of {', '.join(there)}, but got {wanted!r}."
        )
    return torch.device(name)


def worker_devices(first: torch.device, count: int) -> list[str]:
    """Where so many processes train: on a CUDA device each, in turn, else all on the same.

    Args:
        first: Where the first one does.
        count: How many there are.
    """
    if first.type != "cuda":
        return [str(first)] * count
    there = torch.cuda.device_count()
    return [f"cuda:{((first.index or 0) + place) % there}" for place in range(count)]


def prepare_process(device: torch.device, threads: int | None = None) -> None:
    """Sets threads and the allocator of this process for training on ``device``.

    Args:
        device: Where it will train.
        threads: Of the CPU; as many as there are cores when None, unless the user has said it
            with ``OMP_NUM_THREADS``.
    """
    if threads is not None or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads or usable_cores())
    if device.type == "cpu":
        _keep_freed_memory()
    elif device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True


@contextlib.contextmanager
def sharing_cores(processes: int) -> Iterator[None]:
    """Within the block this process uses its share of the cores."""
    if processes < 2:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before // processes))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def give_back_memory(device: torch.device) -> None:
    """Leaves memory of a GPU that this process holds on to, but does not use, to others."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def give_back_freed() -> None:
    """Gives freed main memory back to the system, which :func:`prepare_process` keeps from it.

    Between two steps of a search that have little in common: what the first has left behind, in
    pieces among what is still in use, would be added to what the next one takes. It costs some
    hundredths of a second.
    """
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def _keep_freed_memory() -> None:
    # glibc gives blocks over 128 KiB back to the kernel at once; the next layer's activations are
    # then page-faulted in again. Kept, a network trains 1.2 to 1.6 and predicts 1.3 to 2.1 times
    # as fast (benchmarks/allocator.md).
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        # Arenas of other threads ignore both, and fine-tunes run in a thread of their own: there
        # a step took 1.2 to 1.3 times as long.
        libc.mallopt(_M_ARENA_MAX, 1)


def _glibc() -> ctypes.CDLL | None:
    """The C library, where it is GNU's."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        return None
    try:
        return ctypes.CDLL("libc.so.6")
    except OSError:
        return None


def describe(device: torch.device) -> str:
    """The device in words, for people and records."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} (CUDA {torch.version.cuda})"
    return f"{device.type} ({platform.machine()}, {torch.get_num_threads()} threads)"


def autocast(device: torch.device) -> AbstractContextManager[object]:
    """Mixed precision on CUDA: bfloat16 where the chip has it, else float16."""
    if device.type != "cuda":
        return contextlib.nullcontext()
    kind = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.autocast("cuda", dtype=kind)


def needs_scaler(device: torch.device) -> bool:
    """Whether gradients must be scaled: float16 is too coarse for small ones."""
    return device.type == "cuda" and not torch.cuda.is_bf16_supported()


def to_device(batch: Batch, device: torch.device) -> Batch:
    """A batch, or a dictionary of them, on ``device``; four axes become channels-last."""
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    # In two steps: a copy that changes the layout as well would wait for the device.
    return laid_out(batch.to(device, non_blocking=True))


def laid_out(batch: Batch) -> Batch:
    """A batch, or a dictionary of them, with four axes as channels-last."""
    if isinstance(batch, dict):
        return {key: laid_out(value) for key, value in batch.items()}
    return batch.contiguous(memory_format=torch.channels_last) if batch.dim() == 4 else batch


def pinned(batch: Batch) -> Batch:
    """A batch, or a dictionary of them, in memory from which it is copied without waiting."""
    if isinstance(batch, dict):
        return {key: pinned(value) for key, value in batch.items()}
    return batch.pin_memory()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory, of the device or the host, ran out."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text
        or "not enough memory" in text
        or "can't allocate memory" in text
        or "_status_alloc_failed" in text  # cuBLAS and cuDNN
    )


def is_of_the_machine(error: BaseException) -> bool:
    """Whether an exception says that something is wrong with this process or its machine, whatever
    it is at: a disk that is full or cannot be written, data that are not there, a device that
    answers no more."""
    if isinstance(error, OSError):
        return error.errno in SURROUNDINGS
    if isinstance(error, DataError):
        return True  # where the search runs, they could be read
    # After such an error nothing works any more in this process.
    return isinstance(error, RuntimeError) and "cuda error" in str(error).lower()
