"""Modules that score classes by similarity to one vector a class."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn import functional

from automl_transfer.training.calibration import best_sharpness
from automl_transfer.training.matrix import give_back, slices


def class_means(
    features: torch.Tensor, labels: torch.Tensor, classes: int, unit: bool = False
) -> torch.Tensor:
    """Mean of the features of each class, shape (c, d); zero for a class without any.

    Args:
        features: Shape (n, d); may be in a file.
        labels: Shape (n,).
        classes: Number of classes, c.
        unit: Of the features brought to unit length.
    """
    exact = features.dtype if features.device.type == "mps" else torch.float64  # it has no such
    sums = torch.zeros(classes, features.shape[1], dtype=exact, device=features.device)
    for rows, values in _blocks(features, unit):
        sums += functional.one_hot(labels[rows], classes).to(values.dtype).T @ values
    counts = torch.bincount(labels, minlength=classes).clamp(min=1).unsqueeze(1)
    return (sums / counts).to(features.dtype)


def _blocks(features: torch.Tensor, unit: bool) -> Iterator[tuple[slice, torch.Tensor]]:
    for rows in slices(*features.shape):
        values = features[rows]
        yield rows, functional.normalize(values, dim=1) if unit else values
        give_back(features)


class CosineSimilarity(nn.Module):
    """``scale`` times the cosine between a feature and each class vector."""

    def __init__(self, width: int, classes: int, scale: float) -> None:
        super().__init__()
        self.classes = classes
        self.scale = scale
        self.weight = nn.Parameter(torch.randn(classes, width) / width**0.5)

    def fit(self, features: torch.Tensor, labels: torch.Tensor) -> None:
        """Sets the class vectors to the means of the unit-length features."""
        self.weight.copy_(class_means(features, labels, self.classes, unit=True))

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
        found = []
        for by_angle in (True, False):
            means = class_means(features, labels, self.classes, unit=by_angle)
            scores = _left_out(features, labels, means, by_angle)
            scale, log_loss = best_sharpness(scores.cpu().double().numpy(), labels.cpu().numpy())
            found.append((log_loss, by_angle, scale, means))
        _, by_angle, scale, means = min(found, key=lambda one: one[0])
        self.weight.copy_(means)
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
    features: torch.Tensor, labels: torch.Tensor, means: torch.Tensor, by_angle: bool
) -> torch.Tensor:
    """Scores of samples, shape (n, c), each with the mean of its class taken without it."""
    counts = torch.bincount(labels, minlength=len(means))
    return torch.cat(
        [
            _without(values, labels[rows], means, counts, by_angle)
            for rows, values in _blocks(features, by_angle)
        ]
    )


def _without(
    values: torch.Tensor,
    labels: torch.Tensor,
    means: torch.Tensor,
    counts: torch.Tensor,
    by_angle: bool,
) -> torch.Tensor:
    """As :func:`_left_out`, of a block, shape (b, c); ``counts`` of all samples, shape (c,)."""
    rows = torch.arange(len(values), device=values.device)
    others = (counts[labels] - 1).unsqueeze(1)  # (b, 1)
    own = (means[labels] * (others + 1) - values) / others.clamp(min=1)  # (b, d)
    if by_angle:
        scores = values @ functional.normalize(means, dim=1).T
        scores[rows, labels] = (values * functional.normalize(own, dim=1)).sum(dim=1)
        return scores
    scores = nearness(values, means)
    scores[rows, labels] = (own * (2 * values - own)).sum(dim=1)
    return scores
