"""A labelled file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from automl_transfer.dataset import Part


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A labelled file."""

    path: Path
    source: str
    """The path relative to the listing's root, with forward slashes; absolute if outside it."""
    label: str
    """As the data say it: the class; several labels; a number."""
    values: tuple[float, ...] = ()
    stratum: int = 0
    """As ``values`` and ``label`` of a :class:`automl_transfer.dataset.Sample`."""
    part: Part | None = None
    group: str = ""
    """What it belongs to; empty: to nothing but itself."""
