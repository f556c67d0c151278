"""Opening a study for a search: made, or found and made by the same request; one at a time."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.errors import DataError, StudyError
from automl_transfer.registry import Registry
from automl_transfer.request import SearchRequest, hide_password
from automl_transfer.stages.provenance import start_provenance
from automl_transfer.store import Store
from automl_transfer.study import STORAGE_VARIABLE

LOCK = "search.lock"


@contextlib.contextmanager
def only_one(files: StudyDirectory) -> Iterator[None]:
    """Keeps a second search of this machine off the study; ends with the process."""
    from filelock import FileLock, Timeout

    fresh = not files.path.exists()
    files.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(files.path / LOCK, timeout=0)
    try:
        with lock:
            yield
    except DataError:
        if fresh:  # nothing was tried: a name is not taken by data that could not be used
            shutil.rmtree(files.path, ignore_errors=True)
        raise
    except Timeout:
        raise StudyError(
            f"Only one search at a time may work on a study, but another one is at work on "
            f"{files.path.name!r}. Wait for it, or choose another name with --study."
        ) from None
    finally:
        if fresh and not files.exists:
            shutil.rmtree(files.path, ignore_errors=True)


def open_study(request: SearchRequest, registry: Registry, files: StudyDirectory) -> Store:
    """Makes the study, or opens it if it was made by the same request."""
    url = request.storage or files.database_url
    if files.exists:
        earlier = files.read_request()
        now = hide_password(request.storage) if request.storage else None
        if earlier.storage != now:
            raise StudyError(
                f"The rows of study {request.name!r} are in "
                f"{earlier.storage or 'its directory'!r}, but this search would look in "
                f"{now or 'its directory'!r}. Give the same --storage (or {STORAGE_VARIABLE}), or "
                "choose another name with --study."
            )
        store = Store(url, request.name, create=True)
        differences = request.differences(earlier)
        if differences and store.trials():
            store.close()
            raise StudyError(
                f"Study {request.name!r} exists and was made with other options "
                f"({'; '.join(differences)}). Choose another name with --study, or repeat: "
                f"{files.read_toml()['command']}"
            )
    else:
        others = [path.name for path in files.path.iterdir() if path.name != LOCK]
        if others:
            raise StudyError(
                f"A new study needs an empty directory, but {str(files.path)!r} holds other "
                "files. Choose another name with --study."
            )
        store = Store(url, request.name, create=True)
        if store.trials():
            store.close()
            raise StudyError(
                f"The database {hide_password(url)!r} holds rows of a study {request.name!r} that "
                "was made elsewhere. Choose another name with --study."
            )
    files.write_request(request, start_provenance(registry, request.seed))
    return store


def known_backbones(request: SearchRequest, files: StudyDirectory) -> set[str]:
    """Backbones of the trials that the study has, if there is one that can be read."""
    if not files.exists:
        return set()
    try:
        store = Store(request.storage or files.database_url, request.name)
    except StudyError:
        return set()  # whoever opens it says what is wrong
    try:
        return {row.configuration.backbone for row in store.trials()}
    finally:
        store.close()
