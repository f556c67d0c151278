"""Some samples of the data, as the search kept views of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import streamlit as st

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.dashboard import bound
from automl_transfer.dashboard.data_rows import NO_LABEL
from automl_transfer.dashboard.pictures import Shown, pictures
from automl_transfer.dashboard.predictions import Samples, everything
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import distinct

MOST = 36
"""Samples that are drawn."""
EACH = 3
"""Of each class, where no class is chosen."""
_ALL = ""


def samples(study: Snapshot) -> None:
    """Draws some samples, of a class if one is chosen."""
    st.markdown("**Some samples**")
    whole = everything(study)
    files = StudyDirectory(study.directory)
    kept = [at for at in files.known_stills() if whole is not None and at < len(whole.positions)]
    if whole is None or not kept:
        st.text(
            "No small views of samples are kept: the search has not come so far, this kind of "
            "data has none, or the files are gone. Their names are in manifest.parquet."
        )
        return
    chosen, words = _chosen(study, whole, kept)
    if not chosen:
        st.text("No view of a sample of this class is kept.")
        return
    shown = [
        Shown(position=at, source=whole.sources[at], words=_truth(study, whole, at))
        for at in chosen[:MOST]
    ]
    pictures(shown, files.read_stills(one.position for one in shown))
    cap = f"{len(shown):,} of the {len(kept):,} samples of which a view is kept"
    st.caption(f"{cap}{words}; the data have {len(whole.positions):,}.")


def _chosen(study: Snapshot, whole: Samples, kept: Sequence[int]) -> tuple[list[int], str]:
    """Rows of the manifest, and how they were chosen."""
    if study.kind == "regression":
        order = sorted(kept, key=lambda at: float(whole.targets[at]))
        places = np.unique(np.linspace(0, len(order) - 1, MOST).round().astype(int))
        return [order[place] for place in places], ", from the lowest number to the highest"
    names = {name: place for place, name in enumerate(distinct(study.classes))}
    what = "label" if study.kind == "multi-label" else "class"
    options = {_ALL: f"a few of each {what}", **{name: name for name in names}}
    asked = bound.choice(what.capitalize(), "class", options)
    if asked != _ALL:
        label = names[asked]
        return [at for at in kept if label in _labels(study, whole, at)], f" of this {what}"
    by_class: dict[int, list[int]] = defaultdict(list)
    for at in kept:
        for label in _labels(study, whole, at):
            if len(by_class[label]) < EACH:
                by_class[label].append(at)
    few = [at for label in sorted(by_class) for at in by_class[label]]
    return list(dict.fromkeys(few)), f", at most {EACH} of each {what}"


def _labels(study: Snapshot, whole: Samples, at: int) -> list[int]:
    if study.kind == "multi-label":
        return [int(place) for place in np.flatnonzero(whole.targets[at])]
    return [int(whole.targets[at])]


def _truth(study: Snapshot, whole: Samples, at: int) -> str:
    if study.kind == "regression":
        return f"{float(whole.targets[at]):.4g}"
    labels = _labels(study, whole, at)
    return ", ".join(study.classes[label] for label in labels) or NO_LABEL
