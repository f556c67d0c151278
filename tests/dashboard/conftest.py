"""Where the page looks for studies, and how a test makes one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.dashboard import guarded
from automl_transfer.dashboard.places import Place, file_of
from automl_transfer.outcome import Outcome
from automl_transfer.request import SearchRequest
from automl_transfer.store import Store
from tests.dashboard.made_studies import Made, documents
from tests.dashboard.seen import RunPage


@pytest.fixture
def studies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that the page looks into; empty at first."""
    root = tmp_path / "studies"
    monkeypatch.setenv("AUTOML_TRANSFER_STUDIES", str(root))
    return root


@pytest.fixture(autouse=True)
def nothing_failed(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """A part of a page that fails says so to its reader, which a test would overlook."""
    yield
    if "damaged" not in request.keywords:
        failed = [row for row in caplog.get_records("call") if row.name == guarded.__name__]
        assert not failed, failed[0].exc_text or failed[0].getMessage()


@pytest.fixture
def run(studies: Path, repository: Path) -> RunPage:
    """Opens a page, with an address that says what is given by name."""

    def _run(place: Place = "verdict", **asked: str) -> AppTest:
        app = AppTest.from_file(str(repository / "app.py"), default_timeout=60)
        if place != "verdict":
            app.switch_page(str(file_of(place)))
        for name, value in asked.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception
        return app

    return _run


@pytest.fixture
def make_study(studies: Path) -> Any:
    made: list[Made] = []

    def make(
        name: str,
        outcomes: list[Outcome] | None = None,
        state: str | None = "finished",
        *,
        classes: tuple[str, ...] = ("cat", "dog"),
        running: list[Outcome] | None = None,
        recommended: bool = False,
        described: bool = True,
        age: float = 1.0,
        openings: int = 1,
    ) -> Made:
        request = SearchRequest(
            data="/somewhere/pets", study=name, studies=str(studies), budget_seconds=300.0
        )
        files = StudyDirectory(studies / name)
        files.write_request(request, {"python": "3.11.9", "versions": {"torch": "2.15"}})
        study = Made(files.path, Store(files.database_url, name, create=True))
        made.append(study)
        if described:
            documents(study, files, classes)
        for row in outcomes or []:
            study.store.append(row)
        for row in running or []:
            study.store.set_running(row)
        if state is not None:
            study.status(state, age=age)
        if recommended:
            study.recommend(outcomes or [], openings)
        return study

    yield make
    for study in made:
        study.store.close()
