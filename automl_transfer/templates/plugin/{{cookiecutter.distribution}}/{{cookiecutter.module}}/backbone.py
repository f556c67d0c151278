{%- if cookiecutter.kind in ("backbone", "modality") -%}
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
{%- if cookiecutter.kind == "backbone" %}
        """Images of shape (n, 3, 64, 64) to features of shape (n, 64)."""
{%- else %}
        """Sounds of shape (n, 1, 8000) to features of shape (n, 64)."""
{%- endif %}
        return self.module(batch)


def _block(before: int, after: int) -> nn.Module:
{%- if cookiecutter.kind == "backbone" %}
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()
    )
{%- else %}
    return nn.Sequential(
        nn.Conv1d(before, after, 9, stride=4, padding=4), nn.BatchNorm1d(after), nn.ReLU()
    )
{%- endif %}


def make(seed: int) -> nn.Module:
    """The network with random weights, which ``seed`` decides."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = nn.Sequential()
        module.add_module("stem", _block({{ 3 if cookiecutter.kind == "backbone" else 1 }}, 16))
        module.add_module("body", _block(16, 32))
        module.add_module("last", _block(32, 64))
        module.add_module("pool", nn.Sequential(nn.AdaptiveAvgPool{{ 2 if cookiecutter.kind == "backbone" else 1 }}d(1), nn.Flatten()))
    return module.eval()


def build(*, card, weights, seed: int) -> Backbone:
    """The factory of the card. ``weights=None`` builds it with random ones."""
    module = make(seed)
    if weights is not None:
        module.load_state_dict(load_file(weights.path))
    return Backbone(module)
{% endif -%}
