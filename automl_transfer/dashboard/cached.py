"""Studies in memory, read again only when something about them has changed."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from pathlib import Path

from automl_transfer.artifacts import DATABASE, RECOMMENDATION, STUDY_TOML, changed
from automl_transfer.dashboard.snapshot import Known, Snapshot, Unreadable, database_file, read
from automl_transfer.errors import StudyError
from automl_transfer.study import list_studies

Token = tuple[tuple[int, int], ...]
MOST = 256
"""Studies that are kept in memory."""
_KEPT: dict[str, tuple[Token, Snapshot, Known]] = {}
_LOCKS: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
_ALL = threading.Lock()
"""Held for a moment, around the two above."""
_SERVER_SECONDS = 2.0
"""How long rows of a database server are kept; a file says by itself when it changes."""


def listed(directory: Path) -> dict[str, Path]:
    """Directories of the studies by name, newest change first.

    Raises:
        StudyError: The directory cannot be looked into.
    """
    try:
        found = list_studies(directory)
        return {
            path.name: path
            for path in sorted(found, key=lambda path: (-_changed(path), path.name))
        }
    except OSError as error:
        raise StudyError(
            f"The studies cannot be listed: {error.strerror or type(error).__name__}. Give "
            "another directory with --studies."
        ) from error


def snapshot(directory: Path) -> Snapshot | Unreadable:
    """The study in ``directory`` as it stands now. All sessions share it, and whoever comes while
    it is being read waits for it."""
    key = str(directory)
    with _ALL:
        lock = _LOCKS[key]
    with lock:
        token = _token(directory)
        with _ALL:
            kept = _KEPT.get(key)
        if kept is not None and kept[0] == token:
            with _ALL:
                _KEPT[key] = _KEPT.pop(key, kept)  # those used last stay longest
            return kept[1]
        known = kept[2] if kept is not None else {}
        found = read(directory, known)
        # A locked database or a half-copied file may be well again without a visible change.
        if isinstance(found, Snapshot):
            with _ALL:
                _KEPT[key] = (token, found, known)
                while len(_KEPT) > MOST:
                    _KEPT.pop(next(iter(_KEPT)))
        return found


def _token(directory: Path) -> Token:
    names = [STUDY_TOML, RECOMMENDATION]
    paths = [directory / name for name in names]
    try:
        database = database_file(directory)
    except Exception:
        # Whatever is wrong, `read` finds it as well, and says it.
        database = None
    if database is None:
        return (*map(_stamp, paths), (int(time.time() / _SERVER_SECONDS), 0))
    return tuple(map(_stamp, [*paths, database, Path(f"{database}-wal")]))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _changed(directory: Path) -> int:
    # Not the directory itself: reading a database makes and removes files beside it.
    return max(changed(directory / name) for name in (STUDY_TOML, RECOMMENDATION, DATABASE))
