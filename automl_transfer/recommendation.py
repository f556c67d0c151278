"""The answer of a study, as stored in ``recommendation.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automl_transfer.configuration import Configuration

SCHEMA = 1
"""Version of the form of ``recommendation.json``."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class RankedTrial:
    """A row of the ranking."""

    rank: int
    number: int
    stage: str
    configuration: Configuration
    value: float
    """The metric on the validation part, on which the trial was also chosen: optimistic."""
    interval: Interval | None
    """Bootstrap over the validation samples; does not correct for the choice among many."""
    seconds: float
    trainable_parameters: int
    total_parameters: int


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A yardstick, scored on the test part."""

    name: str
    description: str
    value: float


@dataclass(frozen=True, kw_only=True)
class HeldOutScore:
    """The winner on the test part, which the search never saw."""

    value: float
    interval: Interval
    metrics: Mapping[str, float]
    samples: int
    report: Mapping[str, Any]
    """scikit-learn's classification report as a dictionary."""
    report_text: str
    confusion: tuple[tuple[int, ...], ...]
    """Rows: true class; columns: predicted class."""
    openings: int
    """How often the test part of this study has been scored, this time included."""


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """A row of the *why not* table."""

    what: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The ranked answer and what stands behind it."""

    study: str
    schema: int = SCHEMA
    metric: str
    metric_reason: str
    winner: RankedTrial
    refitted: bool
    """True: trained again on train and validation together; False: restored as it was found."""
    refit_reason: str
    test: HeldOutScore
    baselines: tuple[Baseline, ...]
    ranking: tuple[RankedTrial, ...]
    """Finished trials, best first."""
    trials: Mapping[str, int]
    """How many are finished, pruned, failed."""
    why_not: tuple[Exclusion, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    budget: str = ""
    command: str = ""
    model: str = ""
    """Directory of the trained model, relative to the study."""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trials_total(self) -> int:
        """How many trials had ended when it was made."""
        return sum(self.trials.values())
