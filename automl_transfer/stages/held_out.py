"""The winner's own score: on the test part, opened once, or by cross-validation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import ConfidentError, HeldOutScore, Interval, ReliabilityBin
from automl_transfer.scoring import interval, score, scores
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.corrected_score import corrected_score
from automl_transfer.stages.frozen_features import features_of
from automl_transfer.stages.yardstick import Yardstick
from automl_transfer.temperature import temperature
from automl_transfer.tempering import tempered

if TYPE_CHECKING:
    from automl_transfer.training.model import TransferModel

ERRORS = 24
"""Most confident errors that are kept."""
BINS = 10
"""Of the reliability diagram."""
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
) -> Scored:
    """Scores the winner.

    Args:
        context: Of the search.
        model: The winner's, as it will be saved.
        candidate: Its backbone.
        winner: The trial.
        measure: What it is scored on.
    """
    temperature = _temperature(context, winner)
    positions = measure.positions
    labels = context.dataset.labels[positions]
    openings = int(context.store.get("test_openings", 0))
    optimism = 0.0
    if measure.source == "test":
        openings += 1
        context.store.put("test_openings", openings)
        raw = _probabilities(context, model, candidate, winner)
        found = tempered(raw, temperature)
        value, spread = _of_test(context, found, labels, positions)
        method = f"the saved model on {len(labels)} samples of the test part, " + (
            "which nothing before has looked at"
            if openings == 1
            else f"which has been scored {openings} times in this study: read it with some caution"
        )
    else:
        corrected = corrected_score(context, winner)
        value, spread, method = corrected.value, corrected.interval, corrected.method
        optimism = corrected.optimism
        found = np.stack([tempered(one, temperature) for one in corrected.probabilities])
    # What is shown of single samples is of one model, as the delivered one is.
    single = found if found.ndim == 2 else found[0]
    return Scored(
        score=HeldOutScore(
            source=measure.source,
            method=method,
            value=value,
            interval=spread,
            metrics=scores(found, labels),
            samples=len(labels),
            openings=openings,
            reliability=_reliability(single, labels),
            errors=_errors(context, single, positions),
            **_by_class(context, single, labels),
        ),
        probabilities=found,
        temperature=temperature,
        optimism=optimism,
    )


def _of_test(
    context: Context,
    found: NDArray[np.float32],
    labels: NDArray[np.int64],
    positions: NDArray[np.int64],
) -> tuple[float, Interval]:
    metric = context.task.metric
    groups = context.splits.units[positions]
    spread = interval(found, labels, metric, context.request.seed, groups=groups)
    return score(found, labels, metric), spread


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
        labels = context.dataset.labels[confirmed.positions]
    else:
        found = context.files.read_predictions(winner.number)
        labels = context.dataset.labels[context.splits.val]
    if found is None or found.shape[-2] != len(labels) or len(labels) < LEAST_FOR_TEMPERATURE:
        return 1.0
    return temperature(found, labels)


def _by_class(
    context: Context, found: NDArray[np.float32], labels: NDArray[np.int64]
) -> Mapping[str, Any]:
    from sklearn.metrics import classification_report, confusion_matrix

    classes = range(len(context.task.classes))
    predicted = found.argmax(axis=1)
    names = list(context.task.classes)
    options = {"labels": classes, "target_names": names, "zero_division": 0}
    matrix = confusion_matrix(labels, predicted, labels=classes)
    return {
        "report": classification_report(labels, predicted, output_dict=True, **options),
        "report_text": classification_report(labels, predicted, digits=3, **options),
        "confusion": tuple(tuple(int(count) for count in row) for row in matrix),
    }


def _reliability(
    found: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[ReliabilityBin, ...]:
    """Bins of equal width over the largest probability; those that are empty are left out."""
    sure, right = found.max(axis=1), found.argmax(axis=1) == labels
    places = np.minimum((sure * BINS).astype(np.int64), BINS - 1)
    return tuple(
        ReliabilityBin(
            confidence=float(sure[places == place].mean()),
            accuracy=float(right[places == place].mean()),
            count=int((places == place).sum()),
        )
        for place in range(BINS)
        if (places == place).any()
    )


def _errors(
    context: Context, found: NDArray[np.float32], positions: NDArray[np.int64]
) -> tuple[ConfidentError, ...]:
    labels = context.dataset.labels[positions]
    predicted, sure = found.argmax(axis=1), found.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-sure[wrong], kind="stable")][:ERRORS]
    return tuple(
        ConfidentError(
            source=context.dataset.samples[int(positions[place])].source,
            true=int(labels[place]),
            predicted=int(predicted[place]),
            confidence=float(sure[place]),
        )
        for place in wrong.tolist()
    )
