"""Workers that a search starts on its own machine, and starts again when they die."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

STARTS = 3
"""Of a worker that dies soon, after which its place stays empty."""
LIVED_SECONDS = 300.0
"""One that lived for so long is no worker that cannot begin."""
END_SECONDS = 12.0
"""For a worker that is told to end, before it is killed: it keeps the trial under way."""


@dataclass(kw_only=True)
class _Place:
    device: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    starts: int = 0
    began: float = 0.0


class LocalWorkers:
    """Processes of ``automl-transfer worker``. Close them, whatever happens."""

    def __init__(
        self, study: Path, devices: Sequence[str], *, threads: int, storage: str | None
    ) -> None:
        """Starts them.

        Args:
            study: Directory of the study.
            devices: A name for each.
            threads: Of the CPU, for each.
            storage: Database URL, when the rows are not in the study's directory.
        """
        self._study = study
        self._threads = threads
        self._lock = threading.Lock()
        self._closed = False
        self._environment = dict(os.environ)
        if storage:
            # Not on the command line, which every process of this machine can read.
            self._environment["AUTOML_TRANSFER_STORAGE"] = storage
        self._places = [
            _Place(device=device, log=study / f"worker-{number}.log")
            for number, device in enumerate(devices, start=1)
        ]
        self.tend()

    @property
    def logs(self) -> list[Path]:
        """What each says."""
        return [place.log for place in self._places]

    def tend(self) -> list[str]:
        """Starts what is not there; returns what there is to say of it. From any thread."""
        with self._lock:
            return [] if self._closed else self._tended()

    def _tended(self) -> list[str]:
        said = []
        for place in self._places:
            code = None if place.process is None else place.process.poll()
            if place.process is not None and code is None:
                continue
            if place.process is not None:
                _end_group(place.process)
                place.process = None
                if time.monotonic() - place.began >= LIVED_SECONDS:
                    place.starts = 0
                again = "it is started again" if place.starts < STARTS else "its place stays empty"
                said.append(
                    f"A worker on {place.device} ended with {code}; {again} ({place.log})."
                )
            if place.starts < STARTS:
                self._start(place)
        return said

    def close(self) -> None:
        """Ends them: each keeps the trial that it is at, if it can do so in time."""
        with self._lock:
            self._closed = True
        there = [place.process for place in self._places if place.process is not None]
        for process in there:
            with contextlib.suppress(OSError):
                process.send_signal(signal.SIGTERM)
        for process in there:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_SECONDS)
            _end_group(process)
        for place in self._places:
            place.process = None
            with contextlib.suppress(OSError):
                if not place.log.stat().st_size:
                    place.log.unlink()

    def _start(self, place: _Place) -> None:
        place.starts += 1
        place.began = time.monotonic()
        words = [sys.executable, "-m", "automl_transfer", "worker"]
        words += ["--study", self._study.name, "--studies", str(self._study.parent)]
        words += ["--device", place.device, "--threads", str(self._threads)]
        # It goes when this process does, however long there is nothing to do.
        words += ["--with", str(os.getpid()), "--idle", "365d"]
        log: IO[bytes]
        with place.log.open("ab") as log:
            place.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                # Ctrl-C is for the search, which tells its workers.
                start_new_session=True,
            )


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ends what a worker has started, and the worker itself if it is still there."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
