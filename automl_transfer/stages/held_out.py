"""The winner's own score: on the test part, opened once, or by cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import HeldOutScore, Interval
from automl_transfer.scoring import interval, score, scores
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.corrected_score import corrected_score
from automl_transfer.stages.frozen_features import features_of
from automl_transfer.stages.in_detail import in_detail
from automl_transfer.stages.yardstick import Yardstick
from automl_transfer.target import Targets
from automl_transfer.temperature import temperature
from automl_transfer.tempering import tempered

if TYPE_CHECKING:
    from automl_transfer.training.model import TransferModel

LEAST_FOR_TEMPERATURE = 50
"""Samples without which a temperature would be a guess."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The winner, scored."""

    score: HeldOutScore
    probabilities: NDArray[np.float32]
    """Of the yardstick's samples, tempered, shape (n, c), or (repeats, n, c)."""
    temperature: float
    optimism: float = 0.0
    """What was taken off the score for the choice of the winner."""


def held_out(
    context: Context,
    model: TransferModel,
    candidate: Candidate,
    winner: Outcome,
    measure: Yardstick,
    *,
    learnt: int,
) -> Scored:
    """Scores the winner.

    Args:
        context: Of the search.
        model: The winner's, as it will be saved.
        candidate: Its backbone.
        winner: The trial.
        measure: What it is scored on.
        learnt: Samples that the model has learnt from.
    """
    temperature = _temperature(context, winner)
    positions = measure.positions
    targets = context.dataset.targets[positions]
    openings = int(context.store.get("test_openings", 0))
    optimism, gain = 0.0, None
    if measure.source == "test":
        openings += 1
        context.store.put("test_openings", openings)
        raw = _probabilities(context, model, candidate, winner)
        found = tempered(raw, temperature, context.task.target.kind)
        value, spread = _of_test(context, found, targets, positions)
        method = f"the saved model on {len(targets)} samples of the test part, " + (
            "which nothing before has looked at"
            if openings == 1
            else f"which has been scored {openings} times in this study: read it with some caution"
        )
    else:
        corrected = corrected_score(context, winner, learnt)
        value, spread, method = corrected.value, corrected.interval, corrected.method
        optimism, gain = corrected.optimism, corrected.gain
        found = np.stack(
            [
                tempered(one, temperature, context.task.target.kind)
                for one in corrected.probabilities
            ]
        )
    # What is shown of single samples is of one model, as the delivered one is.
    single = found if found.ndim == 2 else found[0]
    context.predicted = (positions, single)
    return Scored(
        score=HeldOutScore(
            source=measure.source,
            method=method,
            value=value,
            interval=spread,
            metrics=scores(found, targets),
            samples=len(targets),
            openings=openings,
            gain=gain,
            **in_detail(context, single, positions),
        ),
        probabilities=found,
        temperature=temperature,
        optimism=optimism,
    )


def _of_test(
    context: Context,
    found: NDArray[np.float32],
    targets: Targets,
    positions: NDArray[np.int64],
) -> tuple[float, Interval]:
    metric = context.task.metric
    groups = context.splits.units[positions]
    spread = interval(found, targets, metric, context.request.seed, groups=groups)
    return score(found, targets, metric), spread


def _probabilities(
    context: Context, model: TransferModel, candidate: Candidate, winner: Outcome
) -> NDArray[np.float32]:
    from automl_transfer.training.frozen import classified
    from automl_transfer.training.model_file import predict_probabilities

    positions = context.splits.test
    if context.is_frozen(winner.configuration):
        # The features are kept, and a yardstick asks for them as well.
        return classified(model, features_of(context, candidate, positions))
    params = winner.configuration.of("modality", context.task.modality)
    rows = context.rows(context.encoder(candidate.card, params))
    return predict_probabilities(model, rows, positions, context.device)


def _temperature(context: Context, winner: Outcome) -> float:
    """Fitted on samples that the model which predicted them had not learnt from."""
    confirmed = context.confirmed
    numbers = [row.number for row in confirmed.rows] if confirmed else []
    if confirmed is not None and winner.number in numbers:
        found: NDArray[np.float32] | None = confirmed.probabilities[numbers.index(winner.number)]
        targets = context.dataset.targets[confirmed.positions]
    else:
        found = context.files.read_predictions(winner.number)
        targets = context.dataset.targets[context.splits.val]
    if found is None or found.shape[-2] != len(targets) or len(targets) < LEAST_FOR_TEMPERATURE:
        return 1.0
    return temperature(found, targets)
