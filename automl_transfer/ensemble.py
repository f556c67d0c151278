"""Several models' predictions, averaged: which of them, and how much each counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automl_transfer.errors import UsageError
from automl_transfer.metrics import TIE_BREAKER
from automl_transfer.scoring import score
from automl_transfer.target import Targets, kind_of

TIE = 1e-9
"""Values that differ by less are alike: sums of the same numbers in another order do."""


def greedy_ensemble(
    probabilities: Sequence[NDArray[np.floating]],
    labels: Targets,
    metric: str,
    rounds: int = 20,
) -> NDArray[np.float64]:
    """Weights of models whose averaged probabilities score best, found greedily.

    Caruana, Niculescu-Mizil, Crew, Ksikes, Ensemble Selection from Libraries of Models (ICML
    2004), with replacement, without bagging: from nothing, the model that helps most is added
    again and again, and the best of all rounds is the answer. Its first round is the best single
    model, so on these samples it is never worse. That is a choice by these samples, too: what it
    gains is to be measured on others.

    Of equal values, models that are in already come first, then the lower log-loss (of numbers,
    squared error); of equal rounds, the earlier. The result does not depend on the order of the
    models.

    Args:
        probabilities: Of each model, shape (n, c), or (repeats, n, c); out of fold, if the models
            have seen these samples.
        labels: Targets of n samples, in the form of their kind.
        metric: One that :func:`automl_transfer.scoring.score` knows.
        rounds: Models added at the most, repeats included.

    Returns:
        Shape (number of models,), adding up to 1; the weight of a model that is not in is 0.

    Raises:
        UsageError: There is no model, no round, or the shapes differ.
    """
    shapes = {np.shape(one) for one in probabilities}
    if len(shapes) != 1 or rounds < 1 or next(iter(shapes))[-2] != len(labels):
        raise UsageError(
            "An ensemble needs at least one model, at least one round, and probabilities of one "
            f"shape (n, c) for n labels, but got the shapes {sorted(shapes)}, {rounds} rounds and "
            f"{len(labels)} labels."
        )
    models = [np.asarray(one, dtype=np.float64) for one in probabilities]
    # By content, so that what is a tie to all else is decided alike in any order.
    order = sorted(range(len(models)), key=lambda place: models[place].tobytes())
    counts = np.zeros(len(models))
    total = np.zeros_like(models[0])
    best, answer = -np.inf, counts
    for size in range(1, rounds + 1):
        chosen, value = _next(models, order, counts, total, labels, metric)
        counts[chosen] += 1
        total += models[chosen]
        if value > best + TIE:
            best, answer = value, counts / size
    return answer


def _next(
    models: Sequence[NDArray[np.float64]],
    order: Sequence[int],
    counts: NDArray[np.float64],
    total: NDArray[np.float64],
    labels: Targets,
    metric: str,
) -> tuple[int, float]:
    """The model to add, and the value with it."""
    size = counts.sum() + 1
    breaker = TIE_BREAKER[kind_of(labels)]
    found = {}
    for place in order:
        mean = (total + models[place]) / size
        found[place] = score(mean, labels, metric), score(mean, labels, breaker)
    highest = max(value for value, _ in found.values())
    tied = [place for place in order if found[place][0] >= highest - TIE]
    inside = [place for place in tied if counts[place]] or tied
    likeliest = max(found[place][1] for place in inside)
    chosen = next(place for place in inside if found[place][1] >= likeliest - TIE)
    return chosen, found[chosen][0]
