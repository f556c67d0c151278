"""What is to be solved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.errors import UsageError, did_you_mean

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "neg_log_loss", "roc_auc")
"""Metrics that a search can maximise; see :func:`automl_transfer.metrics.prepare`."""

IMBALANCE = 3.0
"""Largest class ratio up to which plain accuracy is the default metric."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Single-label classification of one modality."""

    modality: str
    classes: tuple[str, ...]
    metric: str
    """The metric that is maximised."""
    metric_reason: str
    """Why this metric, in words."""


def require_metric(wanted: str) -> None:
    """Checks the name of a metric.

    Raises:
        UsageError: It is neither ``auto`` nor a member of :data:`METRICS`.
    """
    if wanted != "auto" and wanted not in METRICS:
        raise UsageError(
            f"The metric must be one of auto, {', '.join(METRICS)}, but got {wanted!r}."
            + did_you_mean(wanted, METRICS)
        )


def class_ratio(labels: NDArray[np.int64]) -> float:
    """How many times the samples of the smallest class that occurs the largest has."""
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    return float(counts.max() / counts.min())


def choose_metric(labels: NDArray[np.int64], wanted: str = "auto") -> tuple[str, str]:
    """Returns the metric and the reason for it.

    Args:
        labels: Shape (n,), class indices.
        wanted: A member of :data:`METRICS`, or ``auto``: accuracy, or balanced accuracy when the
            largest class has more than :data:`IMBALANCE` times the samples of the smallest.
    """
    require_metric(wanted)
    if wanted != "auto":
        return wanted, "asked for"
    ratio = class_ratio(labels)
    if ratio > IMBALANCE:
        return "balanced_accuracy", (
            f"the largest class has {ratio:.1f} times the samples of the smallest"
        )
    return "accuracy", f"the classes are of similar size (ratio {ratio:.1f})"
