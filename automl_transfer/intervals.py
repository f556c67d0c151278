"""From resampled values of a metric to a 95 % interval."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from automl_transfer.metrics import best_possible, is_share
from automl_transfer.recommendation import Interval
from automl_transfer.target import Targets, kind_of

_SAMPLE_SHARES = frozenset({"accuracy", "top5_accuracy"})
"""Shares of the samples; the other metrics of classes give each class the same say."""
_EVERY_LABEL = frozenset({"mean_average_precision", "macro_f1", "roc_auc"})
"""Metrics that give each label the same say, by the samples of which it holds."""


def effective_samples(metric: str, targets: Targets, clusters: NDArray[np.int64]) -> float:
    """How many independent samples a metric rests on at most.

    Where each class has the same say, Kish's effective size of the weights 1 / n_k (Survey
    Sampling, 1965, section 11.7): a class with two samples weighs as much as one with a thousand.

    Args:
        metric: Which.
        targets: Of n samples.
        clusters: Shape (n,), alike for samples that are not independent.
    """
    independent = len(np.unique(clusters))
    kind = kind_of(targets)
    if kind == "single-label":
        if metric in _SAMPLE_SHARES:
            return float(independent)
        members = [targets == label for label in np.unique(targets)]
    elif kind == "multi-label" and metric in _EVERY_LABEL:
        members = [column > 0 for column in targets.T if column.any()]
    else:
        return float(independent)
    of_class = [len(np.unique(clusters[member])) for member in members]
    if not of_class:
        return float(independent)
    kish = len(of_class) ** 2 / sum(1 / count for count in of_class)
    return float(min(independent, kish))


def critical(clusters: int) -> float:
    """Two-sided 5 % point of Student's t, for so many independent samples."""
    return float(special.stdtrit(max(clusters - 1, 1), 0.975))


def around(
    value: float, resampled: NDArray[np.float64], metric: str, samples: float, clusters: int
) -> Interval:
    """The interval of a metric whose resampled values scatter like ``resampled``.

    A share gets Wilson's interval (1927) for the number of samples that the scatter stands for
    (Korn and Graubard, Survey Methodology 1998): the percentiles of resamples of 30 right answers
    are all 1, which is no interval. Other metrics get the percentiles, the calibration error the
    standard deviation on both sides, since its resamples lie below it.

    Args:
        value: Of the samples as they are.
        resampled: Shape (r,).
        metric: Which.
        samples: Of :func:`effective_samples`.
        clusters: Independent samples.
    """
    if len(resampled) < 2:
        return Interval(low=0.0, high=1.0) if is_share(metric) else Interval(low=value, high=value)
    deviation = float(resampled.std(ddof=1))
    t = critical(clusters)
    if is_share(metric):
        return wilson(value, deviation, metric, samples, t)
    if metric == "neg_ece":
        return Interval(low=value - t * deviation, high=min(value + t * deviation, 0.0))
    low, high = np.quantile(resampled, [0.025, 0.975])
    return Interval(low=float(low), high=min(float(high), best_possible(metric)))


def wilson(value: float, deviation: float, metric: str, samples: float, t: float) -> Interval:
    """Wilson's interval of a share with the standard error ``deviation``."""
    spread = value * (1 - value)
    size = spread / deviation**2 if deviation > 0 and spread > 0 else samples
    if metric not in ("roc_auc", "mean_average_precision"):
        # The area under a curve varies less than a share of the samples does.
        size = min(size, samples)
    shrink = 1 + t**2 / size
    centre = (value + t**2 / (2 * size)) / shrink
    half = t / shrink * math.sqrt(spread / size + t**2 / (4 * size**2))
    # It holds the value; rounding may not say otherwise where that is 0 or 1.
    return Interval(
        low=max(min(centre - half, value), 0.0), high=min(max(centre + half, value), 1.0)
    )
