"""Folds to score finalists on, by chance alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_transfer.resampling import clusters_of


def random_folds(
    labels: NDArray[np.int64],
    count: int,
    seed: int,
    groups: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """A fold for each sample, shape (n,): of about the same size, groups in one piece.

    Not stratified, on purpose. A class that a draw of the data happens to have more of is learned
    better, and has more samples to be scored on. Stratified folds keep that luck on both sides,
    and their accuracy is too high (by 1 to 3 points on 100 samples of ten classes). In random
    folds the model that scores a sample has one less of its class, which makes up for it exactly.
    Only where all of a class would be in one fold, a part of it is moved, as far as groups of
    several classes allow.

    Args:
        labels: Shape (n,).
        count: How many folds.
        seed: Decides the draw.
        groups: Shape (n,): samples of one group are in one fold. None: each by itself.
    """
    clusters = clusters_of(len(labels), groups)
    generator = np.random.default_rng(seed)
    sizes = np.bincount(clusters)
    fold_of = np.zeros(len(sizes), dtype=np.int64)
    filled = np.zeros(count, dtype=np.int64)
    # The large ones first, so that the folds come out even; of the same size, by chance.
    for cluster in sorted(generator.permutation(len(sizes)), key=lambda one: -sizes[one]):
        fold = int(filled.argmin())
        fold_of[cluster] = fold
        filled[fold] += sizes[cluster]
    for label in np.unique(labels):
        own = np.unique(clusters[labels == label])
        if len(own) > 1 and len(np.unique(fold_of[own])) == 1:
            here = fold_of[own[0]]
            fold_of[own[generator.integers(len(own))]] = (here + 1) % count
    return fold_of[clusters]
