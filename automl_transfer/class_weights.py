"""What a sample counts for in the training loss, by the size of its class.

A parameter of the search where classes are of unequal size: ``balanced`` lets all classes count
alike, which raises the recall of the small ones and costs some of the large ones'.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from automl_transfer.configuration import Configuration
from automl_transfer.space import Choice, Space
from automl_transfer.target import Targets, kind_of
from automl_transfer.task import IMBALANCE, class_ratio

PREFIX = "training"
NAME = "class_weights"
PARAMETER = f"{PREFIX}/{NAME}"
"""Its name in a configuration; one without it trains as with ``none``."""
RULES = ("none", "balanced")
BY_CLASS = ("balanced_accuracy", "macro_f1")
"""Metrics in which every class counts alike, however few samples it has."""


def searched(targets: Targets, metric: str) -> Space:
    """The parameter; none where the classes are of similar size, or where there are no classes.

    Args:
        targets: Of the training part.
        metric: The one that is maximised; it decides about the default.
    """
    if kind_of(targets) != "single-label" or class_ratio(targets) <= IMBALANCE:
        return Space()
    default = "balanced" if metric in BY_CLASS else "none"
    return Space((Choice(name=NAME, choices=RULES, default=default),))


def alternatives(configuration: Configuration) -> list[Configuration]:
    """The same with its classes weighted otherwise; none where that is not searched over."""
    return [
        replace(configuration, params={**configuration.params, PARAMETER: rule})
        for rule in RULES
        if configuration.params.get(PARAMETER, rule) != rule
    ]


def weights_of(
    configuration: Configuration, targets: Targets, classes: int
) -> tuple[float, ...] | None:
    """Weights of the classes for a training of a configuration on some labels; None: all alike.

    Args:
        configuration: What is trained.
        targets: Of the samples that it is trained on.
        classes: Number of classes.
    """
    if configuration.params.get(PARAMETER, "none") == "none":
        return None
    return tuple(float(weight) for weight in balanced(targets, classes))


def balanced(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Weights in inverse proportion to the sizes of the classes, shape (c,).

    n / (k n_j) for class j of the k that occur: the weighting of King and Zeng (Logistic
    Regression in Rare Events Data, Political Analysis 9, 2001) with a population in which all
    classes are equally common; scikit-learn's ``balanced``. The mean over the samples is 1, so
    that neither learning rates nor penalties mean anything else. A class without samples has 1.
    """
    counts = np.bincount(labels, minlength=classes)
    present = counts > 0
    weights = np.ones(classes)
    weights[present] = len(labels) / (present.sum() * counts[present])
    return weights
