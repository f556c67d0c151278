"""Names that stand for the parts of a split."""

from __future__ import annotations

from automl_transfer.dataset import Part

PART_NAMES: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Lower-case name to part. Such folders are parts, never classes."""


def part_named(name: str) -> Part | None:
    """The part that ``name`` stands for, whatever its case, or None."""
    return PART_NAMES.get(name.strip().lower())
