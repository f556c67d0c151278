"""Heads on frozen features that are computed already: nothing of the network is even built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from automl_transfer.contracts import Backbone
from automl_transfer.training.head import fit
from automl_transfer.training.model import FeatureScaler, TransferModel


@dataclass(frozen=True, kw_only=True)
class FrozenFeatures:
    """Features of one backbone, centred and brought to one scale by their training part."""

    scaler: FeatureScaler
    train: NDArray[np.float32]
    """Shape (n, d)."""
    labels: NDArray[np.int64]
    """Shape (n,)."""
    evaluate: NDArray[np.float32]
    """Shape (n_eval, d)."""

    @classmethod
    def scaled(
        cls,
        train: NDArray[np.float32],
        labels: NDArray[np.int64],
        evaluate: NDArray[np.float32],
    ) -> FrozenFeatures:
        """Scales copies of both parts as :class:`TransferModel` will."""
        scaler = FeatureScaler(train.shape[1])
        known = torch.from_numpy(np.array(train, dtype=np.float32))
        other = torch.from_numpy(np.array(evaluate, dtype=np.float32))
        scaler.fit(known)
        for values in (known, other):
            values.sub_(scaler.mean).mul_(scaler.scale)
        return cls(scaler=scaler, train=known.numpy(), labels=labels, evaluate=other.numpy())


@dataclass(frozen=True, kw_only=True)
class FittedHead:
    """A head that a formula has fitted."""

    head: nn.Module
    probabilities: NDArray[np.float32]
    """Of the evaluated part, shape (n_eval, c)."""
    loss: float
    """Mean cross-entropy on the training part."""


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A new head whose random numbers come from ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def fitted(build: Callable[[], nn.Module], data: FrozenFeatures, seed: int) -> FittedHead:
    """Builds a head and fits it by its own formula."""
    head = seeded(build, seed).eval()
    known, labels = torch.from_numpy(data.train), torch.from_numpy(data.labels)
    fit(head, known, labels)
    with torch.no_grad():
        loss = float(functional.cross_entropy(head(known).float(), labels))
        logits: torch.Tensor = head(torch.from_numpy(data.evaluate))
    return FittedHead(head=head, probabilities=logits.float().softmax(dim=1).numpy(), loss=loss)


def assembled(backbone: Backbone, head: nn.Module, scaler: FeatureScaler) -> TransferModel:
    """The whole network, for use on samples."""
    model = TransferModel(backbone, head, len(scaler.mean))
    model.scaler.load_state_dict(scaler.state_dict())
    return model.eval()


def classified(model: TransferModel, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Class probabilities, shape (n, c), from pooled features, shape (n, d), as they come."""
    model.eval()
    device = model.scaler.mean.device
    with torch.no_grad():
        logits = model.classify(torch.from_numpy(np.array(features)).to(device))
    found: NDArray[np.float32] = logits.float().softmax(dim=1).cpu().numpy()
    return found


def size(head: nn.Module) -> int:
    """Numbers in a head."""
    return sum(tensor.numel() for tensor in head.parameters())
