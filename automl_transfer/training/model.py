"""Backbone, feature scaler and head as one module."""

from __future__ import annotations

import torch
from torch import nn

from automl_transfer.contracts import Backbone, Batch


class FeatureScaler(nn.Module):
    """Standardises each feature by a mean and a deviation that are fixed once.

    Frozen features of different networks differ a hundredfold in scale; standardised, one range
    of learning rates fits all heads.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def fit(self, features: torch.Tensor) -> None:
        """Takes mean and deviation from features of shape (n, width)."""
        deviation = features.std(dim=0, unbiased=False)
        # A feature that never varies carries nothing; leave it at zero instead of blowing it up.
        usable = deviation > 1e-6 * deviation.max().clamp(min=1e-12)
        self.mean.copy_(features.mean(dim=0))
        self.scale.copy_(torch.where(usable, 1 / deviation.clamp(min=1e-12), 0.0))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Standardised features, shape (n, width)."""
        scaled: torch.Tensor = (features - self.mean) * self.scale
        return scaled


class TransferModel(nn.Module):
    """Encoded batch to class scores, shape (n, classes)."""

    def __init__(self, backbone: Backbone, head: nn.Module, width: int) -> None:
        super().__init__()
        self.network = backbone.module
        self.scaler = FeatureScaler(width)
        self.head = head
        self._features = backbone.features

    def features(self, batch: Batch) -> torch.Tensor:
        """Pooled features before the scaler, shape (n, width), in float32."""
        return self._features(batch).float()

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Class scores of pooled features."""
        logits: torch.Tensor = self.head(self.scaler(features))
        return logits

    def forward(self, batch: Batch) -> torch.Tensor:
        """Class scores of a batch."""
        return self.classify(self.features(batch))
