"""Tables of the data of a study. Every text is made printable."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from automl_transfer.artifacts import MANIFEST, StudyDirectory, changed, labels_of
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import counted, finite, plain

LONGEST_LIST = 200
"""Rows of a list of quarantined items that the page shows."""


NO_LABEL = "no label"
_PARTS = ("train", "val", "test")


def sizes(study: Snapshot) -> dict[str, int]:
    """Samples of each part, as the search counted them."""
    counts = study.data.get("counts")
    known = counts if isinstance(counts, Mapping) else {}
    found = {part: known.get(part, 0) for part in _PARTS}
    return {part: int(finite(one)) for part, one in found.items()}


def stamp(directory: Path) -> int:
    """Another number when the list of samples is another; 0 where there is none."""
    return changed(directory / MANIFEST)


def together(directory: Path) -> str:
    """How many samples stay with others in every split; an empty text where that is not known."""
    try:
        manifest = StudyDirectory(directory).read_manifest()
        units = pd.Series(manifest["unit"])
    except (OSError, ValueError, KeyError):
        return ""
    sizes = units.value_counts()
    linked = int(sizes[sizes > 1].sum())
    if not linked:
        return "Kept together: no sample has a copy, near copy or group; each stands alone."
    groups = len({group for group in manifest.get("group", ()) if group})
    given = f", {counted(groups, 'group')} of yours among them" if groups else ""
    return (
        f"Kept together: {linked:,} of {len(units):,} samples share a unit with others (copies, "
        f"near copies, groups{given}); no unit is in two drawn parts. There are {len(sizes):,} "
        "units."
    )


def ranges(frame: pd.DataFrame) -> pd.DataFrame:
    """Samples, lowest, median and highest number of each part.

    Args:
        frame: Of :func:`numbers`.
    """
    rows = []
    for part in _PARTS:
        found = frame.loc[frame["part"] == part, "number"]
        if len(found):
            rows.append((part, len(found), found.min(), found.median(), found.max()))
    return pd.DataFrame(rows, columns=["part", "samples", "lowest", "median", "highest"])


def numbers(directory: Path) -> pd.DataFrame | None:
    """Columns ``number`` and ``part`` of a regression's samples; None before they are there."""
    try:
        manifest = StudyDirectory(directory).read_manifest()
        return pd.DataFrame(
            {"number": [float(text) for text in manifest["class"]], "part": manifest["part"]}
        )
    except (OSError, ValueError, KeyError):
        return None


def classes(directory: Path, kind: str = "single-label") -> pd.DataFrame | None:
    """Samples of each class, or of each label, in each part, the largest first; None before the
    manifest is there."""
    try:
        manifest = StudyDirectory(directory).read_manifest()
        frame = pd.DataFrame({key: manifest[key] for key in ("class", "part")})
        if kind == "multi-label":
            frame["class"] = [names or [NO_LABEL] for names in labels_of(manifest)]
            frame = frame.explode("class")
    except Exception:  # damaged in one of many ways
        return None
    frame["class"] = frame["class"].map(plain)
    counts = pd.crosstab(frame["class"], frame["part"])
    counts = counts.reindex(columns=list(_PARTS), fill_value=0)
    counts["all"] = counts.sum(axis=1)
    counts = counts.sort_values("all", ascending=False, kind="stable")
    return counts.reset_index().rename_axis(columns=None)


def quarantined(directory: Path) -> pd.DataFrame:
    """The first :data:`LONGEST_LIST` items that could not be used, and why."""
    columns = ["source", "reason"]
    try:
        with (directory / "quarantined.csv").open(
            newline="", encoding="utf-8", errors="surrogateescape"
        ) as file:
            rows = [row for row, _ in zip(csv.DictReader(file), range(LONGEST_LIST), strict=False)]
    except (OSError, csv.Error):
        rows = []
    return pd.DataFrame(
        [{column: plain(row.get(column) or "") for column in columns} for row in rows],
        columns=columns,
    )
