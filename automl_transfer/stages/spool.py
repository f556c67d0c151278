"""Rows on their way to the database: on this disk first, so that a database that is away for
longer than a search waits for it costs no trial."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from cattrs import BaseValidationError

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.outcome import Outcome
from automl_transfer.store import Store

SPOOL = "spool"
"""Directory of the files, in that of the study."""


def tell(files: StudyDirectory, store: Store, rows: Sequence[Outcome]) -> None:
    """Adds rows to the database, durably.

    Raises:
        StudyError: It cannot be written. The rows are kept; see :func:`take_in`.
        ValueError: A row holds a number that is not finite.
    """
    if not rows:
        return
    name = f"{SPOOL}/{rows[0].number:06d}-{rows[-1].number:06d}.json"
    files.write_json(name, [to_json(row) for row in rows], durably=True)
    store.append(*rows)
    (files.path / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (files.path / SPOOL).rmdir()


def take_in(files: StudyDirectory, store: Store) -> list[Outcome]:
    """Adds what an earlier session could not tell.

    Returns:
        The rows that were not there yet.

    Raises:
        StudyError: The database cannot be written.
    """
    known = set(store.numbers())
    found: list[Outcome] = []
    for path in sorted((files.path / SPOOL).glob("*.json")):
        rows = [row for row in _rows(path) if row.number not in known]
        if rows:
            store.append(*rows)
            found += rows
            known |= {row.number for row in rows}
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (files.path / SPOOL).rmdir()
    return found


def _rows(path: Path) -> list[Outcome]:
    try:
        return [from_json(Outcome, row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, BaseValidationError):
        return []  # it was cut off before it was told to anybody that it is there
