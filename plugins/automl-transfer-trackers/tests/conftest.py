"""No settings of this user, no network, and a search to track."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from automl_transfer_trackers.choice import opened
from automl_transfer_trackers.session import Session
from stream import Stream


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AUTOML_TRANSFER_", "MLFLOW_", "WANDB_", "NETRC")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    """The events of a study whose directory is there."""
    directory = tmp_path / "studies" / "toy"
    directory.mkdir(parents=True)
    return Stream(directory)


class Track:
    """Sessions with the trackers that the environment asks for; each is waited for."""

    def __init__(self) -> None:
        self.open: list[Session] = []

    def begin(self, stream: Stream, resumed: int = 0) -> Session:
        """A session of which no trial has begun."""
        session = Session(stream.started(resumed), opened())
        self.open.append(session)
        session.follow(stream.loaded())
        return session

    def interrupt(self, session: Session) -> None:
        """Ends it as the end of a process does."""
        self.open.remove(session)
        session.leave()

    def finish(self, session: Session, stream: Stream) -> None:
        """Ends it with an answer."""
        session.follow(stream.recommended())
        session.end(finished=True)
        self.interrupt(session)


@pytest.fixture
def track() -> Iterator[Track]:
    """Makes sessions, and leaves none behind."""
    made = Track()
    yield made
    for session in list(made.open):
        made.interrupt(session)
