"""A labelled data set as the core sees it: references, labels and splits, never contents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl_transfer.jsonable import digest

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
    samples: tuple[Sample, ...]
    layout: str
    """How it was read, in words: ``class folders``, ``train/val/test folders``, ``manifest``."""
    quarantined: tuple[Quarantined, ...] = ()
    empty_classes: tuple[str, ...] = ()
    """Where samples of a class were expected and none is, as the data name it: empty folders."""
    notes: tuple[str, ...] = ()
    """What the user should be told about how it was read."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """For the modality alone; JSON."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class indices, shape (n,)."""
        return np.array([sample.label for sample in self.samples], dtype=np.int64)

    @property
    def fingerprint(self) -> str:
        """Identity of contents and labels, independent of the order and place of files."""
        return digest(
            [
                list(self.classes),
                sorted((sample.id, sample.label, sample.part or "") for sample in self.samples),
            ]
        )


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
