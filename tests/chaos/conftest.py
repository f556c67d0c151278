"""Databases and searches of the chaos tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos import toy
from tests.chaos.processes import ROOT, end_all
from tests.chaos.searching import trials
from tests.chaos.servers import Server
from tests.chaos.workers import GRACE
from tests.toy_search import comparable


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A PostgreSQL server; tests may stop it, and must leave it running."""
    if not Server.is_there():
        pytest.skip("PostgreSQL is not installed (apt-get install postgresql)")
    home = tmp_path_factory.mktemp("postgresql")
    for parent in (home, *home.parents[:3]):
        parent.chmod(0o755)
    made = Server(home)
    made.start()
    yield made
    made.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database without tables of ours, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'rows.db'}"
    server: Server = request.getfixturevalue("server")
    return server.fresh()


@pytest.fixture(params=range(int(os.environ.get("CHAOS_TURNS", "1"))))
def turn(request: pytest.FixtureRequest) -> int:
    """Seed of the faults of a test; ``CHAOS_TURNS`` gives it others as well."""
    turn: int = request.param
    return turn


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    """No process outlives its test."""
    yield
    end_all()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[object, ...]]:
    """The trials of a search that nothing happens to."""
    directory = toy.prepared(tmp_path_factory.mktemp("alone"))
    environment = os.environ | {"CHAOS_SLOW": "0", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "tests.chaos.workers", "lead", str(directory), "1"]
    subprocess.run(words, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return comparable(trials(directory))


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("AUTOML_TRANSFER_GRACE", str(GRACE))
    return toy.prepared(tmp_path / "toy")
