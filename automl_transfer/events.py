"""The stream of a search. Stages yield events, the search records them, the doors render them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from automl_transfer.configuration import Configuration
from automl_transfer.kinds import Kind
from automl_transfer.outcome import CurvePoint, Outcome
from automl_transfer.recommendation import Interval, Recommendation


@dataclass(frozen=True, kw_only=True)
class SearchStarted:
    """The study is open."""

    study: str
    directory: str
    resumed: int
    """Trials that it already had."""
    spent: float
    """Seconds that earlier sessions have spent of the budget."""
    budget: str
    """For people: ``5m or 20 trials``."""
    command: str
    """The command line that repeats or resumes it."""


@dataclass(frozen=True, kw_only=True)
class StageStarted:
    """``load``, ``screen``, ``heads``, ``tune`` or ``recommend`` begins."""

    stage: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A long step within a stage."""

    what: str
    done: int
    total: int


@dataclass(frozen=True, kw_only=True)
class DataLoaded:
    """The data set is read and split."""

    modality: str
    layout: str
    classes: tuple[str, ...]
    kind: Kind = "single-label"
    counts: Mapping[str, int]
    """Samples in ``train``, ``val``, ``test``."""
    quarantined: int
    metric: str
    metric_reason: str
    split_description: str


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something the user should read."""

    text: str
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True, kw_only=True)
class BackboneExcluded:
    """A row of the *why not* table."""

    backbone: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class BackboneScreened:
    """Frozen features of a backbone are there and have been scored."""

    backbone: str
    score: float
    ranker: str
    seconds: float
    samples: int
    cached: bool
    """All features came from the cache."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """What each ranker says; they agree, or the user should know."""
    verdict: str = ""
    """``kept`` or ``stopped`` and why; empty while it is open."""


@dataclass(frozen=True, kw_only=True)
class StandingRow:
    """A backbone with a ridge head on its frozen features, before any trial."""

    backbone: str
    value: float
    """The study's metric, each sample left out in turn."""
    interval: Interval
    samples: int


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What can be said so far, best first."""

    metric: str
    rows: tuple[StandingRow, ...]


@dataclass(frozen=True, kw_only=True)
class TrialStarted:
    """A configuration is about to be evaluated."""

    number: int
    stage: str
    configuration: Configuration


@dataclass(frozen=True, kw_only=True)
class TrialReported:
    """An epoch of a running trial is over."""

    number: int
    point: CurvePoint
    epochs: int


@dataclass(frozen=True, kw_only=True)
class TrialEnded:
    """A trial is finished, pruned or failed, and stored."""

    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Recommended:
    """The search is over and its answer is stored."""

    recommendation: Recommendation


Event: TypeAlias = (
    SearchStarted
    | StageStarted
    | Progress
    | DataLoaded
    | Note
    | BackboneExcluded
    | BackboneScreened
    | Standing
    | TrialStarted
    | TrialReported
    | TrialEnded
    | Recommended
)
