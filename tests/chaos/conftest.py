"""Databases of the chaos tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.processes import end_all
from tests.chaos.servers import Server


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


@pytest.fixture(autouse=True)
def nobody_is_left() -> Iterator[None]:
    """No process outlives its test."""
    yield
    end_all()
