"""Modules that score classes by similarity to one vector a class."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional


def class_means(features: torch.Tensor, labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Mean of the features, shape (n, d), of each class; zero for a class without any."""
    one_hot = functional.one_hot(labels, classes).to(features.dtype)  # (n, c)
    counts = one_hot.sum(dim=0).clamp(min=1).unsqueeze(1)
    return one_hot.T @ features / counts


class CosineSimilarity(nn.Module):
    """``scale`` times the cosine between a feature and each class vector."""

    def __init__(self, width: int, classes: int, scale: float) -> None:
        super().__init__()
        self.classes = classes
        self.scale = scale
        self.weight = nn.Parameter(torch.randn(classes, width) / width**0.5)

    def fit(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        """Sets the class vectors to the means of the unit-length features."""
        unit = functional.normalize(features, dim=1)
        self.weight.copy_(class_means(unit, labels, self.classes))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Class scores, shape (n, c)."""
        return self.scale * functional.linear(
            functional.normalize(features, dim=1), functional.normalize(self.weight, dim=1)
        )


class EuclideanSimilarity(nn.Module):
    """Negative squared distance to each class vector, by the width of the features."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.weight = nn.Parameter(torch.randn(classes, width) / width**0.5)

    def fit(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        """Sets the class vectors to the class means."""
        self.weight.copy_(class_means(features, labels, self.classes))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Class scores, shape (n, c).

        The distance is divided by the width's square root: standardised features are about
        ``width`` apart, and scores of that size would make every probability 0 or 1.
        """
        distance: torch.Tensor = torch.cdist(features, self.weight)
        return -torch.square(distance) / math.sqrt(features.shape[1])
