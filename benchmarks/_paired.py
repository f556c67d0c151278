"""Statistics of two systems that answered for the same test samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Diffs = list[NDArray[np.float64]]
"""For each seed, per test sample: right (1) or wrong (0) of one system less that of another."""

RESAMPLES = 4000


def resample(parts: Diffs, generator: np.random.Generator, seeds_too: bool) -> float:
    """One bootstrap draw of the mean over seeds of the mean over samples."""
    if seeds_too:
        parts = [parts[place] for place in generator.integers(len(parts), size=len(parts))]
    return float(np.mean([generator.choice(part, len(part)).mean() for part in parts]))


def interval(draw: Callable[[np.random.Generator], float]) -> tuple[float, float]:
    """The 95 % percentile interval of what ``draw`` draws."""
    generator = np.random.default_rng(0)
    values = [draw(generator) for _ in range(RESAMPLES)]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def gained(parts: Diffs) -> str:
    """The mean over parts of the mean over samples in points, with its 95 % interval over samples
    drawn again."""
    low, high = interval(lambda generator: resample(parts, generator, seeds_too=False))
    mean = np.mean([values.mean() for values in parts])
    return f"{100 * mean:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def sign_test(parts: Diffs) -> float:
    """Two-sided exact McNemar test over all samples on which the two differ."""
    from scipy.stats import binomtest

    pooled = np.concatenate(parts)
    wins, losses = int((pooled > 0).sum()), int((pooled < 0).sum())
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """p values after Holm's correction (Holm 1979), in the given order."""
    order = np.argsort(values)
    corrected = np.empty(len(values))
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, values[place] * (len(values) - rank)))
        corrected[place] = highest
    return corrected.tolist()
