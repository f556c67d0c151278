"""Class folders, and part folders with class folders in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from automl_transfer.dataset import Part, Quarantined
from automl_transfer.errors import DataError
from automl_transfer.layouts.entry import Entry
from automl_transfer.layouts.listing import Listing, listed, shorten
from automl_transfer.layouts.manifest import MANIFEST_SUFFIXES
from automl_transfer.layouts.parts import PART_NAMES, part_named
from automl_transfer.layouts.walking import Found, Walk, walk


def read_folders(root: Path, suffixes: frozenset[str], noun: str) -> Listing:
    """Reads ``root/class/**/file`` or ``root/part/class/**/file``.

    Raises:
        DataError: No file with a wanted suffix is there, or they are laid out otherwise.
    """
    found = walk(root, suffixes)
    if not found.files:
        raise DataError(_nothing(root, found, suffixes, noun))
    parts = _part_folders(root, found)
    depth = 2 if parts else 1
    placed = [file for file in found.files if len(file.parts) > depth]
    stray = [file for file in found.files if len(file.parts) <= depth]
    _require_class_folders(root, placed, stray, found, noun)
    entries = [
        Entry(
            path=file.path,
            source=file.source,
            label=file.parts[depth - 1],
            part=parts.get(file.parts[0]),
        )
        for file in placed
        if _is_text(file.source)
    ]
    unreadable = _unreadable(placed, found)
    if not entries:
        raise DataError(
            f"File names must be valid UTF-8, but none of the {len(placed)} {noun}s of "
            f"{str(root)!r} has such a name (first: {unreadable[-1].source!r}). Rename them."
        )
    notes = [
        *_part_notes(parts),
        *_left_out_notes(stray, found, noun),
    ]
    return listed(
        root=root,
        entries=entries,
        layout=_layout(parts),
        notes=notes,
        quarantined=unreadable,
        ignored=sorted([*(file.source for file in stray), *found.others]),
        empty=_empty(placed, found, depth, parts),
        noun=noun,
        hint=_deeper(root, placed, depth),
    )


def _part_folders(root: Path, found: Walk) -> dict[str, Part]:
    """Top-level folders that bear the name of a part; if any does, all must."""
    tops = sorted({file.parts[0] for file in found.files if len(file.parts) > 1})
    parts = {top: part for top in tops if (part := part_named(top)) is not None}
    others = [repr(top) for top in tops if top not in parts]
    # Read as a class, `test` beside classes would be learned from, and be one class too many.
    if parts and others:
        raise DataError(
            "Either all folders are parts (train, val, test, with class folders in them) or none "
            f"is, but {str(root)!r} has {shorten([repr(top) for top in parts])} beside "
            f"{shorten(others)}. Lay the classes out in train, val and test folders; or, if these "
            "are all classes, rename the folder or give a manifest."
        )
    return parts


def _require_class_folders(
    root: Path,
    placed: Sequence[Found],
    stray: Sequence[Found],
    found: Walk,
    noun: str,
) -> None:
    if not placed:
        where = sorted({"/".join(file.parts[:-1]) or "." for file in stray})
        inside = "it" if where == ["."] else shorten([repr(name) for name in where])
        raise DataError(
            f"{noun.capitalize()}s must lie in one folder for each class, but {len(stray)} lie "
            f"directly in {inside} and there are no class folders in {str(root)!r}. Make a folder "
            f"for each class, or give a manifest with their labels.{_manifest_hint(found)}"
        )
    tops = {file.parts[0] for file in placed}
    flat = {file.parts[0] for file in stray if len(file.parts) == 2} - tops
    for top in sorted(flat):
        count = sum(1 for file in stray if file.parts[0] == top)
        raise DataError(
            f"A part folder must hold class folders, but in {top!r} {count} {noun}s lie without "
            f"any. Put them into class folders, or move {top!r} elsewhere if they have no labels."
        )


def _part_notes(parts: dict[str, Part]) -> list[str]:
    notes = []
    for part in ("train", "val", "test"):
        folders = [repr(top) for top, meant in parts.items() if meant == part]
        if len(folders) > 1:
            notes.append(f"The folders {' and '.join(folders)} are read as one {part} part.")
    return notes


def _empty(placed: Iterable[Found], found: Walk, depth: int, parts: dict[str, Part]) -> list[str]:
    """Folders that should hold a class, and hold nothing."""
    filled = {file.parts[:length] for file in placed for length in (1, 2)}
    labels = {file.parts[depth - 1] for file in placed}
    return [
        _shown("/".join(folder))
        for folder in found.folders
        if folder not in filled
        and (
            len(folder) == 1
            or (len(folder) == 2 and folder[0] in parts and folder[1] not in labels)
        )
    ]


def _left_out_notes(stray: Sequence[Found], found: Walk, noun: str) -> list[str]:
    notes = []
    if stray:
        notes.append(
            f"{len(stray)} {noun}(s) outside any class folder are left out: "
            f"{shorten([repr(file.source) for file in stray], 3)}."
        )
    if found.hidden:
        notes.append(
            f"{len(found.hidden)} folder(s) with {noun}s are left out, for their names say that "
            f"they are hidden or of the system: {shorten([repr(one) for one in found.hidden], 3)}."
        )
    if found.others:
        notes.append(f"{len(found.others)} file(s) of other kinds are left out {_kinds(found)}.")
    if found.repeated:
        notes.append(
            f"{len(found.repeated)} link(s) to files that are listed already are left out."
        )
    return notes


def _unreadable(placed: Iterable[Found], found: Walk) -> list[Quarantined]:
    broken = [
        Quarantined(
            source=_shown(source), reason="it cannot be reached: a broken link or no right"
        )
        for source in found.broken
    ]
    irregular = [
        Quarantined(source=_shown(source), reason="it is not a regular file", kind="not a file")
        for source in found.irregular
    ]
    misnamed = [
        Quarantined(
            source=_shown(file.source), reason="its name is not valid UTF-8; rename the file"
        )
        for file in placed
        if not _is_text(file.source)
    ]
    return [*broken, *irregular, *misnamed]


def _is_text(source: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in source)


def _shown(source: str) -> str:
    return source.encode("utf-8", "backslashreplace").decode("utf-8")


def _layout(parts: dict[str, Part]) -> str:
    if not parts:
        return "class folders"
    present = [part for part in ("train", "val", "test") if part in parts.values()]
    return "/".join(present) + " folders"


def _nothing(root: Path, found: Walk, suffixes: frozenset[str], noun: str) -> str:
    seen = (
        f"{len(found.others)} other file(s) {_kinds(found)}"
        if found.others
        else ("only empty folders" if found.folders else "nothing at all")
    )
    unread = f" {len(found.broken)} folder(s) or link(s) cannot be read." if found.broken else ""
    return (
        f"There must be {noun}s in {str(root)!r} or in folders below it, but among visible files "
        f"none ends in {', '.join(sorted(suffixes))}; found {seen}.{unread} Check the path."
        + _manifest_hint(found)
    )


def _kinds(found: Walk) -> str:
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no ending" for name in found.others)
    shown = [f"{kind}: {count}" for kind, count in kinds.most_common()]
    return f"({shorten(shown, 5)})"


def _manifest_hint(found: Walk) -> str:
    manifests = [
        name for name in found.others if PurePosixPath(name).suffix.lower() in MANIFEST_SUFFIXES
    ]
    return f" Or did you mean the manifest {min(manifests)!r} in it?" if manifests else ""


def _deeper(root: Path, placed: Sequence[Found], depth: int) -> str:
    """For data in a folder within the folder: the path that was probably meant."""
    below = sorted({file.parts[depth] for file in placed if len(file.parts) > depth + 1})
    if len(below) < 2:
        return ""
    inner = root.joinpath(*placed[0].parts[:depth])
    known = sum(name.lower() in PART_NAMES for name in below)
    what = "parts" if known > 1 else "classes"
    return f" Did you mean {str(inner)!r}, with the {what} {shorten([repr(x) for x in below], 5)}?"
