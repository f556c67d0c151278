"""A linear layer with scaled scores."""

from __future__ import annotations

from torch import nn


class Scaled(nn.Module):
    def __init__(self, width: int, classes: int, scale: float) -> None:
        super().__init__()
        self.linear = nn.Linear(width, classes)
        self.scale = scale

    def forward(self, features):
        return self.linear(features) * self.scale


def build(*, width: int, classes: int, params) -> Scaled:
    return Scaled(width, classes, float(params["scale"]))
