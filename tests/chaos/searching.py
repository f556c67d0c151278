"""What the tests of whole searches look at."""

from __future__ import annotations

from pathlib import Path

from automl_transfer.outcome import Outcome
from automl_transfer.study import Study


def trials(directory: Path, storage: str | None = None) -> list[Outcome]:
    study = Study(directory / "studies" / "toy", storage)
    assert study.running == []
    found = study.trials
    study.close()
    return found


def log(directory: Path, name: str = "log") -> str:
    path = directory / name
    return path.read_text() if path.exists() else ""
