"""Heads on frozen features that are computed already: nothing of the network is even built."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automl_transfer.contracts import Backbone
from automl_transfer.target import Targets
from automl_transfer.training.head import fit, scores_of
from automl_transfer.training.link import Link
from automl_transfer.training.matrix import GrowingMatrix, blocks, readable
from automl_transfer.training.model import FeatureScaler, TransferModel


@dataclass(frozen=True, kw_only=True)
class FrozenFeatures:
    """Features of one backbone, centred and brought to one scale by their training part."""

    scaler: FeatureScaler
    train: NDArray[np.float32]
    """Shape (n, d)."""
    targets: Targets
    """In the form of their kind, of n samples."""
    evaluate: NDArray[np.float32]
    """Shape (n_eval, d)."""

    @classmethod
    def scaled(
        cls,
        features: NDArray[np.float32],
        train: NDArray[np.int64],
        targets: Targets,
        evaluate: NDArray[np.int64],
        directory: Path,
        widths: Sequence[int] = (),
    ) -> FrozenFeatures:
        """Scales copies of both parts as :class:`TransferModel` will, block by block.

        Args:
            features: Of all samples of both parts, shape (m, d); may be memory-mapped.
            train: Its rows that are the training part, shape (n,).
            targets: Of the training part.
            evaluate: Its rows that are evaluated, shape (n_eval,).
            directory: For copies that are too large for memory.
            widths: Of groups of features with a scale each.
        """
        scaler = FeatureScaler(features.shape[1], widths)
        scaler.fit_blocks(lambda: blocks(features, train))
        mean, scale = scaler.mean.numpy(), scaler.scale.numpy()

        def copy(places: NDArray[np.int64]) -> NDArray[np.float32]:
            made = GrowingMatrix(len(places), features.shape[1], directory, shuffled=True)
            return made.filled(
                ((block - mean) * scale).astype(np.float32) for block in blocks(features, places)
            )

        return cls(scaler=scaler, train=copy(train), targets=targets, evaluate=copy(evaluate))


@dataclass(frozen=True, kw_only=True)
class FittedHead:
    """A head that a formula has fitted."""

    head: nn.Module
    probabilities: NDArray[np.float32]
    """Of the evaluated part, shape (n_eval, c)."""
    loss: float
    """Mean loss on the training part."""


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A new head whose random numbers come from ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def fitted(
    build: Callable[[], nn.Module],
    data: FrozenFeatures,
    seed: int,
    link: Link,
    class_weights: Sequence[float] | None = None,
) -> FittedHead:
    """Builds a head and fits it by its own formula, its classes weighted where it knows how."""
    head = seeded(build, seed).eval()
    known = readable(data.train)
    learned = link.learned(torch.from_numpy(data.targets))
    fit(head, known, learned, None if class_weights is None else torch.tensor(class_weights))
    scores = scores_of(head, readable(data.evaluate))
    loss = float(link.loss(scores_of(head, known), learned))
    return FittedHead(head=head, probabilities=link.predictions(scores).numpy(), loss=loss)


def assembled(
    backbone: Backbone, head: nn.Module, scaler: FeatureScaler, link: Link
) -> TransferModel:
    """The whole network, for use on samples."""
    model = TransferModel(backbone, head, len(scaler.mean), link)
    model.scaler.load_state_dict(scaler.state_dict())
    return model.eval()


def classified(model: TransferModel, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities, shape (n, c), from pooled features, shape (n, d), as they come."""
    model.eval()
    device = model.scaler.mean.device
    scores = scores_of(model.classify, readable(features), device)
    found: NDArray[np.float32] = model.link.predictions(scores).numpy()
    return found


def size(head: nn.Module) -> int:
    """Numbers in a head."""
    return sum(tensor.numel() for tensor in head.parameters())
