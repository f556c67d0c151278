"""SHA-256 of files, computed once per process for each state of a file."""

from __future__ import annotations

from pathlib import Path

_KNOWN: dict[tuple[str, int, int, int], str] = {}


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of the file at ``path``.

    Raises:
        OSError: The file cannot be read.
    """
    import hashlib  # with OpenSSL, which listing plugins does not need

    state = path.stat()
    key = (str(path.resolve()), state.st_ino, state.st_size, state.st_mtime_ns)
    if key not in _KNOWN:
        with path.open("rb") as file:
            _KNOWN[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _KNOWN[key]
