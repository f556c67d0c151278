"""Metrics of predictions, for many weightings of the samples at once.

Each metric is prepared once for a prediction and then evaluated for a matrix of weights, a row for
each resample: a thousand resamples are a few matrix products. A file for each kind of target.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from automl_transfer.kinds import Kind
from automl_transfer.metrics import multi_label, regression, single_label
from automl_transfer.metrics.multi_label import holding
from automl_transfer.metrics.weighting import Evaluate, Prepare, Values, Weights
from automl_transfer.target import Targets, kind_of

__all__ = [
    "TIE_BREAKER",
    "Evaluate",
    "Values",
    "Weights",
    "best_possible",
    "by_column",
    "holding",
    "is_share",
    "merits",
    "prepare",
    "reported",
]

_PREPARE: Mapping[Kind, Mapping[str, Prepare]] = {
    "single-label": single_label.PREPARE,
    "multi-label": multi_label.PREPARE,
    "regression": regression.PREPARE,
}
TIE_BREAKER: Mapping[Kind, str] = {
    "single-label": "neg_log_loss",
    "multi-label": "neg_log_loss",
    "regression": "neg_rmse",
}
"""What decides between predictions that are equal by the metric of a search."""


def prepare(metric: str, predictions: NDArray[np.floating], targets: Targets) -> Evaluate:
    """Returns the metric as a function of the samples' weights; higher is better.

    Of classes: ``accuracy``, ``balanced_accuracy``, ``macro_f1``, ``neg_log_loss``, ``roc_auc``
    (macro average of one class against the rest, ties count half, classes absent from truth left
    out), ``top5_accuracy`` and ``neg_ece``. Of labels: ``mean_average_precision``, ``macro_f1``,
    ``micro_f1``, ``subset_accuracy``, ``roc_auc`` and ``neg_log_loss``; a label holds from a
    probability of .5 on. Of numbers: ``r2``, ``neg_mae`` and ``neg_rmse``.

    Args:
        metric: One of those of the kind of ``targets``.
        predictions: See :mod:`automl_transfer.target`, shape (n, c); or (repeats, n, c): the
            metric is averaged over the repeats, in each resample.
        targets: Of n samples.
    """
    made = _PREPARE[kind_of(targets)][metric]
    if predictions.ndim == 2:
        return made(predictions, targets)
    if len(predictions) == 1:
        return made(predictions[0], targets)
    each = [made(repeat, targets) for repeat in predictions]
    return lambda weights: np.mean([evaluate(weights) for evaluate in each], axis=0)


def reported(kind: Kind, outputs: int) -> tuple[str, ...]:
    """Metrics that say something of predictions with so many columns."""
    if kind == "single-label":
        return single_label.reported(outputs)
    return tuple(_PREPARE[kind])


def merits(predictions: NDArray[np.floating], targets: Targets) -> NDArray[np.float64]:
    """How right a prediction is of each sample, shape (n,), to compare two of them by.

    1 for the right class, else 0; of labels the share that is right; of numbers one less the
    squared error in units of their variance.

    Args:
        predictions: Shape (n, c).
        targets: Of n samples.
    """
    kind = kind_of(targets)
    if kind == "single-label":
        hits: NDArray[np.float64] = (predictions.argmax(axis=1) == targets).astype(np.float64)
        return hits
    if kind == "multi-label":
        right: NDArray[np.float64] = (holding(predictions) == (targets > 0)).mean(axis=1)
        return right
    variance = float(np.var(targets)) or 1.0
    off = regression.residuals(predictions, targets)
    return np.asarray(1 - off**2 / variance)


def by_column(metric: str, targets: Targets) -> bool:
    """Whether the metric is worked out column by column: as many times slower in resamples."""
    return kind_of(targets) == "multi-label" or metric == "roc_auc"


def is_share(metric: str) -> bool:
    """Whether the metric runs from 0 to 1."""
    return not metric.startswith("neg_") and metric != "r2"


def best_possible(metric: str) -> float:
    """The highest value there is."""
    return 0.0 if metric.startswith("neg_") else 1.0
