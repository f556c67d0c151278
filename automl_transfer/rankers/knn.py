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
BLOCK = 1024
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
    if len(features) > MOST:
        chosen = np.random.default_rng(seed).choice(len(features), MOST, replace=False)
        features, labels = _gathered(features, np.sort(chosen)), labels[np.sort(chosen)]
    centred = features - features.mean(axis=0)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    neighbours = min(NEIGHBOURS, len(unit) - 1)
    if neighbours < 1:
        return 0.0
    hits = 0
    for start in range(0, len(unit), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(unit)))
        similarity = unit[block] @ unit.T  # (b, n)
        similarity[np.arange(len(block)), block] = -np.inf
        nearest = np.argpartition(-similarity, neighbours - 1, axis=1)[:, :neighbours]
        votes = np.zeros((len(block), classes))
        for column in nearest.T:
            votes[np.arange(len(block)), labels[column]] += (
                1 + similarity[np.arange(len(block)), column]
            )
        hits += int((votes.argmax(axis=1) == labels[block]).sum())
    return hits / len(unit)


def _gathered(features: NDArray[np.float32], chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """Some rows; of a matrix in a file, what is read of it is given back at once."""
    from automl_transfer.training.matrix import give_back

    found = np.empty((len(chosen), features.shape[1]), dtype=np.float32)
    for start in range(0, len(chosen), BLOCK):
        found[start : start + BLOCK] = features[chosen[start : start + BLOCK]]
        give_back(features)
    return found
