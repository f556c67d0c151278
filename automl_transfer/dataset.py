"""A labelled data set as the core sees it: references, labels and splits, never contents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl_transfer.jsonable import digest
from automl_transfer.kinds import Kind
from automl_transfer.target import Targets

Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
HoldOut = Literal["auto", "yes", "no"]
"""Whether a test part is drawn; ``auto``: when there are samples enough."""
HOLD_OUT: tuple[HoldOut, ...] = ("auto", "yes", "no")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One labelled item."""

    id: str
    """Hash of the content: equal content, equal id, wherever the file lies."""
    source: str
    """Where the modality finds it: a path relative to the data set's root, or a row."""
    label: int
    """Index of its class; of other kinds, of its stratum (:func:`.target.strata_of`): what splits
    keep in proportion."""
    values: tuple[float, ...] = ()
    """Of kinds other than single-label, what is true of it: indices of the labels that hold,
    ascending; or the number."""
    part: Part | None = None
    """The part that the user put it in, if they did."""
    group: str = ""
    """What it belongs to by the user's word (a patient, a scene); samples of one group stay in
    one part. Empty: to nothing but itself."""

    @property
    def given_part(self) -> Part:
        """The part; a sample that was put into none counts as train."""
        return self.part or "train"


def given_parts(samples: Iterable[Sample]) -> dict[str, Part]:
    """The part of each content by its id: where it is in several, the one that is held out."""
    parts: dict[str, Part] = {}
    for sample in samples:
        part = sample.given_part
        parts[sample.id] = max(part, parts.get(sample.id, part), key=PARTS.index)
    return parts


@dataclass(frozen=True, kw_only=True)
class Quarantined:
    """An item that cannot be used; it is listed and left out."""

    source: str
    reason: str
    kind: str = ""
    """What is wrong in a few words, the same for all that fail alike; empty: see the reason."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """How the user says that the data are to be read."""

    path_column: str = "path"
    label_column: str = "label"
    split_column: str | None = None
    """None: a column named ``split`` is used where there is one."""
    root: Path | None = None
    """Directory that the paths of a manifest are relative to; None: that of the manifest."""
    task: Kind | Literal["auto"] = "auto"
    """What the labels of a manifest are. ``auto``: classes, or, of a column of lists, labels."""
    label_separator: str = ";"
    """Between the labels of a sample in a cell of a manifest."""
    modality: str | None = None
    """None: the modality that recognises the data."""
    group_by: str | None = None
    """Column of a manifest, or regular expression on the path: its first group, else the whole
    match, names what a sample belongs to. None: samples belong to nothing."""


@dataclass(frozen=True, kw_only=True)
class Recognition:
    """A modality's answer to "is this yours?"."""

    score: float
    """0: no. 1: certainly. The highest wins."""
    reason: str
    """What was looked for and found, for the error message when nobody recognises the data."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Samples in the order of their source, whatever the order of the file system."""

    modality: str
    root: str
    """What ``Sample.source`` is relative to."""
    classes: tuple[str, ...]
    """Names of the classes or labels; of numbers, the one name that they have."""
    samples: tuple[Sample, ...]
    layout: str
    """How it was read, in words: ``class folders``, ``train/val/test folders``, ``manifest``."""
    quarantined: tuple[Quarantined, ...] = ()
    empty_classes: tuple[str, ...] = ()
    """Where samples of a class were expected and none is, as the data name it: empty folders."""
    notes: tuple[str, ...] = ()
    """What the user should be told about how it was read."""
    kind: Kind = "single-label"
    extra: Mapping[str, Any] = field(default_factory=dict)
    """For the modality alone; JSON."""

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Class indices, shape (n,); of other kinds, indices of strata."""
        return np.array([sample.label for sample in self.samples], dtype=np.int64)

    @cached_property
    def targets(self) -> Targets:
        """What is to be predicted, in the form of its kind; see :mod:`automl_transfer.target`."""
        if self.kind == "single-label":
            return self.labels
        if self.kind == "regression":
            return np.array([sample.values[0] for sample in self.samples], dtype=np.float64)
        found = np.zeros((len(self.samples), len(self.classes)), dtype=np.uint8)
        for place, sample in enumerate(self.samples):
            found[place, [int(value) for value in sample.values]] = 1
        return found

    @property
    def strata(self) -> tuple[str, ...]:
        """What :attr:`labels` are indices of, for people: the classes, unless there are none."""
        if self.kind == "multi-label":
            return (*self.classes, "no label")
        if self.kind == "regression":
            parts = int(self.labels.max(initial=0)) + 1
            return tuple(f"{self.classes[0]} {place + 1}/{parts}" for place in range(parts))
        return self.classes

    def label_text(self, sample: Sample) -> str:
        """What is true of a sample, for people: its class, its labels, its number."""
        if self.kind == "single-label":
            return self.classes[sample.label]
        if self.kind == "regression":
            return f"{sample.values[0]:.10g}"
        return "; ".join(self.label_names(sample))

    def label_names(self, sample: Sample) -> list[str]:
        """The labels that hold of a sample."""
        return [self.classes[int(value)] for value in sample.values]

    @property
    def fingerprint(self) -> str:
        """Identity of contents and labels, independent of the order and place of files."""
        whole: list[Any] = [
            list(self.classes),
            sorted(
                (sample.id, sample.label, sample.part or "")
                if self.kind == "single-label"
                else (sample.id, list(sample.values), sample.part or "")
                for sample in self.samples
            ),
        ]
        return digest(whole if self.kind == "single-label" else [*whole, self.kind])


@dataclass(frozen=True, kw_only=True)
class Splits:
    """Positions of the samples of each part. The parts are disjoint."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    description: str
    """How they came about, in words."""
    units: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """Of all samples, which unit each belongs to, shape (n,): units are never torn."""

    def of(self, part: Part) -> NDArray[np.int64]:
        """Positions of one part, shape (n_part,)."""
        positions: NDArray[np.int64] = getattr(self, part)
        return positions

    @property
    def development(self) -> NDArray[np.int64]:
        """Train and validation together: all that a search may look at."""
        return np.sort(np.concatenate([self.train, self.val]))


def take(samples: Sequence[Sample], positions: NDArray[np.int64]) -> list[Sample]:
    """The samples at ``positions``."""
    return [samples[int(position)] for position in positions]
