"""Accuracy of the nearest neighbours, each sample left out in turn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_transfer.cards import RankerCard

CARD = RankerCard(
    id="knn",
    factory="automl_transfer.rankers.knn:score",
    summary="leave-one-out accuracy of 5 nearest neighbours by cosine (arXiv:2503.18528)",
)
NEIGHBOURS = 5
BLOCK = 256
"""Rows of the similarity matrix held at once."""
MOST = 5000
"""Samples looked at: beyond, the estimate gains less than its cost."""


def score(
    *,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    seed: int,
) -> float:
    """Share of samples whose class has most of their neighbours' votes, by similarity.

    Args:
        features: Shape (n, d), frozen.
        labels: Shape (n,).
        classes: Number of classes.
        seed: Chooses the samples when there are more than :data:`MOST`.
    """
    from automl_transfer.training.matrix import blocks

    chosen = np.arange(len(features))
    if len(features) > MOST:
        chosen = np.sort(np.random.default_rng(seed).choice(chosen, MOST, replace=False))
    labels = labels[chosen]
    unit = np.empty((len(chosen), features.shape[1]), dtype=np.float32)
    done = 0
    for block in blocks(features, chosen):
        unit[done : done + len(block)] = block
        done += len(block)
    unit -= unit.mean(axis=0)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    neighbours = min(NEIGHBOURS, len(unit) - 1)
    if neighbours < 1:
        return 0.0
    hits = 0
    for start in range(0, len(unit), BLOCK):
        own = np.arange(start, min(start + BLOCK, len(unit)))
        similarity = unit[own] @ unit.T  # (b, n)
        similarity[np.arange(len(own)), own] = -np.inf
        nearest = np.argpartition(-similarity, neighbours - 1, axis=1)[:, :neighbours]
        votes = np.zeros((len(own), classes))
        for column in nearest.T:
            votes[np.arange(len(own)), labels[column]] += (
                1 + similarity[np.arange(len(own)), column]
            )
        hits += int((votes.argmax(axis=1) == labels[own]).sum())
    return hits / len(unit)
