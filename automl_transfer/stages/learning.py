"""Learning: what would more labels buy, and what did a larger backbone? From kept features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl_transfer.budget import crowding
from automl_transfer.learning_curve import Gain, forecast
from automl_transfer.metrics import best_possible
from automl_transfer.recommendation import (
    ClassGain,
    Interval,
    LabelGain,
    LearningCurve,
    LearningPoint,
)
from automl_transfer.scoring import resampled
from automl_transfer.stages.closing import closing_seconds
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.larger import size_gain
from automl_transfer.target import Targets, totals

if TYPE_CHECKING:
    from automl_transfer.training.curve_points import CurvePoints
    from automl_transfer.training.nested import Look

FACTORS = (2.0, 4.0)
REPEATS = 5
"""Draws of subsets, if the work allows them."""
FEWEST_STEPS = 4
"""Sizes that a curve needs to be carried on."""
FEWEST_SAMPLES = 40
FEWEST_UNITS = 20
FEWEST_OF_A_CLASS = 10
"""Labels of a class whose recall gets a curve of its own."""
MOST_CLASSES = 50
SPEED = 1e10
"""Operations of floating point a second: what a core does, and what work is counted by."""
SHARE = 0.02
"""Of a budget in time that goes into the curve."""
WORK = 3e11
"""Operations without a budget in time, and :data:`MOST_WORK` with any."""
MOST_WORK = 1e12
NO_TIME = "What more labels would buy is not said: no time was left for it."
SLOWER = 1.5
"""It is begun only if so many times its predicted time is left."""


def learning_curve(context: Context) -> LearningCurve | None:
    """The learning curve of the backbone that screening found best, with a ridge head.

    Returns:
        None when there is no time or too little to learn from; a note says so.
    """
    candidate = next(iter(context.candidates.values()))
    development = context.splits.development
    if len(development) < max(FEWEST_SAMPLES, 4 * context.task.target.outputs):
        context.notes.append(
            f"What more labels would buy is not said: {len(development)} samples are too few for "
            "a learning curve."
        )
        return None
    units = len(np.unique(context.splits.units[development]))
    if units < FEWEST_UNITS:
        context.notes.append(
            f"What more labels would buy is not said: the samples are of {units} groups only."
        )
        return None
    if context.watch.left - closing_seconds() < SLOWER * learning_seconds(context):
        context.notes.append(NO_TIME)
        return None
    found = _looks(context, candidate, development)
    if found is None:
        context.notes.append(NO_TIME)
        return None
    if len({look.step for look in found}) < FEWEST_STEPS:
        context.notes.append(
            "What more labels would buy is not said: a learning curve takes longer than "
            f"{SHARE:.0%} of the budget here."
        )
        return None
    return _curve(context, candidate, development, found)


def learning_curve_or_note(context: Context) -> LearningCurve | None:
    """As :func:`learning_curve`; a failure is a note, for it must not cost the answer."""
    try:
        return learning_curve(context)
    except Exception as error:
        context.notes.append(f"What more labels would buy could not be worked out: {error}")
        return None


def learning_seconds(context: Context) -> float:
    """What the curve will take, about; 0 before a backbone has been screened."""
    from automl_transfer.training.nested import Fit, planned, subset_sizes

    samples = len(context.splits.development)
    sizes = subset_sizes(samples, context.task.target.outputs)
    width = max((candidate.width for candidate in context.candidates.values()), default=0)
    fit = Fit(width=width, outputs=context.task.target.outputs)
    work = planned(sizes, samples, fit, REPEATS, _allowed(context))[1]
    return work / SPEED * (crowding() if context.watch.timed else 1.0)


def _allowed(context: Context) -> float:
    """Operations that the curve may take: a count, so that the clock does not change it."""
    seconds = context.request.budget_seconds
    return WORK if seconds is None else min(MOST_WORK, SHARE * seconds * SPEED)


def _looks(
    context: Context, candidate: Candidate, development: NDArray[np.int64]
) -> list[Look] | None:
    """All looks that the curve is made of; None if the time ended before the last of them."""
    from automl_transfer.training.nested import looks

    found, end = [], closing_seconds()
    # On a crowded machine small matrices take many times longer than their operations say.
    for look in looks(
        candidate.features_at(development),
        context.dataset.targets[development],
        context.task.target.outputs,
        context.splits.units[development],
        seed=context.request.seed,
        repeats=REPEATS,
        work=_allowed(context),
    ):
        if context.watch.left <= end:
            return None
        found.append(look)
    return found


def _curve(
    context: Context, candidate: Candidate, development: NDArray[np.int64], found: list[Look]
) -> LearningCurve | None:
    from automl_transfer.training.curve_points import curve_points, recalls

    targets, units = context.dataset.targets[development], context.splits.units[development]
    metric, seed, samples = context.task.metric, context.request.seed, len(development)
    points = curve_points(
        found, targets, units, lambda p, own, w: resampled(p, own, metric, w), seed
    )
    draws = _defined(points.values, points.draws)
    if draws is None:
        context.notes.append(
            "What more labels would buy is not said: there are too few of a kind, so that hardly "
            "any resample holds all of them."
        )
        return None
    gains = forecast(
        points.sizes,
        points.values,
        draws,
        base=samples,
        targets=[factor * samples for factor in FACTORS],
        best=best_possible(metric),
        unit=context.task.unit,
    )
    return LearningCurve(
        backbone=candidate.card.id,
        method=_method(found, samples),
        samples=samples,
        points=tuple(
            LearningPoint(
                samples=round(float(size)),
                value=float(value),
                interval=_interval(draws[:, place]),
                draws=count,
            )
            for place, (size, value, count) in enumerate(
                zip(points.sizes, points.values, points.counts, strict=True)
            )
        ),
        forecasts=tuple(
            LabelGain(
                factor=factor,
                samples=round(factor * samples),
                gain=gain.mean,
                interval=gain.interval,
            )
            for factor, gain in zip(FACTORS, gains, strict=True)
        ),
        classes=_classes(curve_points(found, targets, units, recalls, seed), targets)
        if context.task.target.kind != "regression"
        else (),
        larger=size_gain(context),
    )


def _defined(
    values: NDArray[np.float64], draws: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """The replicates that have a score at every size, shape (B', K).

    One may hold no sample of a class, of which a recall or an area cannot be told then.

    Returns:
        None when they are too few for a covariance of K scores, or a score itself is not defined.
    """
    kept: NDArray[np.float64] = draws[np.isfinite(draws).all(axis=1)]
    return kept if np.isfinite(values).all() and len(kept) >= len(values) + 2 else None


def _interval(draws: NDArray[np.float64]) -> Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(low=float(low), high=float(high))


def _method(found: list[Look], samples: int) -> str:
    largest = max(look.size for look in found)
    return (
        f"ridge regression on frozen features of nested stratified subsets of the {samples} "
        f"development samples, up to {largest}; each sample scored by models that have seen "
        "neither it nor what belongs with it"
    )


def _classes(points: CurvePoints, targets: Targets) -> tuple[ClassGain, ...]:
    """The classes with a curve of their own, largest gain first."""
    counts = totals(targets, points.values.shape[1]).astype(np.int64)
    found = []
    for label in np.argsort(-counts, kind="stable")[:MOST_CLASSES].tolist():
        values = points.values[:, label]
        draws = _defined(values, points.draws[:, :, label])
        if counts[label] < FEWEST_OF_A_CLASS or draws is None:
            continue
        gain: Gain = forecast(
            points.sizes,
            values,
            draws,
            base=len(targets),
            targets=[FACTORS[0] * len(targets)],
        )[0]
        found.append(
            ClassGain(
                label=label,
                samples=int(counts[label]),
                recall=float(values[-1]),
                gain=gain.mean,
                interval=gain.interval,
            )
        )
    return tuple(sorted(found, key=lambda row: (-row.gain, row.label)))
