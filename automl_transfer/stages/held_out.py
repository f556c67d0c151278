"""The test part: opened once, for the winner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import HeldOutScore
from automl_transfer.scoring import interval, scores
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.screen import features_of

if TYPE_CHECKING:
    from automl_transfer.training.model import TransferModel


def _probabilities(
    context: Context, model: TransferModel, candidate: Candidate, winner: Outcome
) -> NDArray[np.float32]:
    from automl_transfer.training.frozen import classified
    from automl_transfer.training.model_file import predict_probabilities

    positions = context.splits.test
    if not context.strategy(winner.configuration.strategy).trains_backbone:
        # The features are kept, and a yardstick asks for them as well.
        return classified(model, features_of(context, candidate, positions))
    params = winner.configuration.of("modality", context.task.modality)
    rows = context.rows(context.encoder(candidate.card, params))
    return predict_probabilities(model, rows, positions, context.device)


def score_test(
    context: Context,
    model: TransferModel,
    candidate: Candidate,
    winner: Outcome,
    openings: int,
) -> HeldOutScore:
    """Scores the winner's model on the test part."""
    from sklearn.metrics import classification_report, confusion_matrix

    positions = context.splits.test
    labels = context.dataset.labels[positions]
    probabilities = _probabilities(context, model, candidate, winner)
    metrics = scores(probabilities, labels)
    classes = range(len(context.task.classes))
    predicted = probabilities.argmax(axis=1)
    names = list(context.task.classes)
    report = classification_report(
        labels, predicted, labels=classes, target_names=names, zero_division=0, output_dict=True
    )
    text = classification_report(
        labels, predicted, labels=classes, target_names=names, zero_division=0, digits=3
    )
    matrix = confusion_matrix(labels, predicted, labels=classes)
    return HeldOutScore(
        value=metrics[context.task.metric],
        interval=interval(probabilities, labels, context.task.metric, context.request.seed),
        metrics=metrics,
        samples=len(labels),
        report=report,
        report_text=text,
        confusion=tuple(tuple(int(count) for count in row) for row in matrix),
        openings=openings,
    )
