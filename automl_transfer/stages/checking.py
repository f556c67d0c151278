"""Audits data without a search: ``data check``."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from automl_transfer.audit import Audit
from automl_transfer.auditing import Audited, audit_dataset, unusable
from automl_transfer.dataset import DataOptions
from automl_transfer.errors import DataError
from automl_transfer.events import Event
from automl_transfer.registry import Registry
from automl_transfer.stages.context import cache_directory
from automl_transfer.stages.data_audit import raw_rows
from automl_transfer.stages.following import followed
from automl_transfer.stages.load import opened, recognise_data
from automl_transfer.training.array_cache import ArrayCache


def check(path: Path, options: DataOptions, registry: Registry) -> Generator[Event, None, Audit]:
    """Audits data without a search. Data that cannot be opened are an audit with that finding.

    What is read is kept in the cache, as a search keeps it.

    Raises:
        DataError: There are no data, or no modality recognises them.
        UsageError: The options name a modality that there is not.
    """
    recognised = recognise_data(path, options, registry)
    modality = recognised[1]
    cache = ArrayCache(cache_directory())
    try:
        dataset = yield from opened(registry, recognised, path, options, cache)
    except DataError as error:
        return unusable(str(error))
    rows = raw_rows(modality, dataset, cache)
    found: Audited = yield from followed(
        "auditing", lambda progress: audit_dataset(dataset, modality, rows, progress)
    )
    return found.audit
