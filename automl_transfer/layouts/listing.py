"""What a layout comes to: files with labels, and the rules that every listing must meet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from automl_transfer.dataset import Quarantined
from automl_transfer.errors import DataError
from automl_transfer.kinds import Kind, word_of
from automl_transfer.layouts.entry import Entry
from automl_transfer.layouts.labelling import Labelling, labelled, trouble_with
from automl_transfer.target import outputs_of

MIN_PER_CLASS = 5
"""Different usable samples a class or label must have: with fewer, it cannot be in every part."""
MIN_NUMBERS = 20
"""Different usable samples with a number to predict."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The labelled files of a data set, sorted by source."""

    root: Path
    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    """Sorted names of classes or labels; of numbers, the one name that they have."""
    kind: Kind
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
    kind: Kind = "single-label",
    column: str = "label",
    separator: str = ";",
) -> Listing:
    """Sorts, reads the labels, and checks what holds for every layout.

    Args:
        root: See :class:`Listing`, as for most of the others.
        entries: With their labels as the data say them.
        layout: In words.
        notes: For the user.
        quarantined: What cannot be had.
        ignored: What was left out.
        empty: Folders without files.
        noun: What a file holds, for the messages.
        hint: What to do about a single class.
        kind: What the labels are.
        column: Name of numbers to predict.
        separator: Between several labels.

    Raises:
        DataError: There is one class or number only or no label at all, or one of them, or the
            whole training part, has no sample to learn from.
    """
    ordered = sorted(entries, key=lambda entry: entry.source)
    found = labelled(ordered, kind, column, separator)
    if kind == "single-label" and len(found.names) == 1:
        raise DataError(
            f"At least two classes are needed, but all {len(ordered)} {noun}s of {str(root)!r} "
            f"are of one class, {found.names[0]!r}."
            f"{hint or ' Add a folder or label for another one.'}"
        )
    if kind == "multi-label" and not found.names:
        raise DataError(
            f"At least one label must hold of a {noun}, but none of the {len(ordered)} {noun}s of "
            f"{str(root)!r} has any. Name the column with the labels with --label-column."
        )
    if kind == "regression" and len({entry.values for entry in found.entries}) == 1:
        raise DataError(
            f"The numbers to predict must differ, but column {column!r} has "
            f"{found.entries[0].label!r} for all {len(ordered)} {noun}s. Name another column with "
            "--label-column."
        )
    _require_training(found, noun)
    return Listing(
        root=root,
        entries=found.entries,
        classes=found.names,
        kind=kind,
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
    kind: Kind = "single-label",
) -> None:
    """Checks that every class or label has :data:`MIN_PER_CLASS` different usable samples, or that
    there are :data:`MIN_NUMBERS` of them with numbers.

    Args:
        classes: Names.
        distinct: For each of them, usable samples of different content.
        totals: For each of them, all files that were listed.
        noun: What a sample is, for the message.
        kind: What they are names of.

    Raises:
        DataError: It names each class that has too few, with the counts.
    """
    if kind == "regression":
        if distinct[0] < MIN_NUMBERS:
            raise DataError(
                f"At least {MIN_NUMBERS} different usable {noun}s with a number are needed, but "
                f"there are {distinct[0]} (of {totals[0]} files). Add some."
            )
        return
    what, whats = ("label", "labels") if kind == "multi-label" else ("class", "classes")
    short = [
        f"{name!r} has {count}" + (f" (of {total} files)" if total != count else "")
        for name, count, total in zip(classes, distinct, totals, strict=True)
        if count < MIN_PER_CLASS
    ]
    if short:
        raise DataError(
            f"Every {what} needs at least {MIN_PER_CLASS} different usable {noun}s, but "
            f"{shorten(short)}. Add {noun}s to these {whats}, or take the {whats} out."
            + (_other_kind(classes) if kind == "single-label" else "")
        )


def _other_kind(classes: Sequence[str]) -> str:
    """What names of classes look like, if they look like something else."""
    if all(trouble_with(name, "regression") is None for name in classes):
        return " If these are numbers to predict, give --task regression."
    if sum(";" in name for name in classes) * 2 > len(classes):
        return " If these are several labels each, give --task multi-label."
    return ""


def shorten(items: Sequence[str], shown: int = 10) -> str:
    """The first of ``items`` with commas, and how many more there are."""
    rest = len(items) - shown
    return ", ".join(items[:shown]) + (f" and {rest} more" if rest > 0 else "")


def _require_training(found: Labelling, noun: str) -> None:
    entries = found.entries
    if not any(entry.part for entry in entries):
        return
    learned = [entry for entry in entries if entry.part in (None, "train")]
    if not learned:
        raise DataError(
            f"There must be a training part, but all {len(entries)} {noun}s are in "
            f"{' and '.join(sorted({str(entry.part) for entry in entries}))}. Name the part to "
            "learn from 'train', or do without parts: then they are drawn."
        )
    present = {
        place for entry in learned for place in outputs_of(found.kind, entry.stratum, entry.values)
    }
    missing = [name for place, name in enumerate(found.names) if place not in present]
    if missing:
        what = word_of(found.kind)
        raise DataError(
            f"Every {what} must have {noun}s in the training part, but "
            f"{shorten([repr(name) for name in missing])} only occur elsewhere. Move some of "
            f"theirs to 'train', or take {'them' if what == 'label' else 'these classes'} out."
        )
