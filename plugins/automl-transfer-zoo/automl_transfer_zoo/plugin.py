"""Reads the cards of a directory. Nothing heavy is imported here, and no weights are opened."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

from automl_transfer import hookimpl
from automl_transfer.cards import BackboneCard, WeightsCard

AUTOML_TRANSFER_API = (1, 0)
VARIABLE = "AUTOML_TRANSFER_ZOO"
"""Directories of weights, separated as in ``PATH``."""

FIELDS = (
    "architecture",
    "input_size",
    "mean",
    "std",
    "interpolation",
    "crop_pct",
    "license",
    "pretrained_on",
    "sha256",
)

_LOG = logging.getLogger(__name__)


@hookimpl
def automl_transfer_backbones() -> list[BackboneCard]:
    """One for each file of weights that has a card."""
    found: dict[str, BackboneCard] = {}
    for place in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        if not Path(place).is_dir():
            _LOG.warning("%s names %s, which is no directory.", VARIABLE, place)
        for path in sorted(Path(place).glob("*.json")):
            weights = path.with_suffix(".safetensors")
            if not weights.is_file():
                continue
            try:
                made = card(path, weights)
            except Exception as error:
                _LOG.warning("%s is left out: %s", path, error)
                continue
            if made.id in found:
                _LOG.warning("%s is left out: %s comes from a directory before.", path, made.id)
                continue
            found[made.id] = made
    return list(found.values())


def card(path: Path, weights: Path) -> BackboneCard:
    """The card of a file of weights.

    Args:
        path: The JSON file.
        weights: The weights beside it.

    Raises:
        ValueError: It is no JSON object, names no architecture, or has a field that is not known.
        CardError: What it says makes no card.
    """
    said: Any = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(said, dict) or not isinstance(said.get("architecture"), str):
        raise ValueError('a card must be an object with an "architecture", a name of timm')
    unknown = sorted(set(said) - set(FIELDS))
    if unknown:
        raise ValueError(
            f"the fields of a card are {', '.join(FIELDS)}, but it has {unknown[0]!r}"
        )
    size = int(said.get("input_size", 224))
    return BackboneCard(
        id=f"zoo/{path.stem}",
        factory="automl_transfer_zoo.network:build",
        modality="image",
        family="zoo",
        weights=WeightsCard(
            sources=(f"dir:{weights.resolve()}",),
            license=said.get("license"),
            pretrained_on=said.get("pretrained_on"),
            sha256=said.get("sha256"),
        ),
        input={
            "size": [3, size, size],
            "mean": list(said.get("mean", (0.485, 0.456, 0.406))),
            "std": list(said.get("std", (0.229, 0.224, 0.225))),
            "interpolation": said.get("interpolation", "bicubic"),
            "crop_pct": float(said.get("crop_pct", 0.875)),
        },
        arguments={"architecture": said["architecture"]},
    )
