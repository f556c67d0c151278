"""Modules that score classes by similarity to one vector a class."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from automl_transfer.training.calibration import best_sharpness


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
        return self.scale * cosines(features, self.weight)


class NearestMean(nn.Module):
    """Similarity to the class means: by angle or by distance, whichever suits the features."""

    by_angle: torch.Tensor
    scale: torch.Tensor

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.weight = nn.Parameter(torch.randn(classes, width) / width**0.5)
        self.register_buffer("by_angle", torch.ones((), dtype=torch.bool))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        """Sets the class vectors, the measure and its scale.

        Measure and scale are those with the least log-loss when each sample in turn is left out
        of the mean of its class.
        """
        unit = functional.normalize(features, dim=1)
        found = []
        for by_angle, values in ((True, unit), (False, features)):
            scores = _left_out(values, labels, self.classes, by_angle)
            scale, log_loss = best_sharpness(scores.double().cpu().numpy(), labels.cpu().numpy())
            found.append((log_loss, by_angle, scale, values))
        _, by_angle, scale, values = min(found, key=lambda one: one[0])
        self.weight.copy_(class_means(values, labels, self.classes))
        self.by_angle.fill_(by_angle)
        self.scale.fill_(scale)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Class scores, shape (n, c)."""
        return self.scale * torch.where(
            self.by_angle, cosines(features, self.weight), nearness(features, self.weight)
        )


def cosines(features: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Cosine of each feature and each vector, shape (n, c)."""
    return functional.linear(
        functional.normalize(features, dim=1), functional.normalize(vectors, dim=1)
    )


def nearness(features: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Negative squared distances, shape (n, c), but for a summand that all classes share."""
    return functional.linear(features, 2 * vectors, -vectors.square().sum(dim=1))


def _left_out(
    values: torch.Tensor, labels: torch.Tensor, classes: int, by_angle: bool
) -> torch.Tensor:
    """Scores of samples, shape (n, c), each with the mean of its class taken without it."""
    means = class_means(values, labels, classes)
    rows = torch.arange(len(values), device=values.device)
    others = (torch.bincount(labels, minlength=classes)[labels] - 1).unsqueeze(1)  # (n, 1)
    own = (means[labels] * (others + 1) - values) / others.clamp(min=1)  # (n, d)
    if by_angle:
        scores = values @ functional.normalize(means, dim=1).T
        scores[rows, labels] = (values * functional.normalize(own, dim=1)).sum(dim=1)
        return scores
    scores = nearness(values, means)
    scores[rows, labels] = (own * (2 * values - own)).sum(dim=1)
    return scores
