"""A stored study, for reading: what was asked, what was tried, what came of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.errors import NothingUsableError, StudyError, did_you_mean
from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import RankedTrial, Recommendation
from automl_transfer.request import SearchRequest
from automl_transfer.store import Store

if TYPE_CHECKING:
    from automl_transfer.trained import Model, Prediction

STORAGE_VARIABLE = "AUTOML_TRANSFER_STORAGE"
"""Environment variable with the storage URL, for URLs that hold a password."""


def require_password(study: str, url: str) -> None:
    """Refuses a URL as a study keeps it, if there was a password in it.

    Args:
        study: Its name.
        url: Of its rows.

    Raises:
        StudyError: The password is hidden.
    """
    if "***" in url:
        raise StudyError(
            f"The rows of study {study!r} are in {url!r}, whose password is not stored. "
            f"Give the URL with --storage or in {STORAGE_VARIABLE}."
        )


class Study:
    """One study. Every property is read afresh, so that a running search can be watched."""

    def __init__(self, directory: Path, storage: str | None = None) -> None:
        """Opens the study in ``directory``.

        Args:
            directory: ``studies/<name>``.
            storage: Database URL, when the rows are not in the study's own SQLite file.
        """
        self.files = StudyDirectory(directory)
        document = self.files.read_toml()
        self.name: str = document["name"]
        self.command: str = document["command"]
        self.provenance: dict[str, Any] = document.get("provenance", {})
        asked = document["request"].get("storage")
        url = storage or os.environ.get(STORAGE_VARIABLE) if asked else None
        if asked and not url:
            require_password(self.name, asked)
        self._store = Store(url or asked or self.files.database_url, self.name)

    @property
    def directory(self) -> Path:
        """Where the study lies."""
        return self.files.path

    @property
    def request(self) -> SearchRequest:
        """What was asked."""
        return self.files.read_request()

    @property
    def trials(self) -> list[Outcome]:
        """Ended trials by number."""
        return self._store.trials()

    @property
    def running(self) -> list[Outcome]:
        """Trials under way."""
        return self._store.running()

    @property
    def store(self) -> Store:
        """The rows of the study, for readers that take them as they are stored."""
        return self._store

    @property
    def recommendation(self) -> Recommendation | None:
        """The answer, or None before there is one."""
        return self.files.read_recommendation()

    @property
    def ranking(self) -> tuple[RankedTrial, ...]:
        """The ranking of the answer; empty before there is one."""
        recommendation = self.recommendation
        return recommendation.ranking if recommendation else ()

    def document(self, name: str) -> Any:
        """A document that the search keeps for readers, or None.

        ``data`` what was loaded; ``audit`` what is
        remarkable about them; ``screen`` a row for each backbone; ``why_not`` what was left
        out and why; ``status`` as the property tells.
        """
        return self._store.get(name)

    @property
    def status(self) -> dict[str, Any]:
        """``state`` (running, interrupted, finished, failed), ``stage``, ``spent``, ``budget``,
        ``trials`` (wanted), ``updated`` (seconds since 1970), ``error``."""
        status: dict[str, Any] = self._store.get("status", {"state": "unknown"})
        return status

    @property
    def model(self) -> Model:
        """The trained winner.

        Raises:
            NothingUsableError: The study has none yet.
        """
        from automl_transfer.trained import Model

        if not (self.files.model / "model.json").is_file():
            raise NothingUsableError(
                f"Study {self.name!r} has no trained model yet. Resume it with: {self.command}"
            )
        return Model.load(self.files.model)

    def close(self) -> None:
        """Gives the database connections back."""
        self._store.close()

    def __repr__(self) -> str:
        return f"Study({str(self.directory)!r})"


def list_studies(studies: str | Path = "studies") -> list[Path]:
    """Directories of the studies in ``studies``, by name."""
    root = Path(studies)
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if StudyDirectory(path).exists)


def open_study(
    name: str | Path, studies: str | Path = "studies", storage: str | None = None
) -> Study:
    """Opens a study by its name in ``studies``, or by its directory.

    Raises:
        StudyError: There is no such study, or it cannot be read.
    """
    for candidate in (Path(studies) / name, Path(name)):
        if StudyDirectory(candidate).exists:
            return Study(candidate, storage)
    known = [path.name for path in list_studies(studies)]
    raise StudyError(
        f"There is no study {str(name)!r} in {str(studies)!r}; there are: "
        f"{', '.join(known) or 'none'}.{did_you_mean(str(name), known)}"
    )


def predict(
    study: str | Path | Study,
    paths: Sequence[str | Path],
    *,
    studies: str | Path = "studies",
    device: str = "auto",
    storage: str | None = None,
) -> list[Prediction]:
    """Predicts items with the trained winner of a study.

    Args:
        study: A study, its name or its directory.
        paths: Files to predict.
        studies: Directory in which the name is looked up.
        device: ``auto``, ``cpu``, ``cuda``...
        storage: Database URL of a study whose rows are not in its directory.
    """
    opened = study if isinstance(study, Study) else open_study(study, studies, storage)
    return opened.model.predict(paths, device)
