"""What a layout comes to: files with labels, and the rules that every listing must meet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl_transfer.dataset import Part, Quarantined
from automl_transfer.errors import DataError

MIN_PER_CLASS = 5
"""Different usable samples a class must have: with fewer, a class cannot be in every part."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A labelled file."""

    path: Path
    source: str
    """The path relative to the listing's root, with forward slashes; absolute if outside it."""
    label: str
    part: Part | None = None
    group: str = ""
    """What it belongs to; empty: to nothing but itself."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The labelled files of a data set, sorted by source."""

    root: Path
    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    """Sorted names."""
    layout: str
    """In words: ``class folders``, ``train/val/test folders``, ``manifest``."""
    notes: tuple[str, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    """Files that are named but cannot be had."""
    ignored: tuple[str, ...] = ()
    """Sources of files that were seen and left out, since nothing says what they are."""
    empty: tuple[str, ...] = ()
    """Folders where a class was expected and no file is."""


def listed(
    *,
    root: Path,
    entries: Iterable[Entry],
    layout: str,
    notes: Sequence[str] = (),
    quarantined: Sequence[Quarantined] = (),
    ignored: Sequence[str] = (),
    empty: Sequence[str] = (),
    noun: str,
    hint: str = "",
) -> Listing:
    """Sorts, and checks what holds for every layout.

    Raises:
        DataError: There is one class only, or a class or the whole training part has no sample to
            learn from.
    """
    ordered = tuple(sorted(entries, key=lambda entry: entry.source))
    classes = tuple(sorted({entry.label for entry in ordered}))
    if len(classes) == 1:
        raise DataError(
            f"At least two classes are needed, but all {len(ordered)} {noun}s of {str(root)!r} "
            f"are of one class, {classes[0]!r}.{hint or ' Add a folder or label for another one.'}"
        )
    _require_training(ordered, classes, noun)
    return Listing(
        root=root,
        entries=ordered,
        classes=classes,
        layout=layout,
        notes=tuple(notes),
        quarantined=tuple(quarantined),
        ignored=tuple(ignored),
        empty=tuple(empty),
    )


def require_enough(
    classes: Sequence[str],
    distinct: Sequence[int],
    totals: Sequence[int],
    noun: str = "image",
) -> None:
    """Checks that every class has :data:`MIN_PER_CLASS` different usable samples.

    Args:
        classes: Names.
        distinct: For each class, usable samples of different content.
        totals: For each class, all files that were listed.
        noun: What a sample is, for the message.

    Raises:
        DataError: It names each class that has too few, with the counts.
    """
    short = [
        f"{name!r} has {count}" + (f" (of {total} files)" if total != count else "")
        for name, count, total in zip(classes, distinct, totals, strict=True)
        if count < MIN_PER_CLASS
    ]
    if short:
        raise DataError(
            f"Every class needs at least {MIN_PER_CLASS} different usable {noun}s, but "
            f"{shorten(short)}. Add {noun}s to these classes, or take the classes out."
        )


def shorten(items: Sequence[str], shown: int = 10) -> str:
    """The first of ``items`` with commas, and how many more there are."""
    rest = len(items) - shown
    return ", ".join(items[:shown]) + (f" and {rest} more" if rest > 0 else "")


def _require_training(entries: Sequence[Entry], classes: Sequence[str], noun: str) -> None:
    if not any(entry.part for entry in entries):
        return
    trained = {entry.label for entry in entries if entry.part in (None, "train")}
    missing = [name for name in classes if name not in trained]
    if missing and not trained:
        raise DataError(
            f"There must be a training part, but all {len(entries)} {noun}s are in "
            f"{' and '.join(sorted({str(entry.part) for entry in entries}))}. Name the part to "
            "learn from 'train', or do without parts: then they are drawn."
        )
    if missing:
        raise DataError(
            f"Every class must have {noun}s in the training part, but "
            f"{shorten([repr(name) for name in missing])} only occur elsewhere. Move some of "
            "theirs to 'train', or take these classes out."
        )
