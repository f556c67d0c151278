"""A convolutional network of a few thousand parameters, with one batch norm."""

from __future__ import annotations

import torch
from safetensors.torch import load_file
from torch import nn


class TinyCnn:
    """What the host needs of a backbone."""

    stages = ()  # The card names them.

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        """Images of shape (n, 3, 32, 32) to features of shape (n, 32)."""
        return self.module(batch)


def make(seed: int) -> nn.Module:
    """The network with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential()
        module.add_module(
            "stem", nn.Sequential(nn.Conv2d(3, 16, 3, stride=2), nn.BatchNorm2d(16), nn.ReLU())
        )
        module.add_module("body", nn.Sequential(nn.Conv2d(16, 32, 3, stride=2), nn.ReLU()))
        module.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    return module.eval()


def build(*, card, weights, seed: int) -> TinyCnn:
    module = make(seed)
    if weights is not None:
        module.load_state_dict(load_file(weights.path))
    return TinyCnn(module)
