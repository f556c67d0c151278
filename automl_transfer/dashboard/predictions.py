"""What trials predicted, beside what is true, as the search kept it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from automl_transfer.artifacts import StudyDirectory, changed, labels_of
from automl_transfer.dashboard import data_rows
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.target import Targets


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Some samples of a study."""

    positions: NDArray[np.int64]
    """Rows of the manifest, shape (n,)."""
    targets: Targets
    """In the form of their kind."""
    sources: tuple[str, ...]
    groups: NDArray[np.int64]
    """The same number for samples that belong together, shape (n,)."""


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """Samples, and what was predicted of them."""

    samples: Samples
    probabilities: NDArray[np.float32]
    """Shape (n, c)."""
    stamp: int = 0
    """Another number when what is stored is another."""


def validation(study: Snapshot) -> Samples | None:
    """The validation part; None before the list of samples is there, or where it is damaged."""
    return _samples(study, "val")


def of_trial(study: Snapshot, number: int) -> Predicted | None:
    """What a trial predicted for the validation part; None where that was not kept."""
    samples = validation(study)
    files = StudyDirectory(study.directory)
    found, stamp = files.read_predictions(number), changed(files.predictions(number))
    if samples is None or not _fits(found, samples, len(study.classes)):
        return None
    return Predicted(samples=samples, probabilities=found, stamp=stamp)  # type: ignore[arg-type]


def held_out(study: Snapshot) -> Predicted | None:
    """What the winner predicted for the samples it was scored on; None where that was not kept."""
    stored = StudyDirectory(study.directory).read_held_out()
    whole = _samples(study, None)
    if stored is None or whole is None:
        return None
    positions, probabilities = stored
    if len(positions) and positions.max() >= len(whole.positions):
        return None
    samples = _taken(whole, positions)
    if not _fits(probabilities, samples, len(study.classes)):
        return None
    return Predicted(samples=samples, probabilities=probabilities)


def everything(study: Snapshot) -> Samples | None:
    """All samples of the study."""
    return _samples(study, None)


def _fits(found: NDArray[np.float32] | None, samples: Samples, outputs: int) -> bool:
    return (
        found is not None
        and found.ndim == 2
        and len(found) == len(samples.positions)
        and found.shape[1] == max(outputs, 1)
        and bool(np.isfinite(found).all())
    )


def _samples(study: Snapshot, part: str | None) -> Samples | None:
    stamp = data_rows.stamp(study.directory)
    if not stamp:
        return None
    return _read(str(study.directory), stamp, study.kind, study.classes, part)


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(
    directory: str, stamp: int, kind: str, classes: tuple[str, ...], part: str | None
) -> Samples | None:
    try:
        manifest = StudyDirectory(Path(directory)).read_manifest()
        count = len(manifest["source"])
        whole = Samples(
            positions=np.arange(count),
            targets=_targets(manifest, kind, classes),
            sources=tuple(str(source) for source in manifest["source"]),
            groups=np.asarray(manifest.get("unit", range(count)), dtype=np.int64),
        )
    except Exception:  # damaged in one of many ways
        return None
    if part is None:
        return whole
    return _taken(whole, np.flatnonzero(np.array(manifest["part"], dtype=object) == part))


def _taken(whole: Samples, positions: NDArray[np.int64]) -> Samples:
    return Samples(
        positions=positions,
        targets=whole.targets[positions],
        sources=tuple(whole.sources[at] for at in positions.tolist()),
        groups=whole.groups[positions],
    )


def _targets(manifest: Mapping[str, list[Any]], kind: str, classes: tuple[str, ...]) -> Targets:
    """Raises ``KeyError`` for a class that the study does not know."""
    texts: list[str] = manifest["class"]
    if kind == "regression":
        return np.array([float(text) for text in texts])
    places = {name: place for place, name in enumerate(classes)}
    if kind == "single-label":
        return np.array([places[text] for text in texts], dtype=np.int64)
    sets = np.zeros((len(texts), len(classes)), dtype=np.uint8)
    for row, names in enumerate(labels_of(manifest)):
        for name in names:
            sets[row, places[name]] = 1
    return sets
