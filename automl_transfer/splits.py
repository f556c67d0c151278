"""Train, validation and test: which sample is in which part.

The draw is stratified and by consistent hashing: within a class, samples are ordered by the
SHA-256 of the seed and their id. So it depends on neither the order of the files, nor the machine,
nor the version of any library; and identical files, which have the same id, stay on one side.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from automl_transfer.dataset import PARTS, Part, Sample, Splits
from automl_transfer.errors import DataError

TEST_SHARE = 0.2
TEST_AT_LEAST = 200
"""From :data:`LARGE` samples on, so that the score of the test part means something."""
TEST_AT_MOST = 0.4
LARGE = 500
VAL_SHARE = 0.25
"""Of what is left after the test part."""


def make_splits(
    samples: Sequence[Sample],
    classes: Sequence[str],
    seed: int,
    *,
    clusters: NDArray[np.int64] | None = None,
) -> Splits:
    """Assigns each sample to one part.

    Parts that the user gave are kept, those that are missing are drawn from the training part; a
    sample without a part counts as train. Where files with the same content were given to
    different parts, all of them go to test if one is there, else to val: what the search learns
    from must not be in what it is scored on.

    Args:
        samples: In any order.
        classes: Names; labels are positions in it.
        seed: Decides the draw.
        clusters: The same number for samples that belong in one part, shape (n,).

    Returns:
        Positions in ``samples``, ascending. Each class is in each drawn part when it has at least
        five samples of different content to draw from (test, val and train need one each).

    Raises:
        DataError: Nothing is left to train on, or not for some class.
    """
    given = {sample.part for sample in samples if sample.part is not None}
    parts, moved = _given(samples)
    drawn = []
    pool = [id for id, part in parts.items() if part == "train"]
    copies = Counter(sample.id for sample in samples)
    labels = _labels(samples)
    if "test" not in given:
        size = _test_size(sum(copies[id] for id in pool))
        keep = 1 if "val" in given else 2
        for id in _draw(pool, copies, labels, size, keep, f"{seed}:test"):
            parts[id] = "test"
        drawn.append("test")
    if "val" not in given:
        pool = [id for id in pool if parts[id] == "train"]
        size = VAL_SHARE * sum(copies[id] for id in pool)
        for id in _draw(pool, copies, labels, size, 1, f"{seed}:val"):
            parts[id] = "val"
        drawn.append("val")
    _require_training(samples, classes, parts, moved)
    where = np.array([PARTS.index(parts[sample.id]) for sample in samples], dtype=np.int64)
    train, val, test = (np.flatnonzero(where == place) for place in range(len(PARTS)))
    return Splits(
        train=train,
        val=val,
        test=test,
        description=_describe(drawn, (len(train), len(val), len(test)), seed, moved),
    )


def _given(samples: Sequence[Sample]) -> tuple[dict[str, Part], int]:
    """The part of each id before anything is drawn, and how many samples had to move for it."""
    parts: dict[str, Part] = {}
    for sample in samples:
        part = sample.part or "train"
        parts[sample.id] = max(part, parts.get(sample.id, "train"), key=PARTS.index)
    moved = sum((sample.part or "train") != parts[sample.id] for sample in samples)
    return parts, moved


def _labels(samples: Sequence[Sample]) -> dict[str, int]:
    """One label for each id: the most frequent; of several, the lowest."""
    votes: dict[str, Counter[int]] = defaultdict(Counter)
    for sample in samples:
        votes[sample.id][sample.label] += 1
    return {
        id: min(counts, key=lambda label: (-counts[label], label)) for id, counts in votes.items()
    }


def _test_size(samples: int) -> float:
    size = TEST_SHARE * samples
    return min(max(size, TEST_AT_LEAST), TEST_AT_MOST * samples) if samples >= LARGE else size


def _draw(
    pool: Collection[str],
    copies: Mapping[str, int],
    labels: Mapping[str, int],
    size: float,
    keep: int,
    salt: str,
) -> list[str]:
    """Draws ids of about ``size`` samples, from each class its share.

    Args:
        pool: Ids to draw from.
        copies: Samples of each id.
        labels: Class of each id.
        size: Samples wanted in all.
        keep: Ids that must be left of each class.
        salt: Decides the draw.
    """
    by_class: dict[int, list[str]] = defaultdict(list)
    for id in pool:
        by_class[labels[id]].append(id)
    totals = {label: sum(copies[id] for id in ids) for label, ids in by_class.items()}
    quotas = _quotas(totals, size)
    chosen: list[str] = []
    for label, ids in sorted(by_class.items()):
        ids.sort(key=lambda id: hashlib.sha256(f"{salt}:{id}".encode()).digest())
        room = max(len(ids) - keep, 0)
        taken: list[str] = []
        filled = 0
        for id in ids:
            if len(taken) < room and filled + copies[id] <= quotas[label]:
                taken.append(id)
                filled += copies[id]
        if not taken and room:
            taken.append(min(ids, key=lambda id: copies[id]))
        chosen.extend(taken)
    return chosen


def _quotas(totals: Mapping[int, int], size: float) -> dict[int, int]:
    """Whole numbers in proportion to ``totals`` that add up to ``size``; none is 0."""
    everything = sum(totals.values())
    exact = {label: size * total / everything for label, total in totals.items()}
    quotas = {label: int(value) for label, value in exact.items()}
    missing = round(size) - sum(quotas.values())
    by_remainder = sorted(exact, key=lambda label: (quotas[label] - exact[label], label))
    for label in by_remainder[: max(missing, 0)]:
        quotas[label] += 1
    return {label: max(quota, 1) for label, quota in quotas.items()}


def _require_training(
    samples: Sequence[Sample], classes: Sequence[str], parts: Mapping[str, Part], moved: int
) -> None:
    trained = {sample.label for sample in samples if parts[sample.id] == "train"}
    missing = [repr(name) for label, name in enumerate(classes) if label not in trained]
    if missing:
        why = (
            f" {moved} given ones are not used, since identical files are in a held-out part."
            if moved
            else ""
        )
        raise DataError(
            "Every class must have samples to learn from in the training part, but "
            f"{', '.join(missing)} has none.{why} Add samples of it, or take the class out."
        )


def _describe(drawn: Sequence[str], counts: tuple[int, int, int], seed: int, moved: int) -> str:
    total = sum(counts)
    sizes = ", ".join(
        f"{part} {count} ({count / total:.0%})" for part, count in zip(PARTS, counts, strict=True)
    )
    if not drawn:
        how = "as given"
    else:
        rest = [part for part in PARTS if part not in drawn and part != "train"]
        how = (f"{' and '.join(rest)} as given; " if rest else "") + (
            f"{' and '.join(drawn)} drawn from train, stratified by class, with seed {seed}"
        )
    more = f"; {moved} sample(s) moved to where an identical file was held out" if moved else ""
    return f"{sizes}; {how}; identical files stay together{more}"
