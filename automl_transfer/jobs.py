"""Work that any process may take from the database of a study, each piece by one at a time.

Who takes a job has a lease on it: a name that nobody else has, and a count that goes up. Another
process sees the count stand still, by its own clock, and puts the job back. No time of day is
compared, so neither clocks that jump or differ nor time zones matter, and a process that is killed
before its first sign of life is noticed as any other.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

import sqlalchemy as sa

from automl_transfer.budget import environment_seconds
from automl_transfer.database import Database, insert_new

TABLES = sa.MetaData()
_JOBS = sa.Table(
    "automl_jobs",
    TABLES,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("key", sa.String(100), primary_key=True),
    sa.Column("place", sa.Integer, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),
    sa.Column("state", sa.String(10), nullable=False),
    sa.Column("owner", sa.String(200)),
    sa.Column("lease", sa.String(32)),
    sa.Column("beats", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("seconds_left", sa.Float),
    sa.Column("result", sa.Text),
)
_WORKERS = sa.Table(
    "automl_workers",
    TABLES,
    sa.Column("study", sa.String(100), primary_key=True),
    sa.Column("worker", sa.String(200), primary_key=True),
    sa.Column("about", sa.Text, nullable=False),
    sa.Column("beats", sa.Integer, nullable=False),
)

State = Literal["waiting", "running", "done", "failed"]
ATTEMPTS = 2
"""Of a job whose process dies: it is begun once more."""
GRACE_SECONDS = 30.0
"""After which a job whose count stands still is put back."""
GRACE_VARIABLE = "AUTOML_TRANSFER_GRACE"
"""Environment variable with another number of seconds; the same for all processes of a study."""
BEATS = 6
"""Signs of life within that time."""
_BEATS_BETWEEN = 1.5
"""Two looks at the leases of others that are further apart than so many beats were kept apart."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job that this process has taken."""

    key: str
    payload: Any
    lease: str
    attempt: int
    """From 1."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a job stands."""

    key: str
    state: State
    owner: str | None
    beats: int
    lease: str | None
    result: Any


def usual_grace() -> float:
    """Seconds after which a lease is over: as the environment says, or :data:`GRACE_SECONDS`.

    Raises:
        UsageError: The environment says what is no number from 1 to 86,400.
    """
    return environment_seconds(GRACE_VARIABLE, GRACE_SECONDS, most=86_400)


class Jobs:
    """The jobs of one study."""

    def __init__(self, database: Database, study: str, grace: float | None = None) -> None:
        """Nothing is asked of the database yet.

        Args:
            database: In which :data:`TABLES` are.
            study: Its name.
            grace: Seconds after which a lease that is not renewed is over; None: see
                :func:`usual_grace`.
        """
        self.grace = usual_grace() if grace is None else grace
        self._database = database
        self._study = study

    @property
    def between_beats(self) -> float:
        """Seconds between two signs of life."""
        return self.grace / BEATS

    # Who wants work done -----------------------------------------------------------------------

    def post(self, key: str, payload: Any, place: int = 0) -> None:
        """Offers a job; one of this key that there is stays as it is.

        Args:
            key: Names it within the study.
            payload: What to do, as JSON.
            place: Lower ones are taken first.
        """
        text = json.dumps(payload, allow_nan=False)
        self._database.write(
            lambda connection: insert_new(
                connection,
                _JOBS,
                study=self._study,
                key=key,
                place=place,
                payload=text,
                state="waiting",
                beats=0,
                attempts=0,
            )
        )

    def standings(self, keys: Iterable[str] | None = None) -> list[Standing]:
        """How jobs stand, those first that are to be taken first."""
        wanted = sa.select(
            _JOBS.c.key,
            _JOBS.c.state,
            _JOBS.c.owner,
            _JOBS.c.beats,
            _JOBS.c.lease,
            _JOBS.c.result,
        ).where(_JOBS.c.study == self._study)
        if keys is not None:
            wanted = wanted.where(_JOBS.c.key.in_(list(keys)))
        wanted = wanted.order_by(_JOBS.c.place, _JOBS.c.key)
        rows = self._database.read(lambda connection: connection.execute(wanted).all())
        return [
            Standing(
                key=key,
                state=state,
                owner=owner,
                beats=beats,
                lease=lease,
                result=None if result is None else json.loads(result),
            )
            for key, state, owner, beats, lease, result in rows
        ]

    def say_left(self, seconds: float) -> None:
        """Tells those at work how much time there is for it; see :meth:`beat`."""
        change = sa.update(_JOBS).where(_JOBS.c.study == self._study)
        left = None if seconds == float("inf") else seconds
        self._database.write(
            lambda connection: connection.execute(change.values(seconds_left=left))
        )

    def withdraw(self, keys: Iterable[str] | None = None) -> None:
        """Takes jobs back, whoever is at them: what they come to is not taken any more."""
        gone = sa.delete(_JOBS).where(_JOBS.c.study == self._study)
        if keys is not None:
            gone = gone.where(_JOBS.c.key.in_(list(keys)))
        self._database.write(lambda connection: connection.execute(gone))

    # Who works ---------------------------------------------------------------------------------

    def claim(self, owner: str) -> Job | None:
        """Takes the first job that waits; None if there is none."""
        lease = uuid4().hex

        def work(connection: sa.Connection) -> Job | None:
            mine = sa.select(_JOBS.c.key, _JOBS.c.payload, _JOBS.c.attempts).where(
                _JOBS.c.study == self._study
            )
            # A claim that got through without our being told of it is ours all the same.
            row = connection.execute(mine.where(_JOBS.c.lease == lease)).first()
            if row is None:
                row = connection.execute(
                    mine.where(_JOBS.c.state == "waiting")
                    .order_by(_JOBS.c.place, _JOBS.c.key)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                ).first()
                if row is None:
                    return None
                taken = connection.execute(
                    sa.update(_JOBS)
                    .where(
                        _JOBS.c.study == self._study,
                        _JOBS.c.key == row.key,
                        _JOBS.c.state == "waiting",
                    )
                    .values(
                        state="running",
                        owner=owner,
                        lease=lease,
                        beats=0,
                        attempts=_JOBS.c.attempts + 1,
                    )
                )
                if not taken.rowcount:
                    return None
                attempt = row.attempts + 1
            else:
                attempt = row.attempts
            return Job(key=row.key, payload=json.loads(row.payload), lease=lease, attempt=attempt)

        return self._database.write(work)

    def beat(self, job: Job) -> float | None:
        """A sign of life. Returns the seconds that are left for the job; None: it is not ours any
        more, and what we make of it will not be taken."""

        def work(connection: sa.Connection) -> float | None:
            done = connection.execute(self._ours(job).values(beats=_JOBS.c.beats + 1))
            if not done.rowcount:
                return None
            left = connection.scalar(
                sa.select(_JOBS.c.seconds_left).where(
                    _JOBS.c.study == self._study, _JOBS.c.key == job.key
                )
            )
            return float("inf") if left is None else float(left)

        return self._database.write(work)

    def finish(self, job: Job, result: Any) -> bool:
        """Tells what came of a job; whether it was taken."""
        text = json.dumps(result, allow_nan=False)

        def work(connection: sa.Connection) -> bool:
            change = self._ours(job).values(state="done", result=text)
            if connection.execute(change).rowcount:
                return True
            # Told before, and only our being told so was lost.
            stored = connection.execute(
                sa.select(_JOBS.c.state, _JOBS.c.lease).where(
                    _JOBS.c.study == self._study, _JOBS.c.key == job.key
                )
            ).first()
            return stored is not None and tuple(stored) == ("done", job.lease)

        return self._database.write(work)

    def fail(self, job: Job, result: Any) -> bool:
        """Tells that a job failed here, which may be due to this process or its machine: it is
        begun once more, and if that fails too, this is what came of it.

        Returns:
            Whether it was taken.
        """
        here = self._ours(job).where(_JOBS.c.attempts < ATTEMPTS)
        again = here.values(state="waiting", lease=None, owner=None)
        if self._database.write(lambda connection: connection.execute(again).rowcount):
            return True
        return self.finish(job, result)

    def release(self, job: Job) -> None:
        """Puts a job back that nothing is wrong with; it does not count as an attempt."""
        change = self._ours(job).values(
            state="waiting", lease=None, owner=None, attempts=_JOBS.c.attempts - 1
        )
        self._database.write(lambda connection: connection.execute(change))

    def _ours(self, job: Job) -> sa.Update:
        return sa.update(_JOBS).where(
            _JOBS.c.study == self._study,
            _JOBS.c.key == job.key,
            _JOBS.c.lease == job.lease,
            _JOBS.c.state == "running",
        )

    # Who is there ------------------------------------------------------------------------------

    def show(self, worker: str, about: Mapping[str, Any]) -> None:
        """A sign of life of a worker, whether it has a job or not."""
        text = json.dumps(dict(about))
        here = (_WORKERS.c.study == self._study, _WORKERS.c.worker == worker)

        def work(connection: sa.Connection) -> None:
            change = sa.update(_WORKERS).where(*here)
            values = {"about": text, "beats": _WORKERS.c.beats + 1}
            if not connection.execute(change.values(values)).rowcount:
                insert_new(
                    connection, _WORKERS, study=self._study, worker=worker, about=text, beats=0
                )

        self._database.write(work)

    def leave(self, worker: str) -> None:
        """Says that a worker goes."""
        gone = sa.delete(_WORKERS).where(
            _WORKERS.c.study == self._study, _WORKERS.c.worker == worker
        )
        self._database.write(lambda connection: connection.execute(gone))

    def workers(self) -> dict[str, tuple[int, dict[str, Any]]]:
        """Signs of life of each worker so far, and what it said of itself."""
        wanted = sa.select(_WORKERS.c.worker, _WORKERS.c.beats, _WORKERS.c.about).where(
            _WORKERS.c.study == self._study
        )
        rows = self._database.read(lambda connection: connection.execute(wanted).all())
        return {worker: (beats, json.loads(about)) for worker, beats, about in rows}

    def put_back(self, standing: Standing) -> State | None:
        """Ends a lease, if it is still as it was seen; the job waits again, or has failed for
        good. One transaction: whoever does it may be killed at any time.

        Returns:
            What the job is now; None: it had changed in the meantime.
        """
        here = sa.update(_JOBS).where(
            _JOBS.c.study == self._study,
            _JOBS.c.key == standing.key,
            _JOBS.c.lease == standing.lease,
            _JOBS.c.beats == standing.beats,
            _JOBS.c.state == "running",
        )

        def work(connection: sa.Connection) -> State | None:
            again = here.where(_JOBS.c.attempts < ATTEMPTS).values(state="waiting", lease=None)
            if connection.execute(again).rowcount:
                return "waiting"
            text = json.dumps({"died": standing.owner})
            over = here.values(state="failed", lease=None, result=text)
            return "failed" if connection.execute(over).rowcount else None

        return self._database.write(work)

    def forget(self, worker: str, beats: int) -> None:
        """Takes a worker off the list that has shown no sign of life since."""
        gone = sa.delete(_WORKERS).where(
            _WORKERS.c.study == self._study,
            _WORKERS.c.worker == worker,
            _WORKERS.c.beats == beats,
        )
        self._database.write(lambda connection: connection.execute(gone))


class Sweeper:
    """Looks at the leases of others, and ends those that stand still.

    Any process may have one, and any number of them.
    """

    def __init__(self, jobs: Jobs, clock: Callable[[], float] = time.monotonic) -> None:
        """Sees nothing yet: a lease is over a grace time after it was first seen, at the least."""
        self._jobs = jobs
        self._clock = clock
        self._looked = clock()
        self._watched = 0.0
        self._leases: dict[str, tuple[tuple[str | None, int], float]] = {}
        self._workers: dict[str, tuple[int, float]] = {}

    def sweep(self) -> list[tuple[Standing, State]]:
        """Ends what is over.

        Only time in which this was called counts: while the database was away, or this process
        stood still, nobody could show a sign of life.

        Returns:
            Jobs whose processes seem to be gone, as they were, and what they are now.
        """
        seen, ended = set[str](), list[tuple[Standing, State]]()
        standings, looked = self._jobs.standings(), self._clock()
        most = _BEATS_BETWEEN * self._jobs.between_beats
        self._watched += min(looked - self._looked, most)
        self._looked, now = looked, self._watched
        for one in standings:
            if one.state != "running":
                continue
            seen.add(one.key)
            sign = (one.lease, one.beats)
            known = self._leases.get(one.key)
            if known is None or known[0] != sign:
                self._leases[one.key] = (sign, now)
            elif now - known[1] > self._jobs.grace:
                state = self._jobs.put_back(one)
                if state is not None:
                    ended.append((one, state))
        self._leases = {key: lease for key, lease in self._leases.items() if key in seen}
        return ended

    def alive(self) -> list[str]:
        """Workers that show signs of life; the others are taken off the list."""
        now, found = self._clock(), self._jobs.workers()
        for worker, (beats, _) in found.items():
            known = self._workers.get(worker)
            if known is None or known[0] != beats:
                self._workers[worker] = (beats, now)
            elif now - known[1] > self._jobs.grace:
                self._jobs.forget(worker, beats)
        self._workers = {name: sign for name, sign in self._workers.items() if name in found}
        return sorted(
            name for name, (_, since) in self._workers.items() if now - since <= self._jobs.grace
        )


class Pulse:
    """Calls something at every beat, in a thread of its own, until it is stopped.

    What fails is tried again at the next beat: a database that is away for a moment must not end
    the signs of life.
    """

    def __init__(self, work: Callable[[], object], every: Callable[[], float]) -> None:
        """Begins at once.

        Args:
            work: Called in the thread.
            every: Tells the seconds up to the next call.
        """
        self._work = work
        self._every = every
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="signs of life")
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self._every()):
            try:
                self._work()
            except Exception:
                continue

    def stop(self) -> None:
        """Calls no more; waits for a call under way, but not for a database that is away."""
        self._over.set()
        self._thread.join(self._every())
