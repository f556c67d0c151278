"""A study as it stands at one moment, read whole, so that a page never mixes two moments."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from automl_transfer.artifacts import RECOMMENDATION, StudyDirectory, changed
from automl_transfer.audit import Audit, stored_audit
from automl_transfer.dashboard.wording import seconds_since
from automl_transfer.errors import AutomlTransferError, StudyError
from automl_transfer.kinds import KINDS, Kind
from automl_transfer.outcome import Outcome, finished
from automl_transfer.recommendation import Recommendation
from automl_transfer.request import SearchRequest, hide_password
from automl_transfer.store import Store
from automl_transfer.study import STORAGE_VARIABLE, Study
from automl_transfer.summary import Summary, summary_of

Known = MutableMapping[str, dict[int, Summary]]
"""Ended trials, which never change, by number; by when their study was made."""

Standing = Literal["running", "quiet", "interrupted", "finished", "failed", "unknown"]
"""``quiet``: it says that it is running, and has not been heard of for longer than
:attr:`Snapshot.patience`."""

STANDING_WORDS: Mapping[Standing, str] = {
    "running": "running",
    "quiet": "no sign of life",
    "interrupted": "interrupted",
    "finished": "finished",
    "failed": "failed",
    "unknown": "not started",
}
"""The same for people."""

QUIET_SECONDS = 180.0
"""A search writes its status at least at every epoch; after this long it may have been killed."""
QUIET_EPOCHS = 3
"""So many of the longest epochs are waited for, where they are longer than that."""

_AT_ONCE = 500
"""Summarys that are asked for by their numbers; SQL has a limit, and all of them are soon read."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything about one study that the page shows."""

    name: str
    directory: Path
    command: str
    """The command line that repeats or resumes it."""
    request: SearchRequest
    provenance: Mapping[str, Any]
    status: Mapping[str, Any]
    trials: tuple[Summary, ...]
    """Ended trials by number."""
    under_way: tuple[Outcome, ...]
    """Trials that run, as they last reported."""
    recommendation: Recommendation | None
    data: Mapping[str, Any] = field(default_factory=dict)
    """What was loaded; empty before that."""
    screen: tuple[Mapping[str, Any], ...] = ()
    why_not: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    audit: Audit | None = None
    """None before it was made."""
    importances: Mapping[str, Any] = field(default_factory=dict)
    """What mattered, by stage; empty before the end of a search."""
    timeline: tuple[Mapping[str, Any], ...] = ()
    """Stages with the seconds at which they began and ended."""
    planned: Mapping[str, Any] = field(default_factory=dict)
    """Share of a budget in time at which a stage must be over; None where none is fixed."""
    map: Mapping[str, Any] = field(default_factory=dict)
    """Of what the map of the samples was made; empty where there is none."""
    made: tuple[str, int] = ("", 0)
    """When the study was made, and when its answer was written: another study of the same name, or
    another answer, is told by it."""

    @property
    def metric(self) -> str:
        """The metric that is maximised; ``auto`` before the data are loaded."""
        if self.recommendation is not None:
            return self.recommendation.metric
        return str(self.data.get("metric") or self.request.metric)

    @property
    def kind(self) -> Kind:
        """What is predicted."""
        if self.recommendation is not None:
            return self.recommendation.kind
        kind = self.data.get("kind")
        return kind if kind in KINDS else "single-label"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes or labels; empty before the data are loaded."""
        names = self.data.get("classes")
        return tuple(map(str, names)) if isinstance(names, list) else ()

    @cached_property
    def by_number(self) -> Mapping[int, Summary]:
        """Ended and running trials."""
        return {trial.number: trial for trial in self.everything}

    @cached_property
    def everything(self) -> tuple[Summary, ...]:
        """Ended and running trials by number."""
        return tuple(sorted([*self.trials, *self.running], key=lambda trial: trial.number))

    @cached_property
    def running(self) -> tuple[Summary, ...]:
        """Trials that have begun and not ended."""
        ended = {trial.number for trial in self.trials}
        return tuple(summary_of(trial) for trial in self.under_way if trial.number not in ended)

    @cached_property
    def best_first(self) -> list[Summary]:
        """Finished trials, in the order of the search: value, then what trains less."""
        return finished(self.trials)

    @property
    def counts(self) -> Counter[str]:
        """Ended trials by state."""
        return Counter(trial.state for trial in self.trials)

    @cached_property
    def is_final(self) -> bool:
        """Whether the answer covers every finished trial; a resumed search adds new ones."""
        if self.recommendation is None:
            return False
        ranked = {row.number for row in self.recommendation.ranking}
        return all(trial.number in ranked for trial in self.best_first)

    @property
    def patience(self) -> float:
        """Seconds of silence that are nothing unusual for this search."""
        longest = 0.0
        for trial in self.under_way:
            ends = [0.0, *(point.seconds for point in trial.curve)]
            longest = max([longest, *(after - before for before, after in pairwise(ends))])
        if not self.under_way:
            # The mean epoch of the trials before is near enough.
            spans = (trial.seconds / trial.done for trial in self.trials[-20:] if trial.done)
            longest = max(spans, default=0.0)
        return max(QUIET_SECONDS, QUIET_EPOCHS * longest)

    def standing(self, now: datetime | None = None) -> Standing:
        """What the search is doing, as far as can be told from what it wrote."""
        state = self.status.get("state")
        if state == "running":
            silent = seconds_since(self.status.get("updated"), now)
            return "quiet" if silent is not None and silent > self.patience else "running"
        if state in ("interrupted", "finished", "failed"):
            return state  # type: ignore[no-any-return]
        return "unknown"


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A study that cannot be shown, and why."""

    directory: Path
    reason: str


def read(directory: Path, known: Known | None = None) -> Snapshot | Unreadable:
    """Reads a study. Every trouble with it becomes a text; none of the directory is written.

    Args:
        directory: Where it lies.
        known: Summarys that earlier calls have read, which never change; grows by the new ones.
    """
    study: Study | None = None
    try:
        _check_database(directory)
        study = Study(directory)
        return Snapshot(
            name=study.name,
            directory=directory,
            command=study.command,
            request=study.request,
            provenance=study.provenance,
            status=_mapping(study.status),
            # Running before ended: a trial that ends in between is then seen twice, not never.
            under_way=tuple(study.running),
            trials=_ended(study.store, {} if known is None else known),
            recommendation=study.recommendation,
            data=_mapping(study.document("data")),
            screen=_mappings(study.document("screen")),
            why_not=_mappings(study.document("why_not")),
            notes=tuple(str(note) for note in study.document("notes") or ()),
            audit=stored_audit(study.document("audit")),
            importances=_mapping(study.document("importances")),
            timeline=_mappings(study.document("timeline")),
            planned=_mapping(study.document("planned")),
            map=_mapping(study.document("map")),
            made=(study.store.created, changed(directory / RECOMMENDATION)),
        )
    except Exception as error:  # a damaged study, or one being written, fails in many ways
        return Unreadable(directory=directory, reason=_reason(error))
    finally:
        if study is not None:
            study.close()


def _ended(store: Store, known: Known) -> tuple[Summary, ...]:
    # A study that was made anew under an old name has other trials of the same numbers.
    found = known.setdefault(store.created, {})
    numbers = store.numbers()
    new = [number for number in numbers if number not in found]
    if new:
        rows = store.summaries(new if len(new) <= _AT_ONCE else None)
        found.update((row.number, row) for row in rows)
    return tuple(found[number] for number in numbers)


def outcomes(snapshot: Snapshot, numbers: Iterable[int]) -> list[Outcome]:
    """Whole trials, by number; those that are unknown, or cannot be read, are left out."""
    wanted = set(numbers)
    found = [trial for trial in snapshot.under_way if trial.number in wanted]
    ended = sorted(wanted - {trial.number for trial in found})
    if ended:
        study: Study | None = None
        try:
            study = Study(snapshot.directory)
            found += _readable(study.store, ended[:_AT_ONCE])
        except Exception:
            pass  # the head of the page says what is wrong
        finally:
            if study is not None:
                study.close()
    return sorted(found, key=lambda trial: trial.number)


def _readable(store: Store, numbers: list[int]) -> list[Outcome]:
    """Of these rows those that can be read: one that is damaged takes no other with it."""
    try:
        return store.some(numbers)
    except StudyError:
        found = []
        for number in numbers:
            with contextlib.suppress(StudyError):
                found += store.some([number])
        return found


def database_file(directory: Path) -> Path | None:
    """The SQLite file with the rows of a study; None when they are in a database server."""
    files = StudyDirectory(directory)
    asked = files.read_toml()["request"].get("storage")
    url = make_url((os.environ.get(STORAGE_VARIABLE) or asked) if asked else files.database_url)
    if url.get_backend_name() != "sqlite" or not url.database or url.database.startswith("file:"):
        return None
    return Path(url.database)


def _check_database(directory: Path) -> None:
    """SQLite would make an empty file where there is none, and this page must not write."""
    path = database_file(directory)
    if path is not None and not path.is_file():
        raise StudyError(
            f"The rows of a study are in its database, but {str(path)!r} does not exist. Put it "
            "back from a copy; without it only recommendation.json and report.md can be read."
        )


def _reason(error: BaseException) -> str:
    if isinstance(error, AutomlTransferError):
        return str(error)
    if isinstance(error, SQLAlchemyError):
        origin = getattr(error, "orig", None) or error
        cause = hide_password(f"{type(origin).__name__}: {origin}".splitlines()[0])
        if "locked" in cause:
            return (
                f"The database is in use by another process ({cause}). The page tries again; the "
                "search is not disturbed."
            )
        return f"The database cannot be read ({cause}). Is it there, and is it complete?"
    cause = f"{type(error).__name__}: {error}".splitlines()[0]
    return (
        f"The study does not have the form that this version reads ({cause}). It is damaged, or "
        "another version wrote it; upgrade automl-transfer, or restore it from a copy."
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: Any) -> tuple[Mapping[str, Any], ...]:
    return tuple(row for row in value if isinstance(row, dict)) if isinstance(value, list) else ()
