"""Ways to lay out labelled files, read without opening any of them.

Serves every modality whose samples are files: a modality passes the suffixes that it reads and the
word for what it looks for, opens each listed file once, and gets a data set of those that can be
used. A directory holds class folders, or ``train``/``val``/``test`` folders with class folders in
them; a file is a manifest (CSV, TSV or Parquet). Nothing is ever written.
"""

from __future__ import annotations

from pathlib import Path

from automl_transfer.dataset import DataOptions
from automl_transfer.errors import DataError
from automl_transfer.layouts.entry import Entry
from automl_transfer.layouts.folders import read_folders
from automl_transfer.layouts.groups import grouped
from automl_transfer.layouts.listing import MIN_PER_CLASS, Listing, require_enough
from automl_transfer.layouts.manifest import MANIFEST_SUFFIXES, peek_manifest, read_manifest
from automl_transfer.layouts.opening import Inspected, dataset_of, items_of
from automl_transfer.layouts.parts import PART_NAMES
from automl_transfer.layouts.recognising import recognised
from automl_transfer.layouts.walking import Found, Walk, walk

__all__ = [
    "MANIFEST_SUFFIXES",
    "MIN_PER_CLASS",
    "PART_NAMES",
    "Entry",
    "Found",
    "Inspected",
    "Listing",
    "Walk",
    "dataset_of",
    "items_of",
    "peek_manifest",
    "read_layout",
    "recognised",
    "require_enough",
    "walk",
]


def read_layout(
    path: Path, options: DataOptions, suffixes: frozenset[str], noun: str = "image"
) -> Listing:
    """Reads which files there are, and their labels and parts.

    Args:
        path: A directory or a manifest.
        options: Columns and root of a manifest.
        suffixes: Endings of the files that are looked for, in lower case and with the dot. A
            manifest may name files of any ending.
        noun: What a file holds, for the messages.

    Raises:
        DataError: Nothing is there, it is laid out in no known way, or folders are to be read as
            something else than classes.
    """
    if not path.exists():
        raise DataError(
            f"The data must be a folder or a manifest file, but {str(path)!r} does not exist. "
            "Check the path."
        )
    if path.is_dir() and options.task not in ("auto", "single-label"):
        raise DataError(
            f"A {options.task} task must be read from a manifest (CSV, TSV or Parquet with the "
            f"columns {options.path_column!r} and {options.label_column!r}), since folders name "
            f"one class each, but {str(path)!r} is a folder."
        )
    listing = (
        read_folders(path, suffixes, noun) if path.is_dir() else read_manifest(path, options, noun)
    )
    return grouped(listing, options.group_by)
