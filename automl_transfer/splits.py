"""Train, validation and test: which sample is in which part.

The draw is stratified and by consistent hashing: within a class, samples are ordered by the
SHA-256 of the seed and their id. So it depends on neither the order of the files, nor the machine,
nor the version of any library. What is drawn is a unit: identical files, near copies and the
user's groups stay on one side.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from automl_transfer.dataset import PARTS, HoldOut, Part, Sample, Splits, given_parts
from automl_transfer.errors import DataError
from automl_transfer.kinds import Kind, word_of
from automl_transfer.target import outputs_of
from automl_transfer.units import units as make_units

TEST_SHARE = 0.2
TEST_AT_LEAST = 200
"""From :data:`LARGE` samples on, so that the score of the test part means something."""
TEST_AT_MOST = 0.4
LARGE = 500
"""With fewer samples no test part is drawn: it would be too dear, and too small to mean much."""
VAL_SHARE = 0.25
"""Of what is left after the test part."""
_STRATA: dict[Kind, str] = {
    "single-label": "class",
    "multi-label": "rarest label",
    "regression": "number",
}
_NAMED = 5
"""Classes that an error names."""


def make_splits(
    samples: Sequence[Sample],
    classes: Sequence[str],
    seed: int,
    *,
    clusters: NDArray[np.int64] | None = None,
    hold_out: HoldOut = "auto",
    kind: Kind = "single-label",
) -> Splits:
    """Assigns each sample to one part.

    Parts that the user gave are kept, those that are missing are drawn from the training part; a
    sample without a part counts as train. Where files with the same content were given to
    different parts, all of them go to test if one is there, else to val: what the search learns
    from must not be in what it is scored on.

    Args:
        samples: In any order.
        classes: Names, of strata where there are no classes; labels are positions in it.
        seed: Decides the draw.
        clusters: Shape (n,), the same number for samples that look alike: they are drawn together.
        hold_out: Whether a test part is drawn where none is given; ``auto``: from :data:`LARGE`
            samples on.
        kind: Of what is to be predicted, for the description.

    Returns:
        Positions in ``samples``, ascending. Each class is in each drawn part when it has at least
        five units to draw from (test, val and train need one each). Without a test part, its
        positions are none.

    Raises:
        DataError: Nothing is left to train on, or not for some class; or nothing to validate on.
    """
    given = {sample.part for sample in samples if sample.part is not None}
    asked = "test" not in given and (
        hold_out == "yes" or (hold_out == "auto" and len(samples) >= LARGE)
    )
    parts, moved = _given(samples)
    linked = make_units(samples, clusters)
    drawn = []
    pool = _Pool(samples, linked, parts)
    keep = 1 if "val" in given else 2
    if asked and pool.draw("test", _test_size(pool.size), keep, f"{seed}:test", whole=True):
        drawn.append("test")
    if "val" not in given and pool.draw("val", VAL_SHARE * pool.size, 1, f"{seed}:val"):
        drawn.append("val")
    _require_training(samples, classes, parts, moved, kind)
    _require_validation(classes, parts, pool, given="val" in given)
    where = np.array([PARTS.index(parts[sample.id]) for sample in samples], dtype=np.int64)
    train, val, test = (np.flatnonzero(where == place) for place in range(len(PARTS)))
    return Splits(
        train=train,
        val=val,
        test=test,
        units=linked,
        description=_describe(
            drawn,
            (len(train), len(val), len(test)),
            seed,
            moved,
            kinds=_kinds(samples, clusters, where),
            untested=keep + 1 if asked else None,
            kind=kind,
        ),
    )


class _Pool:
    """What may still be drawn from: the units of the training part."""

    def __init__(
        self, samples: Sequence[Sample], linked: NDArray[np.int64], parts: dict[str, Part]
    ) -> None:
        self._parts = parts
        learned: dict[int, bool] = {}
        for sample, unit in zip(samples, linked.tolist(), strict=True):
            learned[unit] = learned.get(unit, True) and parts[sample.id] == "train"
        self._divided: set[str] = set()
        self._copies: Counter[str] = Counter()
        self._ids: dict[str, list[str]] = defaultdict(list)
        members: dict[int, list[Sample]] = defaultdict(list)
        for sample, unit in zip(samples, linked.tolist(), strict=True):
            if parts[sample.id] == "train":
                members[unit].append(sample)
        votes: dict[str, Counter[int]] = {}
        for unit, of_unit in members.items():
            name = min(sample.id for sample in of_unit)
            if not learned[unit]:
                self._divided.add(name)
            self._copies[name] = len(of_unit)
            self._ids[name] = sorted({sample.id for sample in of_unit})
            votes[name] = Counter(sample.label for sample in of_unit)
        # Of the most frequent labels, the lowest.
        self._labels = {
            name: min(counts, key=lambda label: (-counts[label], label))
            for name, counts in votes.items()
        }

    @property
    def size(self) -> int:
        """Samples that are left."""
        return sum(self._copies.values())

    @property
    def units(self) -> Counter[int]:
        """Units that are left, by class."""
        return Counter(self._labels[name] for name in self._copies)

    def draw(
        self, part: Part, size: float, keep: int, salt: str, *, whole: bool = False
    ) -> list[str]:
        """Moves units of about ``size`` samples into ``part``; see :func:`_draw`.

        Args:
            part: Where to.
            size: Samples wanted in all.
            keep: Units that must be left of each class.
            salt: Decides the draw.
            whole: Leave units where they are of which a given part has samples, too.

        Returns:
            Names of the units.
        """
        pool = [name for name in self._copies if not (whole and name in self._divided)]
        chosen = _draw(pool, self._copies, self._labels, size, keep, salt)
        for name in chosen:
            for id in self._ids[name]:
                self._parts[id] = part
            del self._copies[name]
        return chosen


def _given(samples: Sequence[Sample]) -> tuple[dict[str, Part], int]:
    """The part of each id before anything is drawn, and how many samples had to move for it."""
    parts = given_parts(samples)
    return parts, sum(sample.given_part != parts[sample.id] for sample in samples)


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
    """Draws units of about ``size`` samples, from each class its share.

    Args:
        pool: Names of the units to draw from.
        copies: Samples of each.
        labels: Class of each.
        size: Samples wanted in all.
        keep: Units that must be left of each class.
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
    samples: Sequence[Sample],
    classes: Sequence[str],
    parts: Mapping[str, Part],
    moved: int,
    kind: Kind,
) -> None:
    present, trained = (
        {
            place
            for sample in samples
            if parts[sample.id] in among
            for place in outputs_of(kind, sample.label, sample.values)
        }
        for among in (PARTS, ("train",))
    )
    missing = [repr(name) for label, name in enumerate(classes) if label in present - trained]
    if missing:
        what = word_of(kind)
        why = (
            f" {moved} given ones are not used, since identical files are in a held-out part."
            if moved
            else ""
        )
        raise DataError(
            f"Every {what} must have samples to learn from in the training part, but "
            f"{', '.join(missing)} has none.{why} Add samples of it, or take the {what} out."
        )


def _require_validation(
    classes: Sequence[str], parts: Mapping[str, Part], pool: _Pool, given: bool
) -> None:
    if "val" in parts.values():
        return
    if given:
        raise DataError(
            "The validation part must have samples, but each that was given to it has an "
            "identical file in the test part. Take one of the two out."
        )
    counts = pool.units
    found = [f"{name!r} has {counts[label]}" for label, name in enumerate(classes)]
    more = f", and {len(found) - _NAMED} more classes" if len(found) > _NAMED else ""
    raise DataError(
        "Each class must have at least two groups of samples, one to learn from and one to "
        f"validate on, but none of the classes has: {', '.join(found[:_NAMED])}{more}. Identical "
        "files, near copies and what --group-by puts together count as one group. Add samples, or "
        "divide them into smaller groups."
    )


def _kinds(
    samples: Sequence[Sample], clusters: NDArray[np.int64] | None, where: NDArray[np.int64]
) -> dict[str, bool]:
    """What should stay together, and whether it does; identical files always do."""
    found = {"identical files": True}
    if clusters is not None:
        found["near copies"] = _together(clusters.tolist(), where)
    names = [sample.group or None for sample in samples]
    if any(names):
        found["groups"] = _together(names, where)
    return found


def _together(names: Sequence[object], where: NDArray[np.int64]) -> bool:
    sides: dict[object, int] = {}
    return all(
        name is None or sides.setdefault(name, side) == side
        for name, side in zip(names, where.tolist(), strict=True)
    )


def _describe(
    drawn: Sequence[str],
    counts: tuple[int, int, int],
    seed: int,
    moved: int,
    kinds: Mapping[str, bool],
    untested: int | None,
    kind: Kind,
) -> str:
    total = sum(counts)
    sizes = ", ".join(
        f"{part} {count} ({count / total:.0%})" for part, count in zip(PARTS, counts, strict=True)
    )
    if not drawn:
        how = "as given"
    else:
        rest = [
            part
            for part, count in zip(PARTS, counts, strict=True)
            if part not in drawn and part != "train" and count
        ]
        how = (f"{' and '.join(rest)} as given; " if rest else "") + (
            f"{' and '.join(drawn)} drawn from train, stratified by {_STRATA[kind]}, "
            f"with seed {seed}"
        )
    more = f"; {moved} sample(s) moved to where an identical file was held out" if moved else ""
    together = " and ".join(kind for kind, whole in kinds.items() if whole)
    divided = " and ".join(kind for kind, whole in kinds.items() if not whole)
    if divided:
        more += f"; given parts are kept, though {divided} are in several of them"
    if not counts[2]:
        more += f"; no test part{_why_untested(untested)}: the score is by cross-validation"
    return f"{sizes}; {how}; {together} stay together{more}"


def _why_untested(groups: int | None) -> str:
    """Why none was drawn though it was asked for: it takes so many groups of a class."""
    if groups is None:
        return ""
    return (
        ", since no class has three groups to draw from (one each for train, val and test)"
        if groups > 2
        else ", since no class has two groups to draw from (one each for train and test)"
    )
