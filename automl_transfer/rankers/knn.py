"""Accuracy of the nearest neighbours, each sample left out in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl_transfer.cards import RankerCard
from automl_transfer.kinds import KINDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from automl_transfer.target import Targets

CARD = RankerCard(
    id="knn",
    factory="automl_transfer.rankers.knn:score",
    kinds=KINDS,
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
    labels: Targets,
    classes: int,
    seed: int,
) -> float:
    """Share of samples whose class has most of their neighbours' votes, by similarity.

    Of labels and numbers, the share of the variance that the neighbours' weighted mean explains.

    Args:
        features: Shape (n, d), frozen.
        labels: In the form of their kind.
        classes: Columns of a prediction.
        seed: Chooses the samples when there are more than :data:`MOST`.
    """
    import numpy as np

    from automl_transfer.target import columns, kind_of
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
    true = columns(labels, classes)  # (n, c)
    predicted = np.empty_like(true)
    for start in range(0, len(unit), BLOCK):
        own = np.arange(start, min(start + BLOCK, len(unit)))
        similarity = unit[own] @ unit.T  # (b, n)
        similarity[np.arange(len(own)), own] = -np.inf
        nearest = np.argpartition(-similarity, neighbours - 1, axis=1)[:, :neighbours]
        near = 1 + np.take_along_axis(similarity, nearest, axis=1)  # (b, k)
        votes = (near[:, :, None] * true[nearest]).sum(axis=1)
        predicted[own] = votes / np.maximum(near.sum(axis=1), 1e-12)[:, None]
    if kind_of(labels) == "single-label":
        return float((predicted.argmax(axis=1) == labels).mean())
    spread = ((true - true.mean(axis=0)) ** 2).sum(axis=0)
    errors = ((predicted - true) ** 2).sum(axis=0)[spread > 0] / spread[spread > 0]
    return float(1 - errors.mean()) if len(errors) else 0.0
