"""Finds the files below a folder, each once, in an order that does not depend on the disk."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

_SYSTEM = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})
"""Folders that operating systems put beside a user's files, some with thumbnails in them."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A file with a wanted suffix."""

    path: Path
    parts: tuple[str, ...]
    """Names from the root down, that of the file last."""

    @property
    def source(self) -> str:
        """Relative to the root, with forward slashes."""
        return "/".join(self.parts)


@dataclass(kw_only=True)
class Walk:
    """What lies below a root."""

    files: list[Found] = field(default_factory=list)
    """With a wanted suffix, sorted by their names."""
    others: list[str] = field(default_factory=list)
    """Sources of regular files with another suffix."""
    folders: list[tuple[str, ...]] = field(default_factory=list)
    """Names from the root down, of every folder but the root."""
    repeated: list[str] = field(default_factory=list)
    """Sources of links to a file that is listed already."""
    broken: list[str] = field(default_factory=list)
    """Sources of links that lead nowhere, and of folders that may not be read."""
    irregular: list[str] = field(default_factory=list)
    """Sources with a wanted suffix that are no files: pipes, sockets, devices."""
    hidden: list[str] = field(default_factory=list)
    """Sources of folders that are passed over though there are wanted files in them."""


@dataclass(kw_only=True)
class _State:
    suffixes: frozenset[str]
    walk: Walk = field(default_factory=Walk)
    folders: deque[tuple[Path, tuple[str, ...]]] = field(default_factory=deque)
    links: deque[tuple[Path, tuple[str, ...]]] = field(default_factory=deque)
    entered: set[str] = field(default_factory=set)
    """Real paths of the folders and files that have been met."""

    def first_time(self, identity: str) -> bool:
        fresh = identity not in self.entered
        self.entered.add(identity)
        return fresh


def walk(root: Path, suffixes: frozenset[str], limit: int | None = None) -> Walk:
    """Lists the files below ``root``; hidden and system folders are passed over.

    Links are followed after everything else, and each folder and file is entered once, by its real
    path: a loop of links ends, and the real file wins over a link to it.

    Args:
        root: A directory.
        suffixes: In lower case, with the dot.
        limit: Stop after about as many files.
    """
    state = _State(suffixes=suffixes)
    state.folders.append((root, ()))
    found = state.walk
    while state.folders or state.links:
        if limit is not None and len(found.files) + len(found.others) >= limit:
            break
        if state.folders:
            _scan(*state.folders.popleft(), state)
        else:
            _follow(*state.links.popleft(), state)
    found.files.sort(key=lambda file: file.parts)
    found.folders.sort()
    return found


def _scan(folder: Path, parts: tuple[str, ...], state: _State) -> None:
    identity = os.path.realpath(folder)
    if not state.first_time(identity):
        return
    if parts:
        state.walk.folders.append(parts)
    try:
        with os.scandir(folder) as scan:
            items = sorted(scan, key=lambda item: item.name)
    except OSError:
        state.walk.broken.append("/".join(parts) or ".")
        return
    for item in items:
        below = (*parts, item.name)
        if item.name.startswith(".") or item.name in _SYSTEM:
            if _holds(Path(item.path), state.suffixes):
                state.walk.hidden.append("/".join(below))
            continue
        if item.is_symlink():
            state.links.append((Path(item.path), below))
        elif item.is_dir():
            state.folders.append((Path(item.path), below))
        elif item.is_file():
            _add(Path(item.path), below, os.path.join(identity, item.name), state)
        # Pipes and sockets are neither, and opening one would wait for ever.
        elif Path(item.name).suffix.lower() in state.suffixes:
            state.walk.irregular.append("/".join(below))


def _holds(folder: Path, suffixes: frozenset[str]) -> bool:
    """Whether something that is passed over is a folder, no link, with wanted files in it."""
    if folder.is_symlink():
        return False
    try:
        with os.scandir(folder) as scan:
            return any(
                Path(item.name).suffix.lower() in suffixes and not item.name.startswith(".")
                for item in scan
            )
    except OSError:
        return False


def _follow(link: Path, parts: tuple[str, ...], state: _State) -> None:
    # Unlike the methods of Path these raise nothing, whatever a link says.
    if os.path.isdir(link):
        state.folders.append((link, parts))
    elif os.path.isfile(link):
        _add(link, parts, os.path.realpath(link), state)
    # One without an ending was a class, perhaps, on a disk that is not there.
    elif not link.suffix or link.suffix.lower() in state.suffixes:
        irregular = os.path.exists(link)
        (state.walk.irregular if irregular else state.walk.broken).append("/".join(parts))


def _add(path: Path, parts: tuple[str, ...], identity: str, state: _State) -> None:
    if path.suffix.lower() not in state.suffixes:
        state.walk.others.append("/".join(parts))
    elif state.first_time(identity):
        state.walk.files.append(Found(path=path, parts=parts))
    else:
        state.walk.repeated.append("/".join(parts))
