{%- if cookiecutter.kind == "backbone" -%}
"""A convolutional network with random weights: put yours in its place."""

from __future__ import annotations

import torch
from safetensors.torch import load_file
from torch import nn


class Backbone:
    """What the host needs of a backbone."""

    stages = ()  # the card names them

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        """Images of shape (n, 3, 64, 64) to features of shape (n, 64)."""
        return self.module(batch)


def _block(before: int, after: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()
    )


def make(seed: int) -> nn.Module:
    """The network with random weights, which ``seed`` decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential()
        module.add_module("stem", _block(3, 16))
        module.add_module("body", _block(16, 32))
        module.add_module("last", _block(32, 64))
        module.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    return module.eval()


def build(*, card, weights, seed: int) -> Backbone:
    """The factory of the card. ``weights=None`` builds it with random ones."""
    module = make(seed)
    if weights is not None:
        module.load_state_dict(load_file(weights.path))
    return Backbone(module)
{% elif cookiecutter.kind == "head" -%}
"""A linear layer after dropout."""

from __future__ import annotations

from torch import nn


def build(*, width: int, classes: int, params) -> nn.Module:
    """Features of shape (n, width) to scores of shape (n, classes)."""
    return nn.Sequential(nn.Dropout(float(params["dropout"])), nn.Linear(width, classes))
{% elif cookiecutter.kind == "strategy" -%}
"""First the last stage trains, then the last half of them. A plan is free of torch."""

from __future__ import annotations

from automl_transfer.plan import FreezePlan, Phase


def plan(*, stages, params) -> FreezePlan:
    """What trains, when and how fast; the first phase trains the head alone."""
    half = stages[len(stages) // 2 :]
    return FreezePlan(
        phases=(
            Phase(name="head", share=0.0),
            Phase(name="last", share=0.5, trains={stages[-1].name: 1.0}),
            Phase(name="half", share=0.5, trains={stage.name: 0.5 for stage in half}),
        ),
        lr=float(params["lr"]),
        head_lr=3 * float(params["lr"]),
    )
{% elif cookiecutter.kind == "ranker" -%}
"""How well class means tell classes apart, on frozen features."""

from __future__ import annotations

import numpy as np


def score(*, features, labels, classes: int, seed: int) -> float:
    """Share of samples whose nearest class mean is their own, each left out of its mean."""
    known = np.unique(labels)
    place = np.searchsorted(known, labels)
    counts = np.bincount(place)
    sums = np.zeros((len(known), features.shape[1]))
    np.add.at(sums, place, features)
    distances = ((features[:, None] - (sums / counts[:, None])[None]) ** 2).sum(axis=2)
    own = np.arange(len(labels))
    others = np.maximum(counts[place] - 1, 1)
    left_out = (sums[place] - features) / others[:, None]
    distances[own, place] = ((features - left_out) ** 2).sum(axis=1)
    return float((distances.argmin(axis=1) == place).mean())
{% endif -%}
