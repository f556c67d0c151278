from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from automl_transfer.cli import main
from automl_transfer.configuration import Configuration
from tests.fabricated_study import HOSTILE, outcome, recommendation, write_study


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Runs a command in an empty directory, as the console script does."""
    monkeypatch.chdir(tmp_path)

    def go(*words: str) -> Ran:
        code = main(words)
        captured = capsys.readouterr()
        return Ran(code=code, out=captured.out, err=captured.err)

    return go


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """A finished study, an interrupted one and one with hostile names."""
    root = tmp_path / "studies"
    rows = [outcome(0, 0.80), outcome(1, 0.92), outcome(2), outcome(3, 0.85)]
    write_study(root, "finished", rows, state="finished", answer=recommendation(rows))
    running = (outcome(4, 0.7, state="running"),)
    write_study(root, "stopped", rows[:3], running=running)
    evil = Configuration(backbone=HOSTILE, head=HOSTILE, strategy=HOSTILE)
    rows = [
        outcome(0, 0.9, configuration=evil),
        outcome(1, configuration=evil, reason=f"error: {HOSTILE}"),
    ]
    classes = (HOSTILE, "a|b", "plain")
    answer = recommendation(rows, classes, notes=(HOSTILE,))
    write_study(
        root, "hostile", rows, state="finished", answer=answer, classes=classes, backbone=HOSTILE
    )
    return root
