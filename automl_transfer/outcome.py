"""What came of a trial: one self-contained record, finished, pruned or failed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from automl_transfer.configuration import Configuration
from automl_transfer.plan import FreezePlan

State = Literal["running", "finished", "pruned", "failed"]


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """The state of a trial after an epoch."""

    epoch: int
    value: float
    """The study's metric on the validation part."""
    loss: float
    """Mean training loss of the epoch."""
    seconds: float
    """Since the start of the trial."""
    step: int = 0
    """Steps of the optimiser; 0 where only a head trained."""


@dataclass(frozen=True, kw_only=True)
class FreezeProof:
    """What the host measured of the freeze strategy."""

    trainable_parameters: int
    total_parameters: int
    frozen_tensors: int
    """How many tensors (parameters and buffers) had to stay bit-identical, and did."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One row of the study, enough by itself to show, rank and rebuild the trial."""

    number: int
    """Unique within the study, from 0."""
    stage: str
    """The part of the search that asked for it: ``heads`` or ``tune``."""
    configuration: Configuration
    state: State
    reason: str | None = None
    """Why it was pruned or failed."""
    value: float | None = None
    """The study's metric on the validation part after the last epoch; higher is better."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[CurvePoint, ...] = ()
    epochs: int = 0
    """Epochs that it was allowed; of a finished trial, those that it was trained for."""
    steps: int = 0
    """Likewise in steps of the optimiser, where a backbone trained."""
    seconds: float = 0.0
    started: str = ""
    """UTC, ISO 8601."""
    seed: int = 0
    device: str = ""
    proof: FreezeProof | None = None
    generation: int = 0
    providers: Mapping[str, str] = field(default_factory=dict)
    """Member to the distribution and version that provides it."""
    weights: str | None = None
    """SHA-256 of the pretrained weights."""
    plan: FreezePlan | None = None
    """What trains when; None where only a head trains, and in rows of older versions."""

    @property
    def trained(self) -> int:
        """Parameters that trained; 0 where that was not measured."""
        return self.proof.trainable_parameters if self.proof else 0


class Ended(Protocol):
    """As much of a trial as its place among the others depends on."""

    @property
    def number(self) -> int:
        """See :attr:`Outcome.number`; so too the others."""

    @property
    def state(self) -> State:
        """Whether it finished."""

    @property
    def value(self) -> float | None:
        """On the validation part."""

    @property
    def steps(self) -> int:
        """Of the optimiser."""

    @property
    def trained(self) -> int:
        """How many parameters trained."""


EndedT = TypeVar("EndedT", bound=Ended)


def value_of(outcome: Ended) -> float:
    """Its value; minus infinity where it has none, so that it comes last."""
    return -math.inf if outcome.value is None else outcome.value


def beaten(outcomes: Iterable[EndedT], best: Ended) -> list[EndedT]:
    """Trials that were stopped when they were no better than ``best`` is, best first.

    ``best`` was chosen among them as well as among those that finished. One that was better when
    it was stopped would only have been chosen if it had gone on, so that its value then says
    nothing.
    """
    stopped = (row for row in outcomes if row.state == "pruned" and row.value is not None)
    return sorted(
        (row for row in stopped if value_of(row) <= value_of(best)), key=value_of, reverse=True
    )


def finished(outcomes: Iterable[EndedT]) -> list[EndedT]:
    """Finished trials, best first; ties go to what trains less, and not as long."""
    return sorted(
        (outcome for outcome in outcomes if outcome.state == "finished"),
        key=lambda outcome: (
            -value_of(outcome),
            outcome.trained,
            outcome.steps,
            outcome.number,
        ),
    )
