"""Folders of images."""

from __future__ import annotations

from automl_transfer.cards import ModalityCard
from automl_transfer.space import Choice

CARD = ModalityCard(
    id="image",
    factory="automl_transfer.modalities.image.modality:build",
    summary="Image files in class folders, train/val/test folders or a manifest.",
    space=(
        Choice(
            name="augment",
            choices=("none", "flip", "crop", "crop-flip"),
            # Short trainings from a probed head lose by variation (digits, textiles); it is the
            # search that finds out where it pays.
            default="none",
        ),
    ),
)
