"""The training view: crops and mirror images of a batch, all drawn from one generator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

SMALLEST_AREA = 0.5
"""Of the view that a random crop keeps. Moderate: the data are few and the network has seen many
images; and the enlargement stays below 1.5, so that nothing needs filtering."""

ASPECTS = (3 / 4, 4 / 3)


def training_view(
    images: torch.Tensor, *, crop: bool, flip: bool, generator: torch.Generator
) -> torch.Tensor:
    """Varies each image of a batch by itself.

    Args:
        images: Shape (n, channels, h, w), on the CPU.
        crop: Enlarge a random rectangle of 50 to 100 % of the area and an aspect from 3:4 to 4:3
            (Szegedy et al. 2015, "Going deeper with convolutions", with a gentler range).
        flip: Mirror left and right with probability one half.
        generator: Source of all chance, on the CPU.

    Returns:
        The same shape.
    """
    import torch
    from torch.nn import functional

    count = len(images)
    draws = _draws(count, generator)
    mirror = _mirror(draws) if flip else torch.zeros(count, dtype=torch.bool)
    if not crop:
        return torch.where(mirror[:, None, None, None], images.flip(-1), images)
    area = SMALLEST_AREA + (1 - SMALLEST_AREA) * draws[:, 0]
    low, high = (math.log(aspect) for aspect in ASPECTS)
    aspect = torch.exp(low + (high - low) * draws[:, 1])
    wide = torch.sqrt(area * aspect).clamp(max=1)
    tall = torch.sqrt(area / aspect).clamp(max=1)
    # Rows of the matrices map output to input coordinates, both from -1 to 1.
    matrices = torch.zeros((count, 2, 3))
    matrices[:, 0, 0] = torch.where(mirror, -wide, wide)
    matrices[:, 0, 2] = (2 * draws[:, 2] - 1) * (1 - wide)
    matrices[:, 1, 1] = tall
    matrices[:, 1, 2] = (2 * draws[:, 3] - 1) * (1 - tall)
    grid = functional.affine_grid(matrices, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def mirrored(count: int, generator: torch.Generator) -> torch.Tensor:
    """Which of ``count`` images :func:`training_view` would mirror, shape (count,), bool."""
    return _mirror(_draws(count, generator))


def _draws(count: int, generator: torch.Generator) -> torch.Tensor:
    import torch

    return torch.rand((count, 5), generator=generator)


def _mirror(draws: torch.Tensor) -> torch.Tensor:
    return draws[:, 4] < 0.5
