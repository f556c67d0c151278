"""How long a fine-tuning trial will take: measured where it was, else derived from a pass."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from automl_transfer.configuration import Configuration
from automl_transfer.contracts import FiniteViews
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.frozen_features import feature_key

if TYPE_CHECKING:
    from automl_transfer.plan import FreezePlan

BACKWARD = 2.5
"""A backward pass, in forward passes (measured 1.9 to 3.5)."""
BEGIN = 1.0
"""Seconds to build a network, fit its head and prove its freeze."""
SURE = 1.65
"""Standard deviations of margin: 95 % of a normal distribution on one side."""
UNMEASURED, MEASURED = 0.25, 0.1
"""Standard deviation of the logarithm of actual over predicted time, to begin with."""
TAPPED = 0.7
"""Of the plain view, activations that are there when a backbone has been screened."""
WEIGHT = 0.4
"""Of a new trial in the running mean and deviation of that logarithm."""


@dataclass
class _Drift:
    mean: float = 0.0
    deviation: float = MEASURED


@dataclass(frozen=True, kw_only=True)
class Reach:
    """Which part of a network a plan trains."""

    share: float
    """Of a pass, from the first stage that trains to the end."""
    first: str
    """The first stage that trains."""
    kept: bool
    """What crosses the border before it can be computed once."""
    views: int


class Forecast:
    """Predicts, and learns from what things took."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._drift: dict[tuple[str, str], _Drift] = {}
        self._filled: set[tuple[str, str, int]] = set()

    def step(self, configuration: Configuration) -> float:
        """Seconds of one step of the optimiser."""
        measured = self._context.speeds.get("step", *self._what(configuration))
        if measured is not None:
            return measured
        candidate = self._context.candidates[configuration.backbone]
        reach = self.reach(configuration)
        before = 0.0 if reach.kept else 1 - reach.share
        passes = before + (1 + BACKWARD) * reach.share
        # The pass was measured while nothing else ran on the device.
        crowd = 1 if self._context.workers is None else self._context.workers.sharing
        return _batch(configuration) * candidate.forward_seconds * passes * crowd

    def seconds(self, configuration: Configuration, to: int, start: int = 0) -> float:
        """Expected seconds of a trial from one rung to another, its beginning included."""
        steps = _steps(to, start) * self.step(configuration)
        return (steps + self._passes(configuration)) * math.exp(self._of(configuration).mean)

    def _passes(self, configuration: Configuration) -> float:
        """Seconds of what is not a step: the beginning, frozen passes, the evaluation."""
        context = self._context
        candidate = context.candidates[configuration.backbone]
        reach = self.reach(configuration)
        train, val = len(context.splits.train), len(context.splits.val)
        samples = val * reach.share if reach.kept else float(val)
        if reach.kept and (configuration.backbone, reach.first, reach.views) not in self._filled:
            samples += train * reach.views + val
            if (configuration.backbone, reach.first) in context.tapped:
                samples -= TAPPED * (train + val)
        return BEGIN + samples * candidate.forward_seconds

    def safe(self, configuration: Configuration, to: int, start: int = 0) -> float:
        """Seconds that are enough nineteen times in twenty."""
        drift = self._of(configuration)
        measured = self._context.speeds.get("step", *self._what(configuration)) is not None
        deviation = max(drift.deviation, MEASURED if measured else UNMEASURED)
        # A frozen pass was measured while features were computed; only the steps are unknown.
        steps = _steps(to, start) * self.step(configuration) * math.exp(SURE * deviation)
        passes = self._passes(configuration) * math.exp(SURE * drift.deviation)
        return (steps + passes) * math.exp(drift.mean)

    def learn(
        self, configuration: Configuration, predicted: float, actual: float, step: float | None
    ) -> None:
        """Takes in what a part of a trial took.

        Args:
            configuration: Of the trial.
            predicted: Of :meth:`seconds`, before.
            actual: Seconds.
            step: Median seconds of a step, if it was measured.
        """
        reach = self.reach(configuration)
        if reach.kept:
            self._filled.add((configuration.backbone, reach.first, reach.views))
        known = self._context.speeds.get("step", *self._what(configuration)) is not None
        if step is not None:
            self._context.speeds.put(step, "step", *self._what(configuration))
        if predicted > 0 and actual > 0 and known:
            drift = self._of(configuration)
            off = math.log(actual / predicted)
            drift.deviation = math.sqrt(
                (1 - WEIGHT) * drift.deviation**2 + WEIGHT * min(off, 1.0) ** 2
            )
            drift.mean += WEIGHT * max(-1.0, min(1.0, off))

    def reach(self, configuration: Configuration) -> Reach:
        """What the plan of a configuration trains; of a plan that cannot be made, everything."""
        candidate = self._context.candidates[configuration.backbone]
        names = [view.name for view in candidate.views]
        try:
            trains = _trained(self._plan(candidate, configuration))
        except (Exception, SystemExit):  # a plugin's bug: the trial itself will say so
            trains = set(names)
        first = next((place for place, name in enumerate(names) if name in trains), 0)
        views = self._views(candidate, configuration)
        each = candidate.stage_seconds or dict.fromkeys(names, 1.0)
        return Reach(
            share=sum(each[name] for name in names[first:]) / max(1e-9, sum(each.values())),
            first=names[first] if names else "",
            kept=first > 0 and views > 0,
            views=max(1, views),
        )

    def _plan(self, candidate: Candidate, configuration: Configuration) -> FreezePlan:
        registry = self._context.registry
        made: FreezePlan = registry.load(self._context.strategy(configuration.strategy))(
            stages=candidate.views, params=configuration.of("strategy", configuration.strategy)
        )
        return made

    def _views(self, candidate: Candidate, configuration: Configuration) -> int:
        params = configuration.of("modality", self._context.task.modality)
        encoder = self._context.encoder(candidate.card, params)
        return encoder.views if isinstance(encoder, FiniteViews) else 0

    def _what(self, configuration: Configuration) -> tuple[object, ...]:
        candidate = self._context.candidates[configuration.backbone]
        encoder = self._context.encoder(candidate.card)
        key = feature_key(self._context, candidate.card, candidate.weights, encoder).digest
        reach = self.reach(configuration)
        strategy = configuration.strategy
        return (key, strategy, reach.first, reach.kept, _batch(configuration))

    def _of(self, configuration: Configuration) -> _Drift:
        key = (configuration.backbone, configuration.strategy)
        return self._drift.setdefault(key, _Drift())


def together(seconds: Sequence[float], lanes: int) -> float:
    """How long trials take that are begun in this order, each in the first lane that is free.

    Args:
        seconds: Of each.
        lanes: Trials at once.
    """
    free = [0.0] * lanes
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def _steps(to: int, start: int) -> int:
    """A promoted trial goes on from before the decay of the rung that it is at."""
    from automl_transfer.training.schedule import decay_start

    return to - (decay_start(start) if start else 0)


def _trained(plan: FreezePlan) -> set[str]:
    phases: list[Mapping[str, float]] = [phase.trains for phase in plan.phases]
    return {name for trains in phases for name in trains}


def _batch(configuration: Configuration) -> int:
    return int(configuration.params.get("training/batch_size", 32))
