"""Arrays by content, on disk, within a bound; the directory may be deleted at any moment.

A group is a directory whose name is a digest of all that its rows depend on but the sample; in it
lie shards (:mod:`.shard`). What was used longest ago goes first when room is needed.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from automl_transfer.training.array_group import ArrayGroup
from automl_transfer.training.shard import SUFFIX, UNFINISHED, remove

_LOG = logging.getLogger(__name__)
MOST_BYTES = 20 * 10**9
MOST_OF_FREE = 0.1
"""Usual bound: the smaller of the two, of which the second is a share of the free disk."""
_HOME = "arrays"
_LOCK = "evict.lock"
_ABANDONED_SECONDS = 3600.0
"""An unfinished file as old as this is of a process that was killed."""
_COUNT_SECONDS = 10.0
"""Between two counts of the directory: others write into it as well."""
_HEADROOM = 0.05
"""Of the bound, freed beyond what is needed, so that not every write has to free."""


@dataclass(frozen=True, kw_only=True)
class _File:
    path: Path
    group: str
    bytes: int
    used: float


class ArrayCache:
    """Groups of rows in the user's cache directory, shared by all processes."""

    def __init__(self, directory: Path, limit_bytes: int | None = None) -> None:
        """Looks at nothing yet.

        Args:
            directory: Of this user's caches; ours is a subdirectory of it.
            limit_bytes: What all files may take together; 0 keeps nothing; None is
                :func:`usual_limit`.
        """
        self.home = directory / _HOME
        self.limit_bytes = usual_limit(self.home) if limit_bytes is None else limit_bytes
        self._lock = threading.RLock()
        self._held: WeakValueDictionary[str, ArrayGroup] = WeakValueDictionary()
        self._bytes = 0
        self._counted = -math.inf
        self._full: tuple[float, frozenset[str]] = (-math.inf, frozenset())
        self._refusing = self.limit_bytes <= 0
        self._told = False

    def group(self, key: str, share: float = 1.0) -> ArrayGroup:
        """The rows under ``key``. As long as somebody holds it, this process does not evict it.

        Args:
            key: Hexadecimal digest of all that the rows depend on but the sample.
            share: Of the bound up to which these rows may fill the cache: less for what is large
                and cheap to make, so that it leaves room for what is small and dear.
        """
        with self._lock:
            group = self._held.get(key)
            if group is None:
                group = ArrayGroup(self, key, share)
                self._held[key] = group
            return group

    def admit(self, count: int, share: float) -> bool:
        """Whether ``count`` bytes may be written; makes room for them, and counts them."""
        most = int(self.limit_bytes * share)
        with self._lock:
            if self._refusing:
                return False
            now = time.monotonic()
            if now - self._counted >= _COUNT_SECONDS:
                self._bytes, self._counted = sum(file.bytes for file in self._files()), now
            if self._bytes + count > most and not self._is_full(now):
                self._make_room(most - count)
                if self._bytes + count > most:
                    self._full = (now, frozenset(self._held))
            if self._bytes + count > most:
                self._say(
                    f"The cache in {self.home} is full ({self.limit_bytes:,} bytes): what does "
                    "not fit is made again when it is needed. Give it more with --cache-size."
                )
                return False
            self._bytes += count
            return True

    def failed(self, error: OSError) -> None:
        """Says once that nothing can be written, and tries no more."""
        self._refusing = True
        self._say(
            f"Nothing can be kept in {self.home}, so the search is slower: {error}. Give another "
            "place with AUTOML_TRANSFER_CACHE_DIR."
        )

    def _say(self, text: str) -> None:
        if not self._told:
            self._told = True
            _LOG.warning("%s", text)

    def _is_full(self, now: float) -> bool:
        """Whether it is known that nothing can be freed."""
        since, held = self._full
        return now - since < _COUNT_SECONDS and held <= frozenset(self._held)

    def _make_room(self, target: int) -> None:
        """Removes what was used longest ago, groups first, until ``target`` bytes are left.

        Groups that this process holds stay; so do shards, if another process is removing some.
        """
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.home / _LOCK, timeout=0):
                files = self._files()
                left = sum(file.bytes for file in files)
                aim = target - int(self.limit_bytes * _HEADROOM)
                newest: dict[str, float] = {}
                for file in files:
                    newest[file.group] = max(file.used, newest.get(file.group, 0.0))
                files.sort(key=lambda file: (newest[file.group], file.group, file.used))
                for file in files:
                    if left <= max(0, aim):
                        break
                    if file.group not in self._held:
                        remove(file.path)
                        left -= file.bytes
                        with contextlib.suppress(OSError):  # not empty yet
                            file.path.parent.rmdir()
        except (Timeout, OSError):
            left = sum(file.bytes for file in self._files())
        self._bytes, self._counted = left, time.monotonic()

    def _files(self) -> list[_File]:
        """All shards. Removes unfinished ones of processes that were killed."""
        found = []
        for path, state in _entries(self.home):
            if path.suffix == UNFINISHED and time.time() - state.st_mtime > _ABANDONED_SECONDS:
                remove(path)
            elif path.suffix in (SUFFIX, UNFINISHED):
                size, used = state.st_size, state.st_mtime
                found.append(_File(path=path, group=path.parent.name, bytes=size, used=used))
        return found


def _entries(home: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Files in the subdirectories; others may remove them while we look."""
    for directory in _listed(home):
        for file in _listed(directory.path) if directory.is_dir(follow_symlinks=False) else ():
            with contextlib.suppress(OSError):
                yield Path(file.path), file.stat(follow_symlinks=False)


def _listed(directory: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError:
        return []


def usual_limit(directory: Path) -> int:
    """20 GB, or if that is less, a tenth of the disk that is free or that the cache has taken."""
    there = directory
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        free = shutil.disk_usage(there).free
    except OSError:
        return MOST_BYTES
    taken = sum(state.st_size for path, state in _entries(directory) if path.suffix == SUFFIX)
    return min(MOST_BYTES, int(MOST_OF_FREE * (free + taken)))
