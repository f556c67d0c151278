"""What the labels of a manifest mean: a class, several labels, or a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from automl_transfer.kinds import Kind
from automl_transfer.layouts.entry import Entry
from automl_transfer.target import Targets, strata_of


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """Entries with what is true of them, and the names of what is to be predicted."""

    kind: Kind
    names: tuple[str, ...]
    """Sorted names of classes or labels; of numbers, the name of their column."""
    entries: tuple[Entry, ...]


def split_labels(text: str, separator: str) -> tuple[str, ...]:
    """The different labels in a cell, sorted."""
    parts = {part.strip() for part in text.split(separator)}
    return tuple(sorted(parts - {""}))


def trouble_with(text: str, kind: Kind) -> str | None:
    """Why a cell cannot be a label of this kind, or None."""
    if kind == "regression":
        if not text:
            return "the row has no number to predict"
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        return None if math.isfinite(number) else f"the label {text!r} is not a finite number"
    if kind == "single-label" and not text:
        return "the row has no label"
    return None


def labelled(
    entries: Sequence[Entry], kind: Kind, column: str = "label", separator: str = ";"
) -> Labelling:
    """Reads the labels of entries that have no :func:`trouble_with` theirs.

    Args:
        entries: In the order of the data set.
        kind: What their labels are.
        column: Name of the numbers.
        separator: Between several labels.
    """
    if kind == "single-label":
        names = tuple(sorted({entry.label for entry in entries}))
        index = {name: place for place, name in enumerate(names)}
        found = tuple(replace(entry, stratum=index[entry.label]) for entry in entries)
        return Labelling(kind=kind, names=names, entries=found)
    values: list[tuple[float, ...]]
    targets: Targets
    if kind == "regression":
        names = (column,)
        values = [(float(entry.label),) for entry in entries]
        targets = np.array([value[0] for value in values], dtype=np.float64)
    else:
        sets = [split_labels(entry.label, separator) for entry in entries]
        names = tuple(sorted({name for one in sets for name in one}))
        index = {name: place for place, name in enumerate(names)}
        values = [tuple(float(index[name]) for name in one) for one in sets]
        targets = np.zeros((len(entries), len(names)), dtype=np.uint8)
        for place, one in enumerate(sets):
            targets[place, [index[name] for name in one]] = 1
    strata = strata_of(targets).tolist() if len(entries) else []
    return Labelling(
        kind=kind,
        names=names,
        entries=tuple(
            replace(entry, values=value, stratum=stratum)
            for entry, value, stratum in zip(entries, values, strata, strict=True)
        ),
    )
