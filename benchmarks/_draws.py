"""Drawing samples, parts and folds for benchmarks that resample a data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]
LEAST = 4
"""Samples of each class in a draw."""


def draw(labels: Places, size: int, generator: np.random.Generator) -> tuple[Places, Places]:
    """``size`` samples without replacement, and the rest; again if a class has too few."""
    while True:
        order = generator.permutation(len(labels))
        drawn = order[:size]
        if np.bincount(labels[drawn], minlength=labels.max() + 1).min() >= LEAST:
            return drawn, order[size:]


def held_out(labels: Places, share: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """A stratified part, with at least one sample of each class and not all of one."""
    found = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels == label))
        wanted = share * len(own)
        count = int(wanted) + int(generator.random() < wanted % 1)
        found[own[: min(max(count, 1), len(own) - 1)]] = True
    return found


def folds(labels: Places, count: int, generator: np.random.Generator) -> Places:
    """A fold for each sample, shape (n,); each class is dealt out evenly."""
    found = np.empty(len(labels), dtype=np.int64)
    dealt = 0
    for label in np.unique(labels):
        own = generator.permutation(np.flatnonzero(labels == label))
        found[own] = (dealt + np.arange(len(own))) % count
        dealt += len(own)
    return found
