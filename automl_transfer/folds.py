"""Folds for cross-validation: stratified, and no unit is torn."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automl_transfer.dataset import Sample


def make_folds(
    samples: Sequence[Sample],
    positions: NDArray[np.int64],
    units: NDArray[np.int64],
    folds: int,
    seed: str,
) -> NDArray[np.int64]:
    """Deals the units of each class out over the folds, the largest first.

    Like the draw of the parts it is by consistent hashing: it depends on contents and the seed,
    not on the order of the samples or on where they lie.

    Args:
        samples: Of the whole data set.
        positions: Which of them to divide, shape (n,).
        units: Of all samples (:func:`automl_transfer.units.units`), shape (len(samples),).
        folds: At least 2.
        seed: Decides the draw.

    Returns:
        The fold of each position, 0 to ``folds - 1``, shape (n,). With fewer units than folds some
        folds are empty.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for place, position in enumerate(positions.tolist()):
        members[int(units[position])].append(place)
    labels = [samples[position].label for position in positions.tolist()]
    by_class: dict[int, list[tuple[int, bytes, int]]] = defaultdict(list)
    for unit, places in members.items():
        votes = Counter(labels[place] for place in places)
        label = min(votes, key=lambda one: (-votes[one], one))
        name = min(samples[int(positions[place])].id for place in places)
        salted = hashlib.sha256(f"{seed}:{name}".encode()).digest()
        by_class[label].append((-len(places), salted, unit))
    found = np.zeros(len(positions), dtype=np.int64)
    total = [0] * folds
    of_class: dict[int, list[int]] = defaultdict(lambda: [0] * folds)
    for label in sorted(by_class):
        for _, _, unit in sorted(by_class[label]):
            counts = of_class[label]
            fold = min(range(folds), key=lambda one: (counts[one], total[one], one))
            for place in members[unit]:
                found[place] = fold
                of_class[labels[place]][fold] += 1
            total[fold] += len(members[unit])
    return found
