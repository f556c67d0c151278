"""The rows of a study: one self-contained record a trial, in any SQL database.

These rows are the truth; an Optuna study can be rebuilt from them at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cattrs import BaseValidationError
from sqlalchemy.exc import SQLAlchemyError

from automl_transfer.errors import StudyError
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.outcome import Outcome
from automl_transfer.request import hide_password
from automl_transfer.summary import PATHS, Summary, from_parts, summary_of

_METADATA = sa.MetaData()
_STUDIES = sa.Table(
    "automl_studies",
    _METADATA,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("schema", sa.Integer, nullable=False),
    sa.Column("created", sa.String(40), nullable=False),
)
_TRIALS = sa.Table(
    "automl_trials",
    _METADATA,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("stage", sa.String(20), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("value", sa.Float),
    sa.Column("row", sa.Text, nullable=False),
)
_RUNNING = sa.Table(
    "automl_running",
    _METADATA,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("updated", sa.String(40), nullable=False),
    sa.Column("row", sa.Text, nullable=False),
)
_DOCUMENTS = sa.Table(
    "automl_documents",
    _METADATA,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("updated", sa.String(40), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
)
SCHEMA = 1


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _engine(url: str, read_only: bool) -> sa.Engine:
    try:
        engine = sa.create_engine(url)
    except (SQLAlchemyError, ImportError) as error:
        raise StudyError(
            f"The storage {hide_password(url)!r} cannot be used: {type(error).__name__}. It must "
            "be a SQLAlchemy URL such as sqlite:///rows.db, with its driver installed."
        ) from None
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def _configure(connection: Any, _: Any) -> None:
            connection.execute(f"PRAGMA busy_timeout = {5000 if read_only else 30000}")
            if not read_only:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")

    return engine


class Store:
    """The rows of one study in one database."""

    def __init__(self, url: str, study: str, *, create: bool = False) -> None:
        """Opens the rows of ``study``, and makes a place for them if ``create``.

        Raises:
            StudyError: The database cannot be reached, or has no such study.
        """
        self.study = study
        self._shown = hide_password(url)
        self._engine = _engine(url, read_only=not create)
        if not create:
            self._require_file()
        with self._told("read"):
            if create:
                self._create()
            elif not self._schema():
                raise StudyError(f"There is no study {study!r} in {self._shown!r}.")

    def _require_file(self) -> None:
        # SQLite would make an empty file, and reading must leave nothing behind.
        file = self._engine.url.database
        if self._engine.dialect.name != "sqlite" or not file or file.startswith((":", "file:")):
            return
        if not Path(file).is_file():
            raise StudyError(
                f"The rows of study {self.study!r} must be in their database, but {file!r} does "
                "not exist. Put it back from a copy, or repeat the search."
            )

    @contextmanager
    def _told(self, verb: str) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = _cause(error)
            # Not chained: what a driver says may hold the URL as it was given.
            raise StudyError(
                f"The database {self._shown!r} cannot be {verb}: {cause}. {_next_step(cause)}"
            ) from None

    def _schema(self) -> int | None:
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table(_STUDIES.name):
                return None
            found: int | None = connection.scalar(
                sa.select(_STUDIES.c.schema).where(_STUDIES.c.study == self.study)
            )
        if found is not None and found != SCHEMA:
            raise StudyError(
                f"This version reads rows of schema {SCHEMA}, but study {self.study!r} has "
                f"{found}. Upgrade automl-transfer to open it."
            )
        return found

    def _create(self) -> None:
        _METADATA.create_all(self._engine)
        if self._schema() is None:
            with self._engine.begin() as connection:
                connection.execute(
                    sa.insert(_STUDIES).values(study=self.study, schema=SCHEMA, created=_now())
                )

    def append(self, *outcomes: Outcome) -> None:
        """Adds rows of trials that have ended and takes them off the running ones, durably.

        All of them or none: one transaction.

        Raises:
            StudyError: It cannot be written; so too for every other method.
            ValueError: An outcome holds a number that is not finite.
        """
        values = [
            {
                "study": self.study,
                "number": outcome.number,
                "stage": outcome.stage,
                "state": outcome.state,
                "value": outcome.value,
                "row": json.dumps(to_json(outcome), allow_nan=False),
            }
            for outcome in outcomes
        ]
        with self._told("written"), self._engine.begin() as connection:
            connection.execute(sa.insert(_TRIALS), values)
            for outcome in outcomes:
                self._forget_running(connection, outcome.number)

    def trials(self) -> list[Outcome]:
        """All ended trials by number."""
        with self._told("read"), self._engine.connect() as connection:
            rows = connection.scalars(
                sa.select(_TRIALS.c.row)
                .where(_TRIALS.c.study == self.study)
                .order_by(_TRIALS.c.number)
            ).all()
        return [self._outcome(row) for row in rows]

    def numbers(self) -> list[int]:
        """Numbers of the ended trials, ascending."""
        with self._told("read"), self._engine.connect() as connection:
            return list(
                connection.scalars(
                    sa.select(_TRIALS.c.number)
                    .where(_TRIALS.c.study == self.study)
                    .order_by(_TRIALS.c.number)
                )
            )

    def some(self, numbers: Sequence[int]) -> list[Outcome]:
        """Ended trials with these numbers, by number."""
        wanted = sa.select(_TRIALS.c.row).where(
            _TRIALS.c.study == self.study, _TRIALS.c.number.in_(numbers)
        )
        with self._told("read"), self._engine.connect() as connection:
            rows = connection.scalars(wanted.order_by(_TRIALS.c.number)).all()
        return [self._outcome(row) for row in rows]

    def summaries(self, numbers: Sequence[int] | None = None) -> list[Summary]:
        """Ended trials by number, as much of them as tables need.

        Args:
            numbers: Of which trials; None: of all.
        """
        here = self._engine.dialect.name == "sqlite"
        paths = [f"$.{path}" for path in PATHS]
        # SQLite takes them out of the text many times faster than we could parse it.
        row = sa.func.json_extract(_TRIALS.c.row, *paths) if here else _TRIALS.c.row
        wanted = sa.select(
            _TRIALS.c.number, _TRIALS.c.stage, _TRIALS.c.state, _TRIALS.c.value, row
        ).where(_TRIALS.c.study == self.study)
        if numbers is not None:
            wanted = wanted.where(_TRIALS.c.number.in_(numbers))
        with self._told("read"), self._engine.connect() as connection:
            rows = connection.execute(wanted.order_by(_TRIALS.c.number)).all()
        if not here:
            return [summary_of(self._outcome(text)) for *_, text in rows]
        return [
            from_parts(number, stage, state, value, json.loads(parts))
            for number, stage, state, value, parts in rows
        ]

    @property
    def created(self) -> str:
        """When the study was made, ISO 8601, UTC: another study of the same name has another."""
        with self._told("read"), self._engine.connect() as connection:
            return str(
                connection.scalar(
                    sa.select(_STUDIES.c.created).where(_STUDIES.c.study == self.study)
                )
            )

    def set_running(self, outcome: Outcome) -> None:
        """Shows a trial as it stands now; replaced by each further call."""
        with self._told("written"), self._engine.begin() as connection:
            self._forget_running(connection, outcome.number)
            connection.execute(
                sa.insert(_RUNNING).values(
                    study=self.study,
                    number=outcome.number,
                    updated=_now(),
                    row=json.dumps(to_json(outcome), allow_nan=False),
                )
            )

    def running(self) -> list[Outcome]:
        """Trials that have begun and not ended, as they last reported."""
        with self._told("read"), self._engine.connect() as connection:
            rows = connection.scalars(
                sa.select(_RUNNING.c.row).where(_RUNNING.c.study == self.study)
            ).all()
        return [self._outcome(row) for row in rows]

    def clear_running(self) -> None:
        """Takes all trials off the running ones."""
        with self._told("written"), self._engine.begin() as connection:
            connection.execute(sa.delete(_RUNNING).where(_RUNNING.c.study == self.study))

    def _outcome(self, row: str) -> Outcome:
        try:
            return from_json(Outcome, json.loads(row))
        except (json.JSONDecodeError, BaseValidationError) as error:
            raise StudyError(
                f"A row of study {self.study!r} in {self._shown!r} is damaged "
                f"({type(error).__name__}): {row[:80]!r}. Restore the database from a copy."
            ) from error

    def _forget_running(self, connection: sa.Connection, number: int) -> None:
        connection.execute(
            sa.delete(_RUNNING).where(_RUNNING.c.study == self.study, _RUNNING.c.number == number)
        )

    def put(self, name: str, body: Any) -> None:
        """Keeps a JSON document under ``name``; replaces an earlier one."""
        with self._told("written"), self._engine.begin() as connection:
            connection.execute(
                sa.delete(_DOCUMENTS).where(
                    _DOCUMENTS.c.study == self.study, _DOCUMENTS.c.name == name
                )
            )
            connection.execute(
                sa.insert(_DOCUMENTS).values(
                    study=self.study,
                    name=name,
                    updated=_now(),
                    body=json.dumps(body, allow_nan=False),
                )
            )

    def get(self, name: str, default: Any = None) -> Any:
        """The document ``name``, or ``default``."""
        with self._told("read"), self._engine.connect() as connection:
            body = connection.scalar(
                sa.select(_DOCUMENTS.c.body).where(
                    _DOCUMENTS.c.study == self.study, _DOCUMENTS.c.name == name
                )
            )
        try:
            return default if body is None else json.loads(body)
        except json.JSONDecodeError as error:
            raise StudyError(
                f"The document {name!r} of study {self.study!r} in {self._shown!r} is damaged: "
                f"{error}. Restore the database from a copy."
            ) from error

    def close(self) -> None:
        """Gives the connections back."""
        self._engine.dispose()


def _cause(error: SQLAlchemyError) -> str:
    origin = getattr(error, "orig", None)
    return hide_password(f"{type(origin or error).__name__}: {origin or error}".splitlines()[0])


def _next_step(cause: str) -> str:
    said = cause.lower()
    if "locked" in said or "busy" in said:
        return (
            "It is in use by another process: is another search running on this study? Wait for "
            "it or stop it, and run the command again."
        )
    if "unique" in said or "duplicate" in said:
        return "Is another search running on this study? Stop it, and run the command again."
    if "full" in said or "no space" in said:
        return "Make room on its disk, and run the command again: what is stored is kept."
    if "readonly" in said or "read-only" in said or "permission" in said:
        return "It must be writable: check the rights of the file and of its directory."
    return "Check that it is there, complete and reachable, and run the command again."
