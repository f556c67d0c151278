"""A table with a row for each file: CSV, TSV or Parquet."""

from __future__ import annotations

import csv
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from automl_transfer.dataset import DataOptions, Part, Quarantined
from automl_transfer.errors import DataError, did_you_mean
from automl_transfer.kinds import Kind
from automl_transfer.layouts.entry import Entry
from automl_transfer.layouts.labelling import split_labels, trouble_with
from automl_transfer.layouts.listing import Listing, listed, shorten
from automl_transfer.layouts.parts import PART_NAMES, part_named

MANIFEST_SUFFIXES = frozenset({".csv", ".tsv", ".parquet", ".pq"})

_SPLIT = "split"
LABEL = "no usable label"
"""Kind of a row whose label is what is wrong."""


@dataclass(frozen=True, kw_only=True)
class _Table:
    """Columns by name; every value is text, and empty where there is none."""

    columns: Mapping[str, Sequence[str]]
    split: str | None
    """The column with the parts, if there is one."""
    group: str | None = None
    """The column with the groups, if there is one."""
    lists: bool = False
    """The labels are lists."""


def read_manifest(path: Path, options: DataOptions, noun: str) -> Listing:
    """Reads a manifest; files that it names and that are not there are quarantined.

    Raises:
        DataError: It is no manifest, lacks a column, or none of its files is there.
    """
    table = _read(path, options, None)
    root = options.root or path.parent
    kind = _kind(table, options)
    labels = table.columns[options.label_column]
    if kind == "multi-label":
        separator = options.label_separator
        labels = [f"{separator} ".join(split_labels(cell, separator)) for cell in labels]
    rows = zip(table.columns[options.path_column], labels, strict=True)
    parts = _parts(table, path)
    groups = table.columns[table.group] if table.group else [""] * len(parts)
    entries: dict[str, Entry] = {}
    quarantined: list[Quarantined] = []
    repeated = 0
    every = zip(rows, parts, groups, strict=True)
    for number, ((name, label), part, group) in enumerate(every, start=1):
        file = root / name
        source = _source(file, root)
        reason = _trouble(name, label, kind, file, entries.get(source))
        if reason is not None:
            what = LABEL if name and trouble_with(label, kind) else ""
            quarantined.append(
                Quarantined(source=name or f"row {number}", reason=reason, kind=what)
            )
        elif source in entries:
            repeated += 1
        else:
            entries[source] = Entry(path=file, source=source, label=label, part=part, group=group)
    if not entries:
        raise DataError(_nothing(path, root, quarantined, noun, kind, options))
    bad = sum(item.kind == LABEL for item in quarantined)
    empty = sum(not entry.label for entry in entries.values())
    labelled = [
        *([f"{bad} row(s) have no label that can be used, and are left out."] if bad else []),
        *([f"{empty} row(s) have an empty cell: none of the labels holds."] if empty else []),
    ]
    notes = [f"{repeated} row(s) repeat an earlier one and are left out."] if repeated else []
    if table.split is not None and "" in table.columns[table.split]:
        count = Counter(table.columns[table.split])[""]
        notes.append(f"{count} row(s) name no part in {table.split!r} and count as train.")
    return listed(
        root=root,
        entries=entries.values(),
        layout="manifest" if table.split is None else "manifest with parts",
        notes=[*labelled, *notes],
        quarantined=quarantined,
        noun=noun,
        kind=kind,
        column=options.label_column,
        separator=options.label_separator,
    )


def peek_manifest(path: Path, options: DataOptions, rows: int) -> list[str]:
    """The paths in the first rows, to guess what kind of files they are.

    Raises:
        DataError: As :func:`read_manifest`.
    """
    return list(_read(path, options, rows).columns[options.path_column])


def _kind(table: _Table, options: DataOptions) -> Kind:
    if options.task != "auto":
        return options.task
    return "multi-label" if table.lists else "single-label"


def _trouble(name: str, label: str, kind: Kind, file: Path, before: Entry | None) -> str | None:
    if not name:
        return "the row has no path"
    trouble = trouble_with(label, kind)
    if trouble is not None:
        return trouble
    if before is not None and before.label != label:
        return f"an earlier row labels the same file {before.label!r}, this one {label!r}"
    if before is None and not _is_file(file):
        return "the file does not exist" if not _exists(file) else "it is not a file"
    return None


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except (OSError, ValueError):
        return False


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError):
        return False


def _source(file: Path, root: Path) -> str:
    absolute, base = os.path.abspath(file), os.path.abspath(root)
    if absolute.startswith(base.rstrip(os.sep) + os.sep):
        return Path(os.path.relpath(absolute, base)).as_posix()
    return absolute


def _parts(table: _Table, path: Path) -> list[Part | None]:
    if table.split is None:
        return [None] * len(next(iter(table.columns.values())))
    values = table.columns[table.split]
    if not any(values):
        return [None] * len(values)
    unknown = sorted({repr(value) for value in values if value and part_named(value) is None})
    if unknown:
        raise DataError(
            f"The parts in column {table.split!r} of {str(path)!r} must be among "
            f"{', '.join(PART_NAMES)}, but there are {shorten(unknown, 5)}. Rename them, or name "
            "another column with --split-column."
        )
    return [part_named(value) if value else "train" for value in values]


def _nothing(
    path: Path,
    root: Path,
    quarantined: Sequence[Quarantined],
    noun: str,
    kind: Kind,
    options: DataOptions,
) -> str:
    if not quarantined:
        return f"A manifest must have a row for each {noun}, but {str(path)!r} has none."
    first = [f"{item.source!r}: {item.reason}" for item in quarantined]
    if all(item.kind == LABEL for item in quarantined):
        return (
            f"The labels of a {kind} task must be in column {options.label_column!r}, but none of "
            f"the {len(quarantined)} rows of {str(path)!r} has one that can be used "
            f"({shorten(first, 3)}). Name another column with --label-column, or another --task."
        )
    return (
        f"A manifest must name {noun}s that exist, but all {len(quarantined)} rows of "
        f"{str(path)!r} fail ({shorten(first, 3)}). Its paths are taken relative to "
        f"{str(root)!r}; give another folder with --root."
    )


def _read(path: Path, options: DataOptions, limit: int | None) -> _Table:
    suffix = path.suffix.lower()
    if suffix not in MANIFEST_SUFFIXES or not path.is_file():
        raise DataError(
            f"The data must be a folder or a manifest ({', '.join(sorted(MANIFEST_SUFFIXES))}), "
            f"but {str(path)!r} is neither. Give the folder that holds the class folders."
        )
    try:
        header = _header(path)
        wanted, split = _wanted(path, header, options)
        group = options.group_by if options.group_by in header else None
        wanted += [group] if group and group not in wanted else []
        columns = _columns(path, header, wanted, limit, options.label_separator)
        lists = _is_parquet(path) and _holds_lists(path, options.label_column)
    except DataError:
        raise
    # Whatever a parser of a damaged file comes up with, the file is what is wrong.
    except Exception as error:
        raise DataError(
            f"The manifest {str(path)!r} must be a readable {suffix[1:]} file (text in UTF-8), "
            f"but: {error}."
        ) from error
    return _Table(columns=columns, split=split, group=group, lists=lists)


def _wanted(
    path: Path, header: Sequence[str], options: DataOptions
) -> tuple[list[str], str | None]:
    split = options.split_column or (_SPLIT if _SPLIT in header else None)
    wanted = [options.path_column, options.label_column, *([split] if split else [])]
    for name in wanted:
        if name not in header:
            raise DataError(
                f"The manifest {str(path)!r} must have a column {name!r}, but its columns are "
                f"{', '.join(map(repr, header)) or 'none'}.{did_you_mean(name, header)} Name the "
                "columns with --path-column, --label-column and --split-column."
            )
    return wanted, split


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _header(path: Path) -> list[str]:
    if _is_parquet(path):
        import pyarrow.parquet as pq

        return list(pq.read_schema(path).names)
    with _open_text(path) as rows:
        return [name.strip() for name in next(rows, [])]


def _columns(
    path: Path, header: Sequence[str], wanted: Sequence[str], limit: int | None, separator: str
) -> dict[str, list[str]]:
    if _is_parquet(path):
        return _parquet_columns(path, wanted, limit, separator)
    places = {name: header.index(name) for name in wanted}
    with _open_text(path) as rows:
        next(rows)
        body = [row for row in islice(rows, limit) if any(cell.strip() for cell in row)]
    return {
        name: [row[place].strip() if place < len(row) else "" for row in body]
        for name, place in places.items()
    }


@contextmanager
def _open_text(path: Path) -> Iterator[Iterator[list[str]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        first = file.readline()
        file.seek(0)
        delimiter = "\t" if path.suffix.lower() == ".tsv" else max(",;\t", key=first.count)
        yield csv.reader(file, delimiter=delimiter, strict=True)


def _holds_lists(path: Path, column: str) -> bool:
    import pyarrow.parquet as pq
    import pyarrow.types as types

    kind = pq.read_schema(path).field(column).type
    return bool(types.is_list(kind) or types.is_large_list(kind))


def _parquet_columns(
    path: Path, wanted: Sequence[str], limit: int | None, separator: str
) -> dict[str, list[str]]:
    import pyarrow.parquet as pq

    columns: dict[str, list[str]] = {name: [] for name in wanted}
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=limit or 65_536, columns=list(wanted)):
            for name, values in batch.to_pydict().items():
                columns[name].extend(_text(value, separator) for value in values)
            if limit is not None:
                break
    return columns


def _text(value: Any, separator: str) -> str:
    if isinstance(value, list):
        return separator.join(_text(item, separator) for item in value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip()
