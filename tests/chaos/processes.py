"""Starts, stops and waits for processes of the chaos tests."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_STARTED: list[subprocess.Popen[str]] = []
ROOT = Path(__file__).parent.parent.parent


def started(*words: str, log: Path | None = None) -> subprocess.Popen[str]:
    """A process of :mod:`tests.chaos.workers`; its output is in ``log``, or to be read."""
    command = [sys.executable, "-m", "tests.chaos.workers", *words]
    if log is None:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    else:
        with log.open("a") as file:
            process = subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file, text=True)
    _STARTED.append(process)
    return process


def end_all() -> None:
    """Ends what is still there, and closes all pipes."""
    while _STARTED:
        process = _STARTED.pop()
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to it"
        time.sleep(0.02)
