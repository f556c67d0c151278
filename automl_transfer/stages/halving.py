"""Which heads of a pack are trained to the end: the worse half of each kind stops three times.

As good heads are left as with half of them stopped half-way, at less than half of the cost
(benchmarks/halving_heads.md).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from automl_transfer.grouping import grouped
from automl_transfer.outcome import CurvePoint
from automl_transfer.stages.head_building import HEAD_EPOCHS

if TYPE_CHECKING:
    from automl_transfer.training.packed import HeadReport

HALVED = (1, 3, 6)
"""Tenths of the epochs after which half of each kind stops."""
LEAST_HALVED = 4
"""Fewer of a kind are all trained to the end."""


def behind(
    reports: Sequence[HeadReport],
    curves: Sequence[Sequence[CurvePoint]],
    kinds: Sequence[Hashable],
) -> list[int]:
    """Runs to stop: those of each kind that are behind where a rung was reached.

    Args:
        reports: Of the runs that go on.
        curves: Of all runs, up to there.
        kinds: Of all runs.
    """

    def reached(report: HeadReport) -> bool:
        curve = curves[report.run]
        before = curve[-2].epoch if len(curve) > 1 else 0
        return any(10 * before < part * report.epochs <= 10 * report.epoch for part in HALVED)

    def value(run: int) -> float:
        last = curves[run][-1].value
        return last if np.isfinite(last) else -np.inf

    runs = [report.run for report in reports if reached(report)]
    stop: list[int] = []
    for those in grouped(runs, lambda run: kinds[run]):
        stop += sorted(those, key=value, reverse=True)[_half(len(those)) :]
    return stop


def epochs_together(heads: int) -> float:
    """Epochs of so many heads of a kind in a pack, all together."""
    total, before = 0.0, 0
    for part in HALVED:
        total += heads * (part - before) / 10
        before = part
        heads = _half(heads)
    return HEAD_EPOCHS * (total + heads * (10 - before) / 10)


def _half(heads: int) -> int:
    """How many of a kind go on."""
    return (heads + 1) // 2 if heads >= LEAST_HALVED else heads
