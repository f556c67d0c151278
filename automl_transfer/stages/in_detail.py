"""The winner's predictions looked at closely: by class, by confidence, and where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.metrics import holding
from automl_transfer.metrics.regression import residuals
from automl_transfer.recommendation import ConfidentError, Miss, ReliabilityBin
from automl_transfer.stages.context import Context
from automl_transfer.target import Targets

ERRORS = 24
"""Most confident errors that are kept."""
BINS = 10
"""Of the reliability diagram."""
POINTS = 2000
"""Numbers that are kept with their predictions, to be drawn."""


def in_detail(
    context: Context, found: NDArray[np.float32], positions: NDArray[np.int64]
) -> Mapping[str, Any]:
    """Fields of a :class:`~automl_transfer.recommendation.HeldOutScore`.

    Args:
        context: Of the search.
        found: Predictions, shape (n, c).
        positions: Of which samples, shape (n,).
    """
    targets = context.dataset.targets[positions]
    kind = context.task.target.kind
    if kind == "regression":
        return _of_numbers(context, found, targets, positions)
    if kind == "multi-label":
        return {
            **_report(context, holding(found).astype(np.int64), targets),
            "reliability": _reliability(found.ravel(), targets.ravel() > 0),
            "misses": _wrong_labels(context, found, targets, positions),
        }
    from sklearn.metrics import confusion_matrix

    predicted = found.argmax(axis=1)
    matrix = confusion_matrix(targets, predicted, labels=range(len(context.task.classes)))
    return {
        **_report(context, predicted, targets),
        "confusion": tuple(tuple(int(count) for count in row) for row in matrix),
        "reliability": _reliability(found.max(axis=1), predicted == targets),
        "errors": _errors(context, found, positions),
    }


def _report(context: Context, predicted: NDArray[np.int64], targets: Targets) -> Mapping[str, Any]:
    from sklearn.metrics import classification_report

    names = list(context.task.classes)
    labels = list(range(len(names)))
    if targets.ndim == 2 and len(names) == 1:
        # A single column is taken for classes, of which the first is that the label does not hold.
        predicted, targets, labels = predicted.ravel(), targets.ravel(), [1]
    options = {"labels": labels, "target_names": names, "zero_division": 0}
    return {
        "report": classification_report(targets, predicted, output_dict=True, **options),
        "report_text": classification_report(targets, predicted, digits=3, **options),
    }


def _reliability(
    sure: NDArray[np.float32], right: NDArray[np.bool_]
) -> tuple[ReliabilityBin, ...]:
    """Bins of equal width over the probability; those that are empty are left out.

    Args:
        sure: Largest probability of each sample; of labels that of each sample and label.
        right: Whether it came true.
    """
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
    labels = context.dataset.targets[positions]
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


def _wrong_labels(
    context: Context,
    found: NDArray[np.float32],
    sets: NDArray[np.uint8],
    positions: NDArray[np.int64],
) -> tuple[Miss, ...]:
    """The samples with the least probable truth about one label, a row for each sample."""
    doubt = np.where(sets > 0, 1 - found, found)  # probability of what is not true
    label = doubt.argmax(axis=1)
    worst = doubt.max(axis=1)
    order = np.argsort(-worst, kind="stable")[:ERRORS]
    names, samples = context.task.classes, context.dataset.samples
    return tuple(
        Miss(
            source=samples[int(positions[at])].source,
            true=context.dataset.label_text(samples[int(positions[at])]) or "no label",
            predicted=f"{names[label[at]]}: {found[at, label[at]]:.0%}",
            off=float(worst[at]),
        )
        for at in order.tolist()
        if worst[at] > 0.5
    )


def _of_numbers(
    context: Context,
    found: NDArray[np.float32],
    numbers: NDArray[np.float64],
    positions: NDArray[np.int64],
) -> Mapping[str, Any]:
    off = residuals(found, numbers)
    order = np.argsort(-np.abs(off), kind="stable")[:ERRORS]
    shown = np.arange(len(numbers))
    if len(shown) > POINTS:
        generator = np.random.default_rng(context.request.seed)
        shown = np.sort(generator.choice(shown, POINTS, replace=False))
    return {
        "points": tuple((float(numbers[at]), float(found[at, 0])) for at in shown.tolist()),
        "misses": tuple(
            Miss(
                source=context.dataset.samples[int(positions[at])].source,
                true=f"{numbers[at]:.4g}",
                predicted=f"{found[at, 0]:.4g}",
                off=float(off[at]),
            )
            for at in order.tolist()
        ),
    }
