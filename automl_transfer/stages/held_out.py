"""The test part: opened once, for the winner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import HeldOutScore
from automl_transfer.scoring import interval, scores
from automl_transfer.stages.context import Candidate, Context

if TYPE_CHECKING:
    from automl_transfer.training.model import TransferModel


def score_test(
    context: Context,
    model: TransferModel,
    candidate: Candidate,
    winner: Outcome,
    openings: int,
) -> HeldOutScore:
    """Scores the winner's model on the test part."""
    from sklearn.metrics import classification_report, confusion_matrix

    from automl_transfer.training.model_file import predict_probabilities

    positions = context.splits.test
    labels = context.dataset.labels[positions]
    params = winner.configuration.of("modality", context.task.modality)
    probabilities = predict_probabilities(
        model,
        context.rows(context.encoder(candidate.card, params)),
        positions,
        context.device,
    )
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
