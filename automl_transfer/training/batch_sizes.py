"""How many samples go through the network at once: found while the work is done."""

from __future__ import annotations

import math

import torch

CPU_SIZES = (8, 16, 32)
"""All are tried. Their features are equal to the bit, so that time never decides a result."""
DEVICE_SIZES = (64, 128, 256, 512, 1024)
"""The next is tried as long as it pays."""
_BATCHES = {"cpu": 2, "cuda": 3}
"""Of each size that are timed; the first of a size is slower and does not count."""
_SHARE = 8
"""A size is tried only if this many of its batches are left: else there is nothing to gain."""
_WORTH = 1.03
"""How much faster, per sample, a larger size must be."""


class BatchSizes:
    """Hands out sizes, learns from how long they took, and halves them when memory runs out."""

    def __init__(self, device: torch.device, fixed: int | None = None) -> None:
        """Starts with the smallest size.

        Args:
            device: Where the network is.
            fixed: This size from the beginning; None: find one.
        """
        sizes = CPU_SIZES if device.type == "cpu" else DEVICE_SIZES
        self._sizes = list(sizes) if fixed is None else [fixed]
        self._patient = device.type == "cpu"
        self._batches = _BATCHES.get(device.type, _BATCHES["cuda"])
        self._place = self._handed = 0
        self._seen: set[int] = set()
        self._seconds: dict[int, float] = {}
        self._trying = len(self._sizes) > 1

    def next(self, left: int) -> int:
        """The size of the next batch, when ``left`` samples are to be done."""
        # Batches are asked for before those in front of them are timed.
        timed = self._patient or self._sizes[self._place] in self._seconds
        if self._trying and self._handed >= self._batches and timed:
            following = self._place + 1
            self._trying = (
                following < len(self._sizes)
                and left >= _SHARE * self._sizes[following]
                and (self._patient or self._pays())
            )
            if self._trying:
                self._place, self._handed = following, 0
        if not self._trying:
            # Again each time, as the last times come in.
            self._place = self._best()
        self._handed += 1
        return min(left, self._sizes[self._place])

    def took(self, size: int, seconds: float) -> None:
        """Notes the time of a batch of ``size`` samples."""
        if size in self._seen:
            each = seconds / size
            self._seconds[size] = min(each, self._seconds.get(size, each))
        self._seen.add(size)

    def too_large(self, size: int) -> None:
        """Notes that a batch of ``size`` samples did not fit into memory."""
        self._sizes = [each for each in self._sizes if each < size] or [max(1, size // 2)]
        self._seconds = {
            each: self._seconds[each] for each in self._sizes if each in self._seconds
        }
        self._place = min(self._place, len(self._sizes) - 1)
        self._trying = False

    def _pays(self) -> bool:
        timed = [self._seconds[size] for size in self._sizes if size in self._seconds]
        return len(timed) < 2 or timed[-1] * _WORTH <= timed[-2]

    def _best(self) -> int:
        best, fastest = self._place if not self._seconds else 0, math.inf
        for place, size in enumerate(self._sizes):
            if size in self._seconds and self._seconds[size] * _WORTH <= fastest:
                best, fastest = place, self._seconds[size]
        return best
