"""What is to be solved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.errors import UsageError, did_you_mean
from automl_transfer.kinds import Kind
from automl_transfer.target import Target, Targets, kind_of

METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "neg_log_loss", "roc_auc")
"""Metrics of classes that a search can maximise; see :func:`automl_transfer.metrics.prepare`."""
MAXIMISED: Mapping[Kind, tuple[str, ...]] = {
    "single-label": METRICS,
    "multi-label": ("mean_average_precision", "macro_f1", "micro_f1", "roc_auc", "neg_log_loss"),
    "regression": ("r2", "neg_mae", "neg_rmse"),
}
"""Likewise, of every kind of target."""

IMBALANCE = 3.0
"""Largest class ratio up to which plain accuracy is the default metric."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Prediction of one target, for one modality."""

    modality: str
    target: Target
    metric: str
    """The metric that is maximised."""
    metric_reason: str
    """Why this metric, in words."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.target.names

    @property
    def unit(self) -> float:
        """What is a large difference in the metric: 1; of an error in the unit of the target, the
        target's standard deviation."""
        return self.target.scale if self.metric in ("neg_mae", "neg_rmse") else 1.0

    @property
    def point(self) -> float:
        """A hundredth of :attr:`unit`."""
        return 0.01 * self.unit


def require_metric(wanted: str, kind: Kind | None = None) -> None:
    """Checks the name of a metric.

    Args:
        wanted: The name.
        kind: Of the target, once it is known.

    Raises:
        UsageError: It is neither ``auto`` nor a metric of this kind, or of any.
    """
    known = [name for one, names in MAXIMISED.items() if kind in (None, one) for name in names]
    known = list(dict.fromkeys(known))
    if wanted != "auto" and wanted not in known:
        what = "The metric" if kind is None else f"The metric of a {kind} task"
        raise UsageError(
            f"{what} must be one of auto, {', '.join(known)}, but got {wanted!r}."
            + did_you_mean(wanted, known)
        )


def class_ratio(labels: NDArray[np.int64]) -> float:
    """How many times the samples of the smallest class that occurs the largest has."""
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    return float(counts.max() / counts.min())


def choose_metric(targets: Targets, wanted: str = "auto") -> tuple[str, str]:
    """Returns the metric and the reason for it.

    Args:
        targets: Of the samples that a search may look at.
        wanted: A member of :data:`MAXIMISED`, or ``auto``: of classes accuracy, or balanced
            accuracy when the largest class has more than :data:`IMBALANCE` times the samples of
            the smallest; of labels mean average precision; of numbers R2.

    Raises:
        UsageError: There is no such metric for this kind of target.
    """
    kind = kind_of(targets)
    require_metric(wanted, kind)
    if wanted != "auto":
        return wanted, "asked for"
    if kind == "multi-label":
        return "mean_average_precision", "every label counts alike, and no threshold is needed"
    if kind == "regression":
        return "r2", "a share of what there is to explain, in any unit"
    ratio = class_ratio(targets)
    if ratio > IMBALANCE:
        return "balanced_accuracy", (
            f"the largest class has {ratio:.1f} times the samples of the smallest"
        )
    return "accuracy", f"the classes are of similar size (ratio {ratio:.1f})"
