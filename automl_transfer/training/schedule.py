"""The learning rate over the steps of a training, and over the rungs of a trial."""

from __future__ import annotations

import math
from collections.abc import Sequence

from automl_transfer.plan import FreezePlan

WARM_UP = 0.1
DECAY = 0.3
LEAST = 0.02
"""Of the learning rate, at the end of the decay."""


def factor(step: int, steps: int, *, warm: int | None = None, start: int = 0) -> float:
    """Multiplier at ``step`` of ``steps``: linear warm-up, constant, linear decay at the end.

    Unlike a cosine over the whole run, the value before the decay does not depend on how long the
    run will be: a training of any length begins as all others do, and one that has ended is
    extended from where its decay began (warm-up, stable, decay; arXiv:2404.06395).

    Args:
        step: From 0.
        steps: At which the decay ends.
        warm: Steps of the warm-up; a share of :data:`WARM_UP` of ``steps`` when None.
        start: Step at which the warm-up begins.
    """
    rise = max(1, math.ceil(steps * WARM_UP)) if warm is None else warm
    begin = decay_start(steps)
    fall = max(LEAST, (steps - step) / (steps - begin)) if step >= begin else 1.0
    return min(1.0, (step - start + 1) / rise, fall)


def decay_start(steps: int) -> int:
    """The step at which the decay of a training of ``steps`` begins."""
    return steps - max(1, math.floor(steps * DECAY))


def phase_ends(plan: FreezePlan, steps: int) -> tuple[int, ...]:
    """The step at which each phase ends: by share, one at least where stages train.

    The last end is ``steps``, or the number of such phases if that is more.
    """
    training = [place for place, phase in enumerate(plan.phases) if phase.trains]
    total = max(steps, len(training))
    share = 0.0
    last = 0
    ends = []
    for place, phase in enumerate(plan.phases):
        if phase.trains:
            share += phase.share
            after = sum(other > place for other in training)
            last = min(max(last + 1, round(share * total)), total - after)
        ends.append(last)
    return tuple(ends)


def epoch_ends(epochs: Sequence[int], steps_per_epoch: int) -> tuple[int, ...]:
    """The step at which each phase ends, from the epochs of each."""
    ends = []
    last = 0
    for count in epochs:
        last += count * steps_per_epoch
        ends.append(last)
    return tuple(ends)
