"""Where a pass spends its time, by a clock that the network's own modules move."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from automl_transfer.contracts import Stage
from automl_transfer.training.stage_times import stage_seconds
from automl_transfer.training.stages import derive_stages
from tests.training.workshop import CPU, backbone


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(nn.Module):
    def __init__(self, clock: Clock, seconds: float) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.clock, self.seconds = clock, seconds

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.clock.now += self.seconds
        return self.layer(batch)


class Twice(nn.Module):
    """A network that goes through its first part again after its second."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.one, self.two = Slow(clock, 1.0), Slow(clock, 3.0)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.one(self.two(self.one(batch)))


def test_each_stage_has_its_share_of_the_time() -> None:
    clock = Clock()
    network = nn.Sequential(Slow(clock, 6.0), nn.ReLU(), Slow(clock, 3.0), Slow(clock, 1.0))
    stages = derive_stages(network)
    found = stage_seconds(backbone(network), stages, torch.zeros(5, 4), 5, CPU, clock)
    assert list(found) == [stage.name for stage in stages]
    assert list(found.values()) == pytest.approx([1.2, 0.6, 0.2])
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_what_runs_twice_counts_twice() -> None:
    clock = Clock()
    network = Twice(clock)
    stages = [
        Stage(name=name, tensors=(f"{name}.layer.weight", f"{name}.layer.bias"))
        for name in ("one", "two")
    ]
    found = stage_seconds(backbone(network), stages, torch.zeros(5, 4), 5, CPU, clock)
    assert found == pytest.approx({"one": 0.4, "two": 0.6})
