"""Backbone, feature scaler and head as one module."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automl_transfer.contracts import Backbone, Batch
from automl_transfer.training.link import Link
from automl_transfer.training.matrix import beside, blocks, give_back, readable, slices


class FeatureScaler(nn.Module):
    """Centres features and brings them to unit size, by numbers that are fixed once.

    Frozen features of different networks differ a hundredfold in size; brought to one, the same
    range of learning rates fits all heads. All features share one scale: with a scale each, those
    that hardly vary are blown up, and the smallest change of the backbone upsets the head (an
    epoch of fine-tuning then took a probe from 93 to 65 % on handwritten digits; now to 92 %).
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))

    def fit(self, features: torch.Tensor) -> None:
        """Takes the mean of each feature, and their common deviation, from shape (n, width)."""
        if features.device.type == "cpu":
            self.fit_blocks(lambda: blocks(features.numpy()))
            return
        self.mean.copy_(features.mean(dim=0))
        deviation = features.var(dim=0, unbiased=False).mean().sqrt()
        self.scale.copy_(1 / deviation if deviation > 0 else torch.ones(()))

    def fit_blocks(self, made: Callable[[], Iterable[NDArray[np.float32]]]) -> None:
        """As :meth:`fit`, from blocks of rows: two passes, in double precision."""
        count, total = 0, np.zeros(len(self.mean))
        for block in made():
            count += len(block)
            total += block.sum(axis=0, dtype=np.float64)
        mean = total / count
        squares = sum(float(np.square(block - mean).sum()) for block in made())
        deviation = math.sqrt(squares / (count * len(mean)))
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.fill_(1 / deviation if deviation > 0 else 1.0)

    def scaled(self, features: torch.Tensor) -> torch.Tensor:
        """As a call, of many rows: in a file where ``features`` are in one."""
        if features.device.type != "cpu":
            made: torch.Tensor = self(features)
            return made
        room = beside(features, *features.shape)
        with torch.no_grad():
            for rows in slices(*features.shape):
                places = np.arange(rows.start, rows.stop)
                room.put(places, self(features[rows]).numpy())
                give_back(features)
        return readable(room.done())

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Centred and scaled features, shape (n, width)."""
        scaled: torch.Tensor = (features - self.mean) * self.scale
        return scaled


class TransferModel(nn.Module):
    """Encoded batch to scores, shape (n, c)."""

    def __init__(self, backbone: Backbone, head: nn.Module, width: int, link: Link) -> None:
        super().__init__()
        self.network = backbone.module
        self.scaler = FeatureScaler(width)
        self.head = head
        self.link = link
        self._features = backbone.features

    def features(self, batch: Batch) -> torch.Tensor:
        """Pooled features before the scaler, shape (n, width), in float32."""
        return self._features(batch).float()

    def classify(self, features: torch.Tensor) -> torch.Tensor:
        """Scores of pooled features."""
        logits: torch.Tensor = self.head(self.scaler(features))
        return logits

    def forward(self, batch: Batch) -> torch.Tensor:
        """Scores of a batch."""
        return self.classify(self.features(batch))

    def predictions(self, batch: Batch) -> torch.Tensor:
        """Of a batch, shape (n, c), in float32; see :mod:`automl_transfer.target`."""
        return self.link.predictions(self(batch))
