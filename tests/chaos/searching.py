"""What the tests of whole searches share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from automl_transfer.outcome import Outcome
from automl_transfer.study import Study
from tests.chaos import toy
from tests.chaos.processes import ROOT, end_all
from tests.chaos.workers import GRACE


def comparable(outcomes: list[Outcome]) -> list[object]:
    return [
        (row.number, row.stage, row.configuration, row.state, row.reason, row.value, row.metrics)
        for row in outcomes
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[object]]:
    """The trials of a search that nothing happens to."""
    directory = toy.prepared(tmp_path_factory.mktemp("alone"))
    environment = os.environ | {"CHAOS_SLOW": "0", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tests.chaos.workers", "lead", str(directory), "1"]
    subprocess.run(words, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    yield comparable(trials(directory))
    end_all()


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("AUTOML_TRANSFER_GRACE", str(GRACE))
    return toy.prepared(tmp_path / "toy")


def trials(directory: Path, storage: str | None = None) -> list[Outcome]:
    study = Study(directory / "studies" / "toy", storage)
    assert study.running == []
    found = study.trials
    study.close()
    return found


def log(directory: Path, name: str = "log") -> str:
    path = directory / name
    return path.read_text() if path.exists() else ""
