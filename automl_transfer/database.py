"""Connections to the database of a study, and patience with one that is away for a while."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    SQLAlchemyError,
)

from automl_transfer.errors import StudyError
from automl_transfer.request import hide_password

T = TypeVar("T")
_LOG = logging.getLogger(__name__)

LOCKED_SECONDS = 60.0
"""How long a search waits for a SQLite file that another process holds."""
AWAY_SECONDS = 600.0
"""How long it waits for a server that is away: one that is restarted or moved comes back."""
_BUSY_SECONDS = 10.0
"""Of one attempt at a SQLite file that is held."""
_READER_SECONDS = 5.0
_MAKING = 0x6175746F6D6C
"""Of the lock that PostgreSQL gives to who makes tables; any number that nobody else uses."""
_WRITES = "automl_transfer_writes"
_AWAY = ("57P01", "57P02", "57P03", "53300", "40001", "40P01")
"""PostgreSQL: shut down by an administrator, crashed, still starting, too many connections; and
two transactions in each other's way."""
_CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""PostgreSQL: a server that says nothing any more, not even that it is gone, is away as well."""
_REFUSED = ("28", "3D", "42501")
"""PostgreSQL: wrong password, no such database, no rights: none of it passes by waiting."""


class Database:
    """One database. Reading and writing transactions, each tried again while it is away."""

    def __init__(self, url: str, *, writes: bool, patience: float | None = None) -> None:
        """Connects to nothing yet.

        Args:
            url: Of SQLAlchemy.
            writes: Whether it may be written to, and is waited for.
            patience: Seconds to wait for it; None: :data:`LOCKED_SECONDS` for a file,
                :data:`AWAY_SECONDS` for a server, and no time at all for readers.

        Raises:
            StudyError: The URL cannot be used.
        """
        self.shown = hide_password(url)
        self.engine = _engine(url, writes, self.shown)
        self.is_file = self.engine.dialect.name == "sqlite"
        if patience is None:
            patience = (LOCKED_SECONDS if self.is_file else AWAY_SECONDS) if writes else 0.0
        self._patience = patience
        # Of transactions that write to a SQLite file one waits for the other: without that two
        # that read before they write would fail, however long they may wait.
        self._writing = self.engine.execution_options(**{_WRITES: True})
        # A server that has never been reached is more likely a mistake in its URL.
        self._reached = self.is_file
        self._given_up = False
        self._away = False

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """What ``work`` returns; it may be called several times.

        Raises:
            StudyError: It cannot be read.
        """
        return self._told("read", self.engine, work)

    def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Likewise. A commit that got through without our being told of it is done again: what
        ``work`` does must come to the same when it is done twice.

        Raises:
            StudyError: It cannot be written.
        """
        return self._told("written", self._writing, work)

    def make(self, *tables: sa.MetaData) -> None:
        """Makes the tables that are not there yet; any number of processes may do so at once.

        Raises:
            StudyError: They cannot be made.
        """

        def work(connection: sa.Connection) -> None:
            if connection.dialect.name == "postgresql":
                # CREATE TABLE IF NOT EXISTS fails where two do it at the same moment.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MAKING)))
            for some in tables:
                some.create_all(connection)

        self.write(work)

    def _told(
        self,
        verb: str,
        engine: sa.Engine,
        work: Callable[[sa.Connection], T],
    ) -> T:
        from tenacity import (
            Retrying,
            retry_if_exception,
            wait_random_exponential,
        )

        waited = False

        def warn(state: Any) -> None:
            nonlocal waited
            waited = True
            # Once for all threads that wait for it.
            if not self._away:
                self._away = True
                cause = _cause(state.outcome.exception())
                _LOG.warning(
                    "The database %s is away (%s); waiting for it, %.0f s at the most.",
                    self.shown,
                    cause,
                    self._patience,
                )

        def once() -> T:
            with engine.begin() as connection:
                return work(connection)

        try:
            found: T = Retrying(
                stop=lambda state: (state.seconds_since_start or 0.0) >= self._waits(),
                wait=wait_random_exponential(0.1, max=5.0),
                retry=retry_if_exception(_may_pass),
                before_sleep=warn,
                reraise=True,
            )(once)
        except SQLAlchemyError as error:
            # What is still to be told at the end is not waited for a second time.
            self._given_up = self._given_up or waited
            cause = _cause(error)
            # Not chained: what a driver says may hold the URL as it was given.
            raise StudyError(
                f"The database {self.shown!r} cannot be {verb}: {cause}. {_next_step(cause)}"
            ) from None
        except BaseException:
            self._given_up = self._given_up or waited  # somebody does not want to wait
            raise
        self._reached, self._given_up = True, False
        if self._away:
            self._away = False
            _LOG.warning("The database %s is back.", self.shown)
        return found

    def _waits(self) -> float:
        return self._patience if self._reached and not self._given_up else 0.0

    def hurry(self) -> None:
        """Waits no more while it is away: this process is about to end. From any thread."""
        self._patience = 0.0

    def close(self) -> None:
        """Gives the connections back."""
        self.engine.dispose()


def insert_new(connection: sa.Connection, table: sa.Table, **values: Any) -> bool:
    """Inserts a row unless there is one of its key, whoever else is about to; whether it did."""
    key = [column == values[column.name] for column in table.primary_key]
    if connection.scalar(sa.select(sa.literal(1)).select_from(table).where(*key)) is not None:
        return False
    try:
        with connection.begin_nested():
            connection.execute(sa.insert(table).values(**values))
    except IntegrityError:
        return False
    return True


def _engine(url: str, writes: bool, shown: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        if "@" in (parsed.host or ""):  # drivers would tell of it as the name of the server
            raise StudyError(
                f"The storage {shown!r} cannot be used: an '@' in a user's name or password must "
                "be written as %40."
            )
        options: dict[str, Any] = {}
        if parsed.drivername == "postgres":  # as many hosters write it
            parsed = parsed.set(drivername="postgresql")
        if parsed.get_backend_name() != "sqlite":
            options = {"pool_pre_ping": True, "pool_size": 2, "max_overflow": 2}
        if parsed.drivername == "postgresql" and (
            importlib.util.find_spec("psycopg") or not importlib.util.find_spec("psycopg2")
        ):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_driver_name() in ("psycopg", "psycopg2", "psycopg2cffi"):
            options["connect_args"] = {
                name: value for name, value in _CONNECTION.items() if name not in parsed.query
            }
            if parsed.get_driver_name() == "psycopg":
                # Behind a pooler that gives a transaction any session, none may be prepared.
                options["connect_args"]["prepare_threshold"] = None
        engine = sa.create_engine(parsed, **options)
    except ImportError as error:
        raise StudyError(
            f"The storage {shown!r} cannot be used: {type(error).__name__}: {error}. Install its "
            "driver; of PostgreSQL: pip install 'automl-transfer[postgresql]'."
        ) from None
    except (SQLAlchemyError, ValueError) as error:  # the latter: of a port that is no number
        raise StudyError(
            f"The storage {shown!r} cannot be used: {type(error).__name__}. It must be a "
            "SQLAlchemy URL such as sqlite:///rows.db or postgresql://user@host/database, with "
            "its driver installed."
        ) from None
    if engine.dialect.name == "sqlite":
        _configure_sqlite(engine, writes)
    elif engine.dialect.name == "postgresql":

        @sa.event.listens_for(engine, "connect")
        def _configure(connection: Any, _: Any) -> None:
            # The environment of a worker (PGTZ) would win over options of the connection.
            with connection.cursor() as cursor:
                cursor.execute("SET TIME ZONE 'UTC'")
            connection.commit()

    return engine


def _configure_sqlite(engine: sa.Engine, writes: bool) -> None:
    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _: Any) -> None:
        # The driver would begin transactions by itself, and only at the first change.
        connection.isolation_level = None
        seconds = _BUSY_SECONDS if writes else _READER_SECONDS
        connection.execute(f"PRAGMA busy_timeout = {int(1000 * seconds)}")
        if writes:
            # The file keeps the mode; who cannot set it now meets another that is about to.
            with contextlib.suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        writing = connection.get_execution_options().get(_WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def _may_pass(error: BaseException) -> bool:
    """Whether it is worth to wait."""
    if not isinstance(error, DBAPIError):
        return False
    origin = error.orig
    code = str(getattr(origin, "sqlstate", None) or "")
    said = str(origin).lower()
    if any(code.startswith(refused) for refused in _REFUSED) or "password" in said:
        return False
    if code in _AWAY or error.connection_invalidated:
        return True
    if "locked" in said or "busy" in said:
        return True
    if code or not isinstance(error, (OperationalError, InterfaceError)):
        return False
    return any(
        words in said
        for words in (
            "connection refused",
            "connection failed",
            "could not connect",
            "server closed",
            "terminating connection",
            "connection is lost",
            "connection reset",
            "consuming input failed",
            "timeout expired",
            "timed out",
            "the database system is",
            "failed to resolve host",
            "name resolution",
            "deadlock",
        )
    )


def _cause(error: BaseException) -> str:
    origin = getattr(error, "orig", None)
    lines = hide_password(f"{type(origin or error).__name__}: {origin or error}").splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


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
