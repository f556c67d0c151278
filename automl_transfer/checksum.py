"""SHA-256 of files, computed once per process for each state of a file."""

from __future__ import annotations

import os
from io import BufferedReader
from pathlib import Path

_KNOWN: dict[tuple[int, int, int, int], str] = {}


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of the file at ``path``.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb") as file:
        return sha256_of_open(file)


def sha256_of_open(file: BufferedReader) -> str:
    """Likewise, of an open file, whatever its path has come to name since. Leaves it at its
    beginning."""
    import hashlib  # with OpenSSL, which listing plugins does not need

    state = os.fstat(file.fileno())
    key = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    if key not in _KNOWN:
        file.seek(0)
        _KNOWN[key] = hashlib.file_digest(file, "sha256").hexdigest()
    file.seek(0)
    return _KNOWN[key]
