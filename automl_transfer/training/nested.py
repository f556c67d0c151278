"""Ridge regression on nested subsets of the samples, and what it makes of those left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.target import Targets, strata_of
from automl_transfer.training.matrix import blocks, taken
from automl_transfer.training.ridge import LAMBDAS, RidgePath, ridge_path

SCORED, FEWEST_SCORED = 10_000, 1_000
"""Samples that are scored at most: more would not make a point of a curve any surer."""
NUMBERS = 500_000
"""Probabilities of a look: with many classes, fewer samples are scored."""
MOSTLY_SINGLE = 0.8
"""From this share of samples that stand for themselves on, only those are scored, each left out
in turn; with fewer, only samples outside the subset are."""
OUTSIDE = 0.75
"""Largest subset when only samples outside it are scored."""
SMALLEST, STEPS = 0.1, 6
"""Share of the smallest subset, and how many there are: evenly spaced by their logarithms."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """A subset, and predictions for samples that the model behind each has not seen."""

    step: int
    """Which of the sizes, from the smallest."""
    size: int
    """Samples of the subset."""
    places: NDArray[np.int64]
    """Which samples are scored, shape (m,), ascending."""
    predictions: NDArray[np.float32]
    """Shape (m, c)."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """What the work of :func:`.ridge.ridge_path` depends on, besides the samples."""

    width: int
    outputs: int

    def operations(self, samples: int) -> float:
        """Operations of floating point: the smaller scatter matrix, its eigenvectors, and the
        scores of each sample left out, with all penalties and sharpnesses."""
        small = min(samples, self.width)
        scores = len(LAMBDAS) * self.outputs * samples
        return 2.0 * samples * self.width * small + 9.0 * small**3 + scores * (2.0 * small + 200)


def looks(
    features: NDArray[np.float32],
    targets: Targets,
    outputs: int,
    units: NDArray[np.int64],
    *,
    seed: int,
    repeats: int,
    work: float,
) -> Iterator[Look]:
    """Subsets from small to large, then again from other draws, until the work is done.

    A sample inside a subset is scored by the model without it (leave-one-out, exact and at no
    further cost; see :func:`.ridge.ridge_path`), one outside by the model of the subset: so nearly
    all points of the curve are of the same samples, and their differences are surer than they are.

    Args:
        features: Frozen features, shape (n, d); may be memory-mapped.
        targets: In the form of their kind, of n samples.
        outputs: Columns of a prediction.
        units: Which samples must not be torn, shape (n,), as of :func:`automl_transfer.units`.
        seed: Decides the subsets.
        repeats: Draws of subsets.
        work: Most operations of floating point; subsets that do not fit are left out. A count and
            not a time, so that the same seed gives the same curve.
    """
    numbers, counts = np.unique(units, return_inverse=True, return_counts=True)[1:]
    single = counts[numbers] == 1
    leave_one_out = single.mean() >= MOSTLY_SINGLE
    generator = np.random.default_rng([seed, 73])
    scored = np.flatnonzero(single) if leave_one_out else np.arange(len(targets))
    most = min(SCORED, max(FEWEST_SCORED, NUMBERS // outputs))
    if len(scored) > most:
        scored = np.sort(generator.choice(scored, most, replace=False))
    sizes = subset_sizes(len(targets), outputs, 1.0 if leave_one_out else OUTSIDE)
    strata = strata_of(targets)
    orders = [nested_order(strata, numbers, generator) for _ in range(repeats)]
    fit = Fit(width=features.shape[1], outputs=outputs)
    for repeat, step in planned(sizes, len(targets), fit, repeats, work)[0]:
        order = orders[repeat]
        inside = np.sort(order[: _whole_units(order, numbers, sizes[step])])
        if not leave_one_out and len(inside) == len(targets):
            continue  # one unit is too large: nothing would be left to score
        places, predictions = _predicted(features, targets, outputs, inside, scored, leave_one_out)
        yield Look(step=step, size=len(inside), places=places, predictions=predictions)


def planned(
    sizes: Sequence[int], samples: int, fit: Fit, repeats: int, work: float
) -> tuple[list[tuple[int, int]], float]:
    """Draw and step of each subset that fits into the work, and the operations of all of them.

    Smaller ones first, and a draw of each before a second draw: of all samples there is but one.
    """
    found: list[tuple[int, int]] = []
    spent = 0.0
    for repeat in range(repeats):
        for step, size in enumerate(sizes):
            needed = fit.operations(size)
            if repeat and size == samples:
                continue
            if spent + needed > work:
                break
            spent += needed
            found.append((repeat, step))
    return found, spent


def nested_order(
    labels: NDArray[np.int64], units: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """An order of which every beginning has each class in its share, and whole units.

    Args:
        labels: Classes or strata, shape (n,); a unit counts as of that of its first sample.
        units: Shape (n,), from 0.
        generator: Decides which samples come first.

    Returns:
        Places, shape (n,). The first of each class come at the very beginning.
    """
    first = np.unique(units, return_index=True)[1]
    of_unit = labels[first]
    shuffled = generator.permutation(len(of_unit))
    due = np.empty(len(of_unit))
    for label in np.unique(of_unit):
        members = shuffled[of_unit[shuffled] == label]
        due[members] = np.arange(len(members)) / len(members)
    tie = np.empty(len(of_unit))
    tie[shuffled] = np.arange(len(of_unit))
    rank = np.empty(len(of_unit), dtype=np.int64)
    rank[np.lexsort((tie, due))] = np.arange(len(of_unit))
    found: NDArray[np.int64] = np.argsort(rank[units], kind="stable")
    return found


def subset_sizes(samples: int, classes: int, largest: float = 1.0) -> Sequence[int]:
    """Sizes of subsets, ascending: from a tenth, but not below two samples a class."""
    top = int(largest * samples)
    least = min(top, max(2 * classes, 10, round(SMALLEST * samples)))
    return sorted({int(size) for size in np.geomspace(least, top, STEPS).round()})


def _whole_units(order: NDArray[np.int64], units: NDArray[np.int64], size: int) -> int:
    """``size``, or the next larger beginning of ``order`` that tears no unit."""
    while size < len(order) and units[order[size]] == units[order[size - 1]]:
        size += 1
    return size


def _predicted(
    features: NDArray[np.float32],
    targets: Targets,
    outputs: int,
    inside: NDArray[np.int64],
    scored: NDArray[np.int64],
    leave_one_out: bool,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    whole = len(inside) == len(features)
    path = ridge_path(features if whole else taken(features, inside), targets[inside], outputs)
    outside = scored[~np.isin(scored, inside, assume_unique=True)]
    parts = [_predictions(path, features, outside)]
    places = [outside]
    if leave_one_out:
        own = np.flatnonzero(np.isin(inside, scored, assume_unique=True))
        parts.append(path.predictions[own])
        places.append(inside[own])
    where = np.concatenate(places)
    order = np.argsort(where)
    return where[order], np.concatenate(parts)[order]


def _predictions(
    path: RidgePath, features: NDArray[np.float32], places: NDArray[np.int64]
) -> NDArray[np.float32]:
    found = [np.zeros((0, len(path.intercept)), dtype=np.float32)]
    found += [path.predicted(block) for block in blocks(features, places)]
    return np.concatenate(found)
