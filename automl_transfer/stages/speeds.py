"""How long things take on this machine: measured, kept between searches, corrected as they run."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from automl_transfer.artifacts import replacing
from automl_transfer.jsonable import digest

_MOST = 5000
"""Entries kept; the oldest go first."""
_NEW = 0.5
"""Weight of a new measurement."""


class Speeds:
    """Seconds by what was measured and where, in a JSON file that may be deleted at any time.

    Operations counted from an architecture err up to sixfold between networks; the time of a few
    steps predicts that of many within ten per cent. A file of damaged contents is as good as none.
    """

    def __init__(self, path: Path, machine: object) -> None:
        """Opens the table.

        Args:
            path: Of the file.
            machine: JSON that names the hardware and how it is used (device, threads).
        """
        self._path = path
        self._machine = machine
        self._seconds = self._read()

    def get(self, *what: object) -> float | None:
        """Seconds that ``what`` took here, or None when it was never measured."""
        return self._seconds.get(self._key(what))

    def put(self, seconds: float, *what: object) -> None:
        """Takes in a measurement, and keeps the table; a disk that refuses it is no error."""
        key = self._key(what)
        before = self._seconds.pop(key, None)
        mixed = seconds if before is None else _NEW * seconds + (1 - _NEW) * before
        self._seconds = self._read() | self._seconds | {key: mixed}
        while len(self._seconds) > _MOST:
            self._seconds.pop(next(iter(self._seconds)))
        with contextlib.suppress(OSError), replacing(self._path) as temporary:
            temporary.write_text(json.dumps(self._seconds), encoding="utf-8")

    def _key(self, what: tuple[object, ...]) -> str:
        return digest([self._machine, list(what)], 24)

    def _read(self) -> dict[str, float]:
        try:
            found: Any = json.loads(self._path.read_text(encoding="utf-8"))
            return {str(key): float(value) for key, value in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}
