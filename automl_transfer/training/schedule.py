"""The learning rate over the steps of a training."""

from __future__ import annotations

import math

WARM_UP = 0.1
DECAY = 0.3


def factor(step: int, steps: int) -> float:
    """Multiplier at ``step`` of ``steps``: linear warm-up, constant, linear decay at the end.

    Unlike a cosine over the whole run, the value at an early epoch does not depend on how long
    the run would have been, so that curves can be compared while they grow (warm-up, stable,
    decay; arXiv:2404.06395).
    """
    warm = max(1, math.ceil(steps * WARM_UP))
    fall = max(1, math.floor(steps * DECAY))
    if step < warm:
        return (step + 1) / warm
    if step >= steps - fall:
        return max(0.02, (steps - step) / fall)
    return 1.0
