"""Opens a stored study for a command, and says in words what is wrong with one that is damaged."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cattrs import BaseValidationError
from sqlalchemy.exc import SQLAlchemyError

from automl_transfer.errors import AutomlTransferError, StudyError
from automl_transfer.report.figures import duration
from automl_transfer.request import hide_password
from automl_transfer.study import Study, open_study

QUIET_SECONDS = 120.0
"""A running search tells of itself at every epoch; after this long it may have been killed."""

_DAMAGE = (
    BaseValidationError,
    SQLAlchemyError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)
"""What reading a study raises that was cut off, edited, or written by another version."""


@contextmanager
def opened(study: str | Path, studies: str | Path, storage: str | None) -> Iterator[Study]:
    """A study by name or directory, closed afterwards.

    Raises:
        StudyError: There is none, or it cannot be read.
    """
    found: Study | None = None
    try:
        found = open_study(study, studies, storage)
        yield found
    except (AutomlTransferError, BrokenPipeError):
        raise
    except _DAMAGE as error:
        cause = hide_password(f"{type(error).__name__}: {error}".splitlines()[0])
        raise StudyError(
            f"Study {str(study)!r} cannot be read ({cause}). It is damaged, or another version "
            "wrote it: restore it from a copy, or upgrade automl-transfer."
        ) from error
    finally:
        if found is not None:
            found.close()


def last_heard(study: Study) -> float | None:
    """When the search last wrote its status, in seconds since 1970; None when it never did."""
    updated = study.status.get("updated")
    if isinstance(updated, (int, float)):
        return float(updated)
    try:
        moment = datetime.fromisoformat(str(updated))
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def state_words(study: Study, now: float | None = None) -> str:
    """``finished``, ``interrupted``, ``running``, or ``running? (silent for 1h 2m)``."""
    state = str(study.status.get("state", "unknown"))
    heard = last_heard(study)
    silent = (time.time() if now is None else now) - heard if heard is not None else 0.0
    if state == "running" and silent > QUIET_SECONDS:
        return f"running? (silent for {duration(silent)})"
    return state


def metric_of(study: Study) -> str:
    """The metric that is maximised; ``auto`` before the data are loaded."""
    data = study.document("data") or {}
    return str(data.get("metric") or study.request.metric)
