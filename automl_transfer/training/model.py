"""Backbone, feature scaler and head as one module."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automl_transfer.contracts import Backbone, Batch
from automl_transfer.training.link import Link
from automl_transfer.training.matrix import beside, blocks, give_back, readable, slices
from automl_transfer.training.stage_outputs import what_is_read


class FeatureScaler(nn.Module):
    """Centres features and brings them to unit size, by numbers that are fixed once.

    Frozen features of different networks differ a hundredfold in size; brought to one, the same
    range of learning rates fits all heads. All features share one scale: with a scale each, those
    that hardly vary are blown up, and the smallest change of the backbone upsets the head (an
    epoch of fine-tuning then took a probe from 93 to 65 % on handwritten digits; now to 92 %).

    Features of several groups, those of the network and of its stages, have a scale each: the
    variances of each group's features add up to the same.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, width: int, widths: Sequence[int] = ()) -> None:
        """Scales nothing, until it is fitted.

        Args:
            width: Of the features.
            widths: Of its groups, in their order; one of all if there are none.
        """
        super().__init__()
        self._widths = tuple(widths)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width if widths else ()))

    def fit(self, features: torch.Tensor) -> None:
        """Takes the mean of each feature, and their common deviation, from shape (n, width)."""
        if features.device.type == "cpu":
            self.fit_blocks(lambda: blocks(features.numpy()))
            return
        self.mean.copy_(features.mean(dim=0))
        # Not every device has double precision.
        variances = features.var(dim=0, unbiased=False).cpu().double().numpy()
        self.scale.copy_(torch.from_numpy(self._scale(variances)).float())

    def fit_blocks(self, made: Callable[[], Iterable[NDArray[np.float32]]]) -> None:
        """As :meth:`fit`, from blocks of rows: two passes, in double precision."""
        count, total = 0, np.zeros(len(self.mean))
        for block in made():
            count += len(block)
            total += block.sum(axis=0, dtype=np.float64)
        mean = total / count
        squares = np.zeros(len(mean))
        for block in made():
            squares += np.square(block - mean).sum(axis=0)
        self.mean.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(self._scale(squares / count)))

    def _scale(self, variances: NDArray[np.float64]) -> NDArray[np.float64]:
        """One number for all, or those of each feature's group, from variances, shape (width,)."""
        if not self._widths:
            return np.asarray(_inverse_root(variances.mean()))
        # As if all groups were as wide as the mean one, so that all features together have
        # variance 1, as those of one group.
        mean_width = len(variances) / len(self._widths)
        groups = np.split(variances, np.cumsum(self._widths)[:-1])
        scales = [_inverse_root(group.sum() / mean_width) for group in groups]
        return np.repeat(scales, self._widths)

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


def _inverse_root(variance: float) -> float:
    return 1 / math.sqrt(variance) if variance > 0 else 1.0


def widths_of(backbone: Backbone) -> tuple[int, ...]:
    """Of the groups of a backbone's features; none where they are one group."""
    read = what_is_read(backbone)
    return () if read is None else read.widths


class TransferModel(nn.Module):
    """Encoded batch to scores, shape (n, c)."""

    def __init__(self, backbone: Backbone, head: nn.Module, width: int, link: Link) -> None:
        super().__init__()
        self.network = backbone.module
        self.scaler = FeatureScaler(width, widths_of(backbone))
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
