"""The rows of a study: one self-contained record a trial, in any SQL database.

These rows are the truth; an Optuna study can be rebuilt from them at any time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cattrs import BaseValidationError

from automl_transfer.database import Database, insert_new
from automl_transfer.errors import NoStudyError, StudyError
from automl_transfer.jobs import TABLES, Jobs
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.outcome import Outcome
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
GRACE = "grace"
"""Document with the seconds after which a process without a sign of life is given up."""


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Store:
    """The rows of one study in one database."""

    def __init__(
        self, url: str, study: str, *, create: bool = False, patience: float | None = None
    ) -> None:
        """Opens the rows of ``study``, and makes a place for them if ``create``.

        Args:
            url: Of SQLAlchemy.
            study: Its name.
            create: Whether it is written to.
            patience: Seconds to wait for a database that is away; see :class:`.Database`.

        Raises:
            StudyError: The database cannot be reached.
            NoStudyError: It has no such study.
        """
        self.study = study
        self._database = Database(url, writes=create, patience=patience)
        self._shown = self._database.shown
        if create:
            self._create()
            return
        self._require_file()
        if not self._schema():
            raise NoStudyError(f"There is no study {study!r} in {self._shown!r}.")

    def _require_file(self) -> None:
        # SQLite would make an empty file, and reading must leave nothing behind.
        file = self._database.engine.url.database
        if not self._database.is_file or not file or file.startswith((":", "file:")):
            return
        if not Path(file).is_file():
            raise NoStudyError(
                f"The rows of study {self.study!r} must be in their database, but {file!r} does "
                "not exist. Put it back from a copy, or repeat the search."
            )

    def _schema(self) -> int | None:
        def work(connection: sa.Connection) -> int | None:
            if not sa.inspect(connection).has_table(_STUDIES.name):
                return None
            found: int | None = connection.scalar(
                sa.select(_STUDIES.c.schema).where(_STUDIES.c.study == self.study)
            )
            return found

        found = self._database.read(work)
        if found is not None and found != SCHEMA:
            raise StudyError(
                f"This version reads rows of schema {SCHEMA}, but study {self.study!r} has "
                f"{found}. Upgrade automl-transfer to open it."
            )
        return found

    def _create(self) -> None:
        self._database.make(_METADATA, TABLES)
        if self._schema() is None:
            self._database.write(
                lambda connection: insert_new(
                    connection, _STUDIES, study=self.study, schema=SCHEMA, created=_now()
                )
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

        numbers = [outcome.number for outcome in outcomes]

        def work(connection: sa.Connection) -> None:
            found = sa.select(_TRIALS.c.number, _TRIALS.c.row).where(
                _TRIALS.c.study == self.study, _TRIALS.c.number.in_(numbers)
            )
            stored = {row.number: row.row for row in connection.execute(found)}
            for value in values:
                number = value["number"]
                if stored.get(number, value["row"]) != value["row"]:
                    raise StudyError(
                        f"Trial {number} of study {self.study!r} has ended once, in "
                        f"{self._shown!r}, but here it ends again. Is another search running on "
                        "this study? Stop it, and run the command again."
                    )
            # What is there already was told, and only our being told so was lost.
            new = [value for value in values if value["number"] not in stored]
            if new:
                connection.execute(sa.insert(_TRIALS), new)
            connection.execute(
                sa.delete(_RUNNING).where(
                    _RUNNING.c.study == self.study, _RUNNING.c.number.in_(numbers)
                )
            )

        self._database.write(work)

    def trials(self) -> list[Outcome]:
        """All ended trials by number."""
        wanted = sa.select(_TRIALS.c.row).where(_TRIALS.c.study == self.study)
        return [self._outcome(row) for row in self._scalars(wanted.order_by(_TRIALS.c.number))]

    def numbers(self) -> list[int]:
        """Numbers of the ended trials, ascending."""
        wanted = sa.select(_TRIALS.c.number).where(_TRIALS.c.study == self.study)
        return list(self._scalars(wanted.order_by(_TRIALS.c.number)))

    def some(self, numbers: Sequence[int]) -> list[Outcome]:
        """Ended trials with these numbers, by number."""
        wanted = sa.select(_TRIALS.c.row).where(
            _TRIALS.c.study == self.study, _TRIALS.c.number.in_(numbers)
        )
        return [self._outcome(row) for row in self._scalars(wanted.order_by(_TRIALS.c.number))]

    def summaries(self, numbers: Sequence[int] | None = None) -> list[Summary]:
        """Ended trials by number, as much of them as tables need.

        Args:
            numbers: Of which trials; None: of all.
        """
        here = self._database.is_file
        paths = [f"$.{path}" for path in PATHS]
        # SQLite takes them out of the text many times faster than we could parse it.
        row = sa.func.json_extract(_TRIALS.c.row, *paths) if here else _TRIALS.c.row
        wanted = sa.select(
            _TRIALS.c.number, _TRIALS.c.stage, _TRIALS.c.state, _TRIALS.c.value, row
        ).where(_TRIALS.c.study == self.study)
        if numbers is not None:
            wanted = wanted.where(_TRIALS.c.number.in_(numbers))
        wanted = wanted.order_by(_TRIALS.c.number)
        rows = self._database.read(lambda connection: connection.execute(wanted).all())
        if not here:
            return [summary_of(self._outcome(text)) for *_, text in rows]
        return [
            from_parts(number, stage, state, value, json.loads(parts))
            for number, stage, state, value, parts in rows
        ]

    @property
    def created(self) -> str:
        """When the study was made, ISO 8601, UTC: another study of the same name has another."""
        wanted = sa.select(_STUDIES.c.created).where(_STUDIES.c.study == self.study)
        return str(self._database.read(lambda connection: connection.scalar(wanted)))

    def set_running(self, outcome: Outcome) -> None:
        """Shows a trial as it stands now; replaced by each further call."""
        row = json.dumps(to_json(outcome), allow_nan=False)

        def work(connection: sa.Connection) -> None:
            self._forget_running(connection, outcome.number)
            connection.execute(
                sa.insert(_RUNNING).values(
                    study=self.study, number=outcome.number, updated=_now(), row=row
                )
            )

        self._database.write(work)

    def running(self) -> list[Outcome]:
        """Trials that have begun and not ended, as they last reported."""
        wanted = sa.select(_RUNNING.c.row).where(_RUNNING.c.study == self.study)
        return [self._outcome(row) for row in self._scalars(wanted)]

    def clear_running(self) -> None:
        """Takes all trials off the running ones."""
        gone = sa.delete(_RUNNING).where(_RUNNING.c.study == self.study)
        self._database.write(lambda connection: connection.execute(gone))

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
        text = json.dumps(body, allow_nan=False)

        def work(connection: sa.Connection) -> None:
            connection.execute(
                sa.delete(_DOCUMENTS).where(
                    _DOCUMENTS.c.study == self.study, _DOCUMENTS.c.name == name
                )
            )
            connection.execute(
                sa.insert(_DOCUMENTS).values(
                    study=self.study, name=name, updated=_now(), body=text
                )
            )

        self._database.write(work)

    def get(self, name: str, default: Any = None) -> Any:
        """The document ``name``, or ``default``."""
        wanted = sa.select(_DOCUMENTS.c.body).where(
            _DOCUMENTS.c.study == self.study, _DOCUMENTS.c.name == name
        )
        body = self._database.read(lambda connection: connection.scalar(wanted))
        try:
            return default if body is None else json.loads(body)
        except json.JSONDecodeError as error:
            raise StudyError(
                f"The document {name!r} of study {self.study!r} in {self._shown!r} is damaged: "
                f"{error}. Restore the database from a copy."
            ) from error

    def hurry(self) -> None:
        """Waits no more for a database that is away; see :meth:`.Database.hurry`."""
        self._database.hurry()

    def jobs(self, grace: float | None = None) -> Jobs:
        """What other processes may do for this study.

        Args:
            grace: Seconds after which a process that shows no sign of life is given up; None: as
                usual.
        """
        return Jobs(self._database, self.study, grace)

    def close(self) -> None:
        """Gives the connections back."""
        self._database.close()

    def _scalars(self, wanted: sa.Select[Any]) -> Sequence[Any]:
        return self._database.read(lambda connection: connection.scalars(wanted).all())
