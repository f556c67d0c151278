"""Waiting for a study that another process begins: its directory first, then its rows."""

from __future__ import annotations

import time
from collections.abc import Callable

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.errors import NoStudyError, StudyError
from automl_transfer.request import hide_password
from automl_transfer.store import Store
from automl_transfer.study import require_password

POLL_SECONDS = 0.5
"""Between two looks for what is not there yet."""
BEGIN_SECONDS = 5.0
"""For a search whose directory is there to write down that it runs."""


def awaited(
    files: StudyDirectory,
    study: str,
    storage: str | None,
    *,
    seconds: float,
    pause: Callable[[float], bool],
    tell: Callable[[str], None],
) -> Store | None:
    """The rows of a study, once it has begun; None: there is no more wish for them.

    Args:
        files: Where its directory is or will be.
        study: Its name.
        storage: Database URL; None: the one that the search was given.
        seconds: For its directory to appear.
        pause: Called with seconds to wait; whether to give up before they are over.
        tell: Called with a line for people if there is anything to wait for.

    Raises:
        StudyError: It did not appear, or its database cannot be found from here.
    """
    if not files.exists:
        tell(
            f"There is no study at {str(files.path.absolute())!r} yet; waiting for it, "
            f"{seconds:.0f} s at the most."
        )
    until = time.monotonic() + seconds
    while not files.exists:
        if pause(POLL_SECONDS):
            return None
        if time.monotonic() > until:
            raise StudyError(
                "A worker needs the directory of its study, but "
                f"{str(files.path.absolute())!r} is not there. Start the search first, "
                "or give the shared directory with --studies."
            )
    url = storage or files.read_toml()["request"].get("storage") or files.database_url
    require_password(study, url)
    until = time.monotonic() + BEGIN_SECONDS
    while not _has_begun(url, study):
        if pause(POLL_SECONDS):
            return None
        if time.monotonic() > until:
            raise StudyError(
                f"There is no search of study {study!r} in the database "
                f"{hide_password(url)!r}. Is --storage that of the search?"
            )
    return Store(url, study, create=True)


def _has_begun(url: str, study: str) -> bool:
    """Whether the study is in a database, which is not made for that."""
    try:
        store = Store(url, study)
    except NoStudyError:
        return False
    try:
        return store.get("status") is not None
    finally:
        store.close()
