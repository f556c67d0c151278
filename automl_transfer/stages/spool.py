"""Rows on their way to the database: on this disk first, so that a database that is away for
longer than a search waits for it costs no trial."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Sequence
from pathlib import Path

from cattrs import BaseValidationError

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.errors import StudyError
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.outcome import Outcome
from automl_transfer.store import Store

SPOOL = "spool"
"""Directory of the files, in that of the study."""
DAMAGED = ".damaged"
_LOG = logging.getLogger(__name__)


def tell(files: StudyDirectory, store: Store, rows: Sequence[Outcome]) -> None:
    """Adds rows to the database, durably.

    Raises:
        StudyError: The disk cannot be written, or the database: then the rows are kept; see
            :func:`take_in`.
        ValueError: A row holds a number that is not finite.
    """
    if not rows:
        return
    name = f"{SPOOL}/{rows[0].number:06d}-{rows[-1].number:06d}.json"
    try:
        files.write_json(name, [to_json(row) for row in rows], durably=True)
    except OSError as error:
        raise StudyError(
            f"What came of trial {rows[0].number} cannot be written to {str(files.path)!r}: "
            f"{error.strerror or error}. Make room on its disk and check its rights, and run the "
            "command again: what is stored is kept."
        ) from error
    store.append(*rows)
    (files.path / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (files.path / SPOOL).rmdir()


def take_in(files: StudyDirectory, store: Store) -> list[Outcome]:
    """Adds what an earlier session could not tell.

    What cannot be understood is kept beside it, with another ending.

    Returns:
        The rows that were not there yet.

    Raises:
        StudyError: A file cannot be read, or the database cannot be written.
    """
    known = set(store.numbers())
    found: list[Outcome] = []
    for path in sorted((files.path / SPOOL).glob("*.json")):
        kept = _rows(path)
        if kept is None:
            _LOG.warning("%s cannot be understood, and is kept as %s.", path, DAMAGED)
            path.replace(path.with_suffix(DAMAGED))
            continue
        rows = [row for row in kept if row.number not in known]
        if rows:
            store.append(*rows)
            found += rows
            known |= {row.number for row in rows}
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (files.path / SPOOL).rmdir()
    return found


def _rows(path: Path) -> list[Outcome] | None:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise StudyError(
            f"{str(path)!r} holds trials that the database does not have yet, but it cannot be "
            f"read: {error.strerror or error}. Check its disk and its rights, and run the command "
            "again."
        ) from error
    try:
        return [from_json(Outcome, row) for row in json.loads(text)]
    except (ValueError, TypeError, BaseValidationError, RecursionError):
        return None  # of another version, or damaged
