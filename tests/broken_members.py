"""Members that are broken in one way each, for the checks of the conformance kit."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import nn

from automl_transfer.testing import toy

WIDTH = 8


class Network(nn.Module):
    """Two linear layers, and what a mutation does to their output."""

    def __init__(self, after: Any = None) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Linear(toy.WIDTH, WIDTH), nn.ReLU())
        self.second = nn.Linear(WIDTH, WIDTH)
        self.register_buffer("passes", torch.zeros(()))
        self.after = after
        self.shift = torch.zeros(())

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.second(self.first(batch)) + self.shift
        return found if self.after is None else self.after(self, found)


def _backbone(seed: int, after: Any = None, **parts: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = Network(after)
    made = {"module": module, "stages": (), "features": module.forward} | parts
    return SimpleNamespace(**made)


def good(*, card: Any, weights: Any, seed: int) -> Any:
    return _backbone(seed)


def no_stages(*, card: Any, weights: Any, seed: int) -> Any:
    made = _backbone(seed)
    del made.stages
    return made


def maps(*, card: Any, weights: Any, seed: int) -> Any:
    return _backbone(seed, lambda module, found: found[:, :, None])


def deaf_to_the_seed(*, card: Any, weights: Any, seed: int) -> Any:
    return _backbone(0)


def careless(*, card: Any, weights: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    return _backbone(seed)


def centred(*, card: Any, weights: Any, seed: int) -> Any:
    return _backbone(seed, lambda module, found: found - found.mean(dim=0))


def noisy(*, card: Any, weights: Any, seed: int) -> Any:
    return _backbone(seed, lambda module, found: found + 1e-6 * torch.randn_like(found))


def detached(*, card: Any, weights: Any, seed: int) -> Any:
    return _backbone(seed, lambda module, found: found.detach())


def counting(*, card: Any, weights: Any, seed: int) -> Any:
    def after(module: Any, found: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and not module.first[0].weight.requires_grad:
            module.passes += 1
        return found

    return _backbone(seed, after)


def forgetful(*, card: Any, weights: Any, seed: int) -> Any:
    made = _backbone(seed)
    made.module.shift = torch.tensor(float(seed))
    return made


def constant(*, card: Any, weights: Any, seed: int) -> Any:
    return _backbone(seed, lambda module, found: 0 * found + 1)


def standardised(*, card: Any, weights: Any, seed: int) -> Any:
    made = _backbone(seed)
    forward = made.module.forward
    made.features = lambda batch: forward(batch / batch.std(dim=1, keepdim=True))
    return made


class Head(nn.Module):
    def __init__(self, width: int, classes: int, after: Any = None) -> None:
        super().__init__()
        self.layer = nn.Linear(width, classes)
        self.after = after
        self.shift = torch.zeros(classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(features) + self.shift
        return found if self.after is None else self.after(self, features, found)


def good_head(*, width: int, classes: int, params: Any) -> nn.Module:
    return Head(width, classes)


def wide_head(*, width: int, classes: int, params: Any) -> nn.Module:
    return Head(width, classes + 1)


def self_willed_head(*, width: int, classes: int, params: Any) -> nn.Module:
    made = Head(width, classes)
    made.layer.bias.data.fill_(float(np.random.default_rng().normal()))
    return made


def detaching_head(*, width: int, classes: int, params: Any) -> nn.Module:
    return Head(width, classes, lambda head, features, found: head.layer(features.detach()))


def comparing_head(*, width: int, classes: int, params: Any) -> nn.Module:
    return Head(width, classes, lambda head, features, found: found - found.mean(dim=0))


def forgetful_head(*, width: int, classes: int, params: Any) -> nn.Module:
    made = Head(width, classes)
    made.shift = 0.01 * torch.randn(classes)
    return made


def speechless_head(*, width: int, classes: int, params: Any) -> nn.Module:
    return Head(width, classes, lambda head, features, found: 0 * found)


def _separation(features: np.ndarray, labels: np.ndarray) -> float:
    """Share of samples whose own class has the nearest mean."""
    means = np.stack([features[labels == label].mean(axis=0) for label in np.unique(labels)])
    nearest = ((features[:, None] - means[None]) ** 2).sum(axis=2).argmin(axis=1)
    return float((np.unique(labels)[nearest] == labels).mean())


def good_ranker(*, features: Any, labels: Any, classes: int, seed: int) -> float:
    return _separation(features, labels)


def fastidious_ranker(*, features: Any, labels: Any, classes: int, seed: int) -> float:
    return _separation(features, labels) if len(labels) > 10 else float("nan")


def moody_ranker(*, features: Any, labels: Any, classes: int, seed: int) -> float:
    return _separation(features, labels) + 1e-9 * float(np.random.default_rng().normal())


def greedy_ranker(*, features: Any, labels: Any, classes: int, seed: int) -> float:
    features *= 2
    return _separation(features, labels)


def contrary_ranker(*, features: Any, labels: Any, classes: int, seed: int) -> float:
    return -_separation(features, labels)
