"""Labels that are likely to be wrong, by confident learning.

Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in Dataset Labels",
Journal of Artificial Intelligence Research 70, 2021. Written from the paper: see
``docs/decisions/0015-confident-learning.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KIND = "likely-mislabelled"
LOOKED_FOR = "labels that may be wrong"


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """A sample that seems to be of another class than its label says."""

    position: int
    label: int
    suggested: int
    confidence: float
    """Probability of the suggested class, by a model that did not see the sample."""
    margin: float
    """By how much it exceeds that of the given label."""


def suspects(probabilities: NDArray[np.floating], labels: NDArray[np.int64]) -> list[Suspect]:
    """Samples off the diagonal of the confident joint, the most certain first.

    A class's threshold is the mean probability that its own samples have of it (eq. 2). A sample
    counts for the most probable of the classes whose thresholds it reaches (eq. 1); if that is not
    its label, it is suspected ("C_confusion" pruned to the confident joint, section 3.2). So a
    class of which the model is never sure raises no more suspicion than another.

    Args:
        probabilities: Of each class by models that did not see the sample, shape (n, c).
        labels: As given, shape (n,).
    """
    n, classes = probabilities.shape
    if n == 0:
        return []
    own = probabilities[np.arange(n), labels]
    sizes = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=own, minlength=classes)
    # A class without samples has no threshold that could be reached.
    thresholds = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    confident = np.where(probabilities >= thresholds, probabilities, -np.inf)
    best = confident.argmax(axis=1)
    certain = np.isfinite(confident[np.arange(n), best])
    margins = probabilities[np.arange(n), best] - own
    found = np.flatnonzero(certain & (best != labels) & (margins > 0))
    found = found[np.lexsort((found, -margins[found]))]
    return [
        Suspect(
            position=int(at),
            label=int(labels[at]),
            suggested=int(best[at]),
            confidence=float(probabilities[at, best[at]]),
            margin=float(margins[at]),
        )
        for at in found
    ]
