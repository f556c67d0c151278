"""Whether data are of a kind that is known by the endings of its files."""

from __future__ import annotations

from pathlib import Path

from automl_transfer.dataset import DataOptions, Recognition
from automl_transfer.errors import DataError
from automl_transfer.layouts.manifest import MANIFEST_SUFFIXES, peek_manifest
from automl_transfer.layouts.walking import walk

_PEEK = 500
"""Files or rows that are looked at."""


def recognised(
    path: Path, options: DataOptions, suffixes: frozenset[str], noun: str
) -> Recognition:
    """The share of the first files, or rows of a manifest, whose names end as they should.

    Args:
        path: A directory or a manifest.
        options: Columns of a manifest.
        suffixes: In lower case, with the dot.
        noun: What a file holds, for the reason.
    """
    if path.is_dir():
        found = walk(path, suffixes, limit=_PEEK)
        fitting, others = len(found.files), len(found.others)
        what = "files"
    elif path.suffix.lower() in MANIFEST_SUFFIXES:
        try:
            names = peek_manifest(path, options, _PEEK)
        except DataError as error:
            # Low, so that whoever can read it is preferred, and this error is told otherwise.
            return Recognition(score=0.01, reason=str(error))
        fitting = sum(Path(name).suffix.lower() in suffixes for name in names)
        others = len(names) - fitting
        what = "rows"
    else:
        kinds = ", ".join(sorted(MANIFEST_SUFFIXES))
        return Recognition(score=0.0, reason=f"it is neither a folder nor a manifest ({kinds})")
    return Recognition(
        score=fitting / (fitting + others) if fitting else 0.0,
        reason=f"{fitting} of the first {fitting + others} {what} are named like {noun}s "
        f"({', '.join(sorted(suffixes))})",
    )
