"""The parts that a study's trials were scored on: a resumed study keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.artifacts import MANIFEST
from automl_transfer.dataset import PARTS, Dataset, Splits
from automl_transfer.errors import StudyError
from automl_transfer.stages.context import Context
from automl_transfer.units import units


def kept_splits(
    context: Context, dataset: Dataset, clusters: NDArray[np.int64]
) -> tuple[Splits, bool] | None:
    """The parts in the manifest of a study with trials, whatever would be drawn now.

    A sample is found by its source and, if it lies elsewhere now, by its content, which is in one
    part wherever it lies.

    Args:
        context: Of the search.
        dataset: The same data as then.
        clusters: Shape (n,), as the audit says them now: for manifests of versions that did not
            keep which samples belong together.

    Returns:
        The splits, and whether the manifest names all samples as they are named now; None without
        trials, when there is nothing to keep.

    Raises:
        StudyError: The manifest cannot be read, or is not of these samples.
    """
    if not context.outcomes:
        return None
    manifest = _manifest(context)
    rows, named = _rows(context, manifest, dataset)
    where = np.array([PARTS.index(manifest["part"][row]) for row in rows], dtype=np.int64)
    train, val, test = (np.flatnonzero(where == place) for place in range(len(PARTS)))
    linked = (
        np.array([manifest["unit"][row] for row in rows], dtype=np.int64)
        if "unit" in manifest
        else units(dataset.samples, clusters)
    )
    said = (context.store.get("data") or {}).get("split_description")
    description = said or "as in the manifest of the study"
    return Splits(train=train, val=val, test=test, units=linked, description=description), named


def _manifest(context: Context) -> dict[str, list[Any]]:
    try:
        found = context.files.read_manifest()
    except (OSError, ValueError) as error:
        raise _unusable(context, f"it cannot be read: {type(error).__name__}") from error
    lacking = [name for name in ("id", "source", "part") if name not in found]
    if lacking:
        raise _unusable(context, f"it has no column {lacking[0]!r}")
    odd = next((part for part in found["part"] if part not in PARTS), None)
    if odd is not None:
        raise _unusable(context, f"it has a part {odd!r}, where {', '.join(PARTS)} are known")
    return found


def _rows(
    context: Context, manifest: dict[str, list[Any]], dataset: Dataset
) -> tuple[list[int], bool]:
    """The row of each sample, and whether all are found by their source."""
    keys = list(zip(manifest["source"], manifest["id"], strict=True))
    by_source = {key: row for row, key in enumerate(keys)}
    by_content = {id: row for row, (_, id) in enumerate(keys)}
    found = [by_source.get((sample.source, sample.id)) for sample in dataset.samples]
    rows = [
        by_content.get(sample.id, -1) if row is None else row
        for row, sample in zip(found, dataset.samples, strict=True)
    ]
    if len(keys) != len(rows) or -1 in rows:
        raise _unusable(context, "it is not of the samples that the data have now")
    return rows, None not in found


def _unusable(context: Context, why: str) -> StudyError:
    return StudyError(
        f"The trials of study {context.request.name!r} were scored on the parts in "
        f"{str(context.files.path / MANIFEST)!r}, but {why}. Put it back from a copy, or choose "
        "another name with --study."
    )
