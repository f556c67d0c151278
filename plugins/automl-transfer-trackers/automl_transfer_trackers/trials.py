"""What trackers are told of a trial."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from automl_transfer.configuration import Configuration
from automl_transfer.outcome import CurvePoint, Outcome, State
from automl_transfer.space import Scalar

Origin = Literal["new", "again", "continued"]
"""How a trial comes to begin: for the first time; from its beginning, since the session that began
it was interrupted; or from where that session left it."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A configuration under its number."""

    number: int
    stage: str
    configuration: Configuration

    @property
    def title(self) -> str:
        """``7: toy/small + linear, frozen``, for people."""
        return f"{self.number}: {self.configuration.title}"

    @property
    def settings(self) -> dict[str, Scalar]:
        """The backbone, head and freeze strategy, then the hyper-parameters."""
        chosen = self.configuration
        return {
            "backbone": chosen.backbone,
            "head": chosen.head,
            "strategy": chosen.strategy,
            **chosen.params,
        }


@dataclass(frozen=True, kw_only=True)
class Point:
    """A place on the curve of a trial."""

    epoch: int
    step: int
    """Steps of the optimiser; 0 where only a head trained."""
    values: Mapping[str, float]
    """Finite ones, by names like ``validation/accuracy`` and ``train/loss``."""

    @property
    def x(self) -> int:
        """Steps where there are any, or else epochs."""
        return self.step or self.epoch


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What came of a trial."""

    state: State
    reason: str | None
    at: Point | None
    """The last point of its curve."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Finite ones, by names like ``final/accuracy``."""


def point_of(point: CurvePoint, metric: str) -> Point:
    """A point of the host, with its values by name."""
    return Point(
        epoch=point.epoch,
        step=point.step,
        values=finite({f"validation/{metric}": point.value, "train/loss": point.loss}),
    )


def ending_of(outcome: Outcome, metric: str) -> Ending:
    """The end of a trial, with its last values by name."""
    values = dict(outcome.metrics)
    if outcome.value is not None:
        values.setdefault(metric, outcome.value)
    values["seconds"] = outcome.seconds
    if outcome.proof is not None:
        values["trainable_parameters"] = outcome.proof.trainable_parameters
    return Ending(
        state=outcome.state,
        reason=outcome.reason,
        at=point_of(outcome.curve[-1], metric) if outcome.curve else None,
        values=finite({f"final/{name}": value for name, value in values.items()}),
    )


def finite(values: Mapping[str, float]) -> dict[str, float]:
    """Those that can be drawn."""
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}
