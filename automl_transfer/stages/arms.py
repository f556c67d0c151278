"""Which backbone and which freeze strategy to try next: expected gain per cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PRIOR_GAIN: Mapping[str, float] = {
    "last-stages": 0.02,
    "full": 0.03,
    "norm-bias": 0.015,
    "lora": 0.02,
    "first-stages": 0.01,
}
"""What a strategy is expected to add to the best frozen head of its backbone, before any trial."""
OTHERS = 0.015
DOUBT = 0.025
"""Standard deviation of that, and of what another trial of a known arm may bring."""
ALPHA = (1.0, 0.3)
"""Power of the cost at the beginning and at the end: cheap arms first, then whatever is best."""
HOPELESS = 0.1
"""Share of the best arm's expected gain per cost that another must have to be tried with it."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A backbone with a strategy."""

    backbone: str
    strategy: str
    cost: float
    """Seconds of the next trial."""
    frozen: float
    """Best value of a frozen head on the backbone."""
    values: tuple[float, ...] = ()
    """Of its trials so far, at whatever length they were left."""
    length: float = 1.0
    """Of the next trial, as a share of what trials have where there is time for them."""

    @property
    def belief(self) -> tuple[float, float]:
        """Mean and standard deviation of the value of another trial."""
        gain = PRIOR_GAIN.get(self.strategy, OTHERS) * math.sqrt(self.length)
        prior = self.frozen + gain
        # The prior counts as one trial: one bad learning rate must not condemn an arm.
        known = (prior, *self.values)
        mean = sum(known) / len(known)
        spread = math.sqrt(sum((value - mean) ** 2 for value in known) / len(known))
        # Its better trials show what it can do with the right hyper-parameters.
        best = max(self.values, default=prior)
        return (best + mean) / 2, max(spread, DOUBT / math.sqrt(len(known)))


def expected_improvement(mean: float, deviation: float, incumbent: float) -> float:
    """Of a normal belief over the incumbent (Jones et al. 1998, J. Global Optim. 13, eq. 15)."""
    if deviation <= 0:
        return max(0.0, mean - incumbent)
    z = (mean - incumbent) / deviation
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    below = (1 + math.erf(z / math.sqrt(2))) / 2
    return deviation * (z * below + density)


def ranked(arms: Sequence[Arm], incumbent: float, spent: float) -> list[Arm]:
    """The arms, the most promising first; those that promise next to nothing are left out.

    Expected improvement over cost to a power that cools as the budget is spent (cost-apportioned
    Bayesian optimisation, Lee et al., arXiv:2003.10870).

    Args:
        arms: To choose from.
        incumbent: Best value so far.
        spent: Share of the time for tuning that is spent, from 0 to 1.
    """
    first, last = ALPHA
    alpha = first + (last - first) * min(1.0, max(0.0, spent))

    def score(arm: Arm) -> float:
        mean, deviation = arm.belief
        gain = expected_improvement(mean, deviation, incumbent)
        return float(gain / max(arm.cost, 1e-6) ** alpha)

    order = sorted(arms, key=lambda arm: (-score(arm), arm.backbone, arm.strategy))
    return [arm for arm in order if score(arm) >= HOPELESS * score(order[0])]
