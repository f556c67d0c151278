"""From listed files, each of which was opened once, to a data set."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from automl_transfer.dataset import Dataset, Quarantined, Sample
from automl_transfer.errors import DataError
from automl_transfer.layouts.listing import Listing, require_enough
from automl_transfer.target import outputs_of


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """What opening a file came to."""

    id: str
    """Of its content; empty if it cannot be used."""
    error: str | None = None
    """Why it cannot be used."""
    kind: str = ""
    """The same in a few words."""


def dataset_of(
    listing: Listing, inspected: Sequence[Inspected], *, modality: str, noun: str
) -> Dataset:
    """The usable files as samples; the others set aside.

    Args:
        listing: What :func:`.read_layout` returned.
        inspected: What came of each of its entries.
        modality: Id of the modality.
        noun: What a file holds, for the messages.

    Raises:
        DataError: No file can be used, or a class has too few.
    """
    samples: list[Sample] = []
    broken: list[Quarantined] = []
    for entry, found in zip(listing.entries, inspected, strict=True):
        if found.error is None:
            samples.append(
                Sample(
                    id=found.id,
                    source=entry.source,
                    label=entry.stratum,
                    values=entry.values,
                    part=entry.part,
                    group=entry.group,
                )
            )
        else:
            broken.append(Quarantined(source=entry.source, reason=found.error, kind=found.kind))
    if not samples:
        first = "; ".join(f"{item.source!r}: {item.reason}" for item in broken[:3])
        raise DataError(
            f"At least some {noun}s of {str(listing.root)!r} must be readable, but all "
            f"{len(broken)} fail ({first}). Check that these files are {noun}s."
        )
    _require_enough(listing, samples, noun)
    return Dataset(
        modality=modality,
        root=os.path.abspath(listing.root),
        classes=listing.classes,
        kind=listing.kind,
        samples=tuple(samples),
        layout=listing.layout,
        quarantined=(*listing.quarantined, *broken),
        empty_classes=listing.empty,
        notes=listing.notes,
    )


def items_of(
    files: Sequence[Path], inspected: Sequence[Inspected], *, modality: str
) -> tuple[Dataset, list[str | None]]:
    """Files to predict: a sample with label 0 for each that can be used, and why others cannot.

    Args:
        files: Where they are, absolute: they may lie anywhere.
        inspected: What came of each of them.
        modality: Id of the modality.
    """
    samples = tuple(
        Sample(id=found.id, source=str(file), label=0)
        for file, found in zip(files, inspected, strict=True)
        if found.error is None
    )
    dataset = Dataset(modality=modality, root="", classes=("",), samples=samples, layout="files")
    return dataset, [found.error for found in inspected]


def _require_enough(listing: Listing, samples: Sequence[Sample], noun: str) -> None:
    totals: Counter[int] = Counter()
    for entry in listing.entries:
        totals.update(outputs_of(listing.kind, entry.stratum, entry.values))
    different: dict[int, set[str]] = defaultdict(set)
    for sample in samples:
        for place in outputs_of(listing.kind, sample.label, sample.values):
            different[place].add(sample.id)
    places = range(len(listing.classes))
    require_enough(
        listing.classes,
        [len(different[place]) for place in places],
        [totals[place] for place in places],
        noun,
        kind=listing.kind,
    )
