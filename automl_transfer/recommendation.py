"""The answer of a study, as stored in ``recommendation.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from automl_transfer.configuration import Configuration
from automl_transfer.kinds import Kind

SCHEMA = 2
"""Version of the form of ``recommendation.json``. It grows by fields with defaults, so that older
ones stay readable; 2 brought the confirmation, gains, reliability and errors."""


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
    confirmed: float | None = None
    """The metric on samples that no trial had been scored on; of finalists alone."""
    seconds: float
    trainable_parameters: int
    total_parameters: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a trained configuration costs, as measured on this device."""

    latency: float
    """Seconds for a batch of one, from a prepared input to probabilities."""
    latency_batch: float
    """Seconds for a batch of :attr:`batch`; that divided by this is the throughput."""
    batch: int
    """As many samples as ``predict`` takes at once on this device, or as fit into it."""
    bytes: int
    """Of its parameters and buffers, as stored."""
    memory: int
    """Bytes: its parameters and buffers, and the activations of a batch of one at their peak."""
    parameters: int
    training: float
    """Seconds that its trial took; the frozen features that it started from not counted."""
    device: str
    statistic: str = "median"
    """Which passes the latencies are of."""

    @property
    def throughput(self) -> float:
        """Samples a second, in batches of :attr:`batch`; 0 where that was not timed."""
        return self.batch / self.latency_batch if self.latency_batch > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A configuration that was trained again on fresh folds, with fresh seeds."""

    number: int
    """Of its trial."""
    configuration: Configuration
    selected_on: float
    """The metric on the validation part, on which it was chosen: optimistic."""
    value: float
    """The metric on samples that no trial had been scored on."""
    interval: Interval
    p_best: float
    """Share of the joint resamples in which it is the best of the finalists."""
    behind: Interval | None
    """How far behind the best finalist, paired by sample, simultaneous over all finalists (95 %
    together); None for the best itself."""
    tied: bool
    """Whether the interval holds 0: no difference is shown."""
    cost: Cost | None


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """The finalists side by side, and how one was chosen."""

    finalists: tuple[Finalist, ...]
    """Best value first."""
    winner: int
    """Number of the finalist that is recommended."""
    samples: int
    """Different samples that they were scored on."""
    folds: int
    """Of those into which the development part was divided, how many were gone through."""
    repeats: int
    """How often each of the samples was predicted, each time by new folds."""
    minimum_detectable: float | None
    """Least true difference between two finalists that these samples would show with a power of
    .8; in units of the metric. None where no two predictions differ."""
    prefer: str
    """What decides within the tie group: ``accuracy``, ``latency``, ``size``, ``memory`` or
    ``training-time``."""
    reason: str
    """Why the winner, in words that the statistics allow."""


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """An average of finalists (Caruana et al., 2004). It is told, and is never the answer."""

    members: Mapping[int, float]
    """Number of a finalist's trial to its weight; the weights add up to 1."""
    value: float
    """The metric on the finalists' samples, by weights that were chosen on others."""
    lead: Interval
    """Its score less the winner's, paired by sample."""
    latency: float | None
    """Seconds for a batch of one, all members; None where a cost was not measured."""
    bytes: int | None


DEFAULT_FINE_TUNE, FROM_SCRATCH = "plain default fine-tune", "winner from scratch"
"""Names of baselines that the gains of searching and of transfer are told by."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A yardstick, scored as the winner is: on the test part, or by cross-validation."""

    name: str
    description: str
    value: float | None
    """None: it was not run; the description says why."""
    gain: Interval | None = None
    """The winner's score less this one, paired by sample; None where the predictions are not
    paired."""


@dataclass(frozen=True, kw_only=True)
class ReliabilityBin:
    """Predictions of similar confidence (Guo et al., 2017, section 2)."""

    confidence: float
    """Mean largest probability."""
    accuracy: float
    """Share that is right."""
    count: int


@dataclass(frozen=True, kw_only=True)
class ConfidentError:
    """A sample that the winner gets wrong, and how sure it was."""

    source: str
    """As in the manifest."""
    true: int
    predicted: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Miss:
    """A sample about whose labels or number the winner is far off."""

    source: str
    """As in the manifest."""
    true: str
    predicted: str
    off: float
    """Of a number, what was predicted less what is true; of a label, the probability of what is
    not true."""


@dataclass(frozen=True, kw_only=True)
class HeldOutScore:
    """The winner on samples that the search never saw, or, where there is no test part, by
    cross-validation, with a correction for the choice."""

    source: str = "test"
    """``test``; ``cross-validation``; or ``validation``, the part on which it was chosen, where
    there was no time for fresh folds."""
    method: str = ""
    """How it was made, in words."""
    value: float
    interval: Interval
    metrics: Mapping[str, float]
    samples: int
    report: Mapping[str, Any] = field(default_factory=dict)
    """scikit-learn's classification report as a dictionary; of numbers there is none."""
    report_text: str = ""
    confusion: tuple[tuple[int, ...], ...] = ()
    """Rows: true class; columns: predicted class. Of classes only."""
    openings: int
    """How often the test part of this study has been scored, this time included."""
    gain: float | None = None
    """What :attr:`value` holds since the delivered model has learnt from more samples than those
    of the folds; negative where it has learnt from less, None where that was not measured."""
    reliability: tuple[ReliabilityBin, ...] = ()
    """From the least confident to the most; of labels, all pairs of a sample and a label."""
    errors: tuple[ConfidentError, ...] = ()
    """Of classes, the most confident ones first."""
    misses: tuple[Miss, ...] = ()
    """Of labels and numbers, those that are furthest off first."""
    points: tuple[tuple[float, float], ...] = ()
    """Of numbers: what is true, and what was predicted; of some samples, if there are many."""


@dataclass(frozen=True, kw_only=True)
class LearningPoint:
    """The score of a model that learnt from so many samples."""

    samples: int
    value: float
    interval: Interval
    """Over the samples that were scored and the subsets that were drawn."""
    draws: int
    """Subsets of that size."""


@dataclass(frozen=True, kw_only=True)
class LabelGain:
    """What more labels would add, by the curve carried on."""

    factor: float
    """Times the labels that there are."""
    samples: int
    gain: float
    """In units of the metric; never negative."""
    interval: Interval
    """Low at 0: it may be nothing."""


@dataclass(frozen=True, kw_only=True)
class ClassGain:
    """What twice the labels, of all classes alike, would add to the recall of one class."""

    label: int
    """Its index."""
    samples: int
    """Labels of it that there are."""
    recall: float
    gain: float
    interval: Interval


@dataclass(frozen=True, kw_only=True)
class SizeGain:
    """What the largest of the backbones that were screened had on the smallest."""

    smaller: str
    larger: str
    smaller_parameters: int
    larger_parameters: int
    times: float
    """The larger one's size in units of the smaller one's."""
    unit: str
    """What size means: ``operations`` of a pass, or ``parameters`` where those are not known."""
    smaller_value: float
    larger_value: float
    gain: float
    """The larger one's metric less the smaller one's: the same head, the same samples."""
    interval: Interval
    """From both intervals as if the samples were not the same: wider than it need be."""
    samples: int


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """What would more labels buy, and what did a larger backbone?"""

    backbone: str
    """Whose frozen features, with a ridge head."""
    method: str
    """How the points were made, in words."""
    samples: int
    """Labels that there are to learn from."""
    points: tuple[LearningPoint, ...]
    """Smallest first."""
    forecasts: tuple[LabelGain, ...]
    """Over the score with all of :attr:`samples`."""
    classes: tuple[ClassGain, ...] = ()
    """The largest gain first."""
    larger: SizeGain | None = None
    """None: backbones of one size only were screened."""


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
    kind: Kind = "single-label"
    """What is predicted: classes, labels or numbers."""
    metric: str
    metric_reason: str
    winner: RankedTrial
    refitted: bool
    """True: trained again on train and validation together; False: restored as it was found."""
    refit_reason: str
    test: HeldOutScore
    baselines: tuple[Baseline, ...]
    ranking: tuple[RankedTrial, ...]
    """Finished trials: the winner, the other finalists by what was confirmed, then all others by
    their value on the validation part."""
    trials: Mapping[str, int]
    """How many are finished, pruned, failed."""
    confirmation: Confirmation | None = None
    """None: there was no time for it; a note says so."""
    cost: Cost | None = None
    """Of the winner; None: there was no time to measure it."""
    ensemble: Ensemble | None = None
    """None: no average of finalists does better than a single one where its weights are chosen."""
    learning: LearningCurve | None = None
    """None: there was no time for it, or too few samples; a note says so."""
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
