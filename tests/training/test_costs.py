"""Measured costs, with a clock that tells what it is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from automl_transfer.training import costs
from automl_transfer.training.costs import FEW, MOST, activations, latency, measure

CPU = torch.device("cpu")


class Clock:
    """Moves only while a network computes: by its cost for each sample."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow(nn.Module):
    """A layer that takes time, and notes how it is called."""

    def __init__(self, clock: Clock, seconds: float, first: float = 0.0) -> None:
        super().__init__()
        self.clock, self.seconds, self.first = clock, seconds, first
        self.layer = nn.Linear(8, 3)
        self.batches: list[int] = []
        self.states: set[tuple[bool, bool]] = set()

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.clock.now += self.seconds * len(batch) + (0 if self.batches else self.first)
        self.batches.append(len(batch))
        self.states.add((self.training, torch.is_grad_enabled()))
        found: torch.Tensor = self.layer(batch)
        return found


def zeros(count: int) -> torch.Tensor:
    return torch.zeros(count, 8)


def softmax_of(model: nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    return lambda batch: model(batch).float().softmax(dim=1)


def test_a_model_is_measured_as_it_is_used() -> None:
    clock = Clock()
    model = Slow(clock, seconds=0.01, first=100.0)
    found = measure(model, softmax_of(model), zeros, CPU, size=4, clock=clock)
    assert found.latency == pytest.approx(0.01), "the first pass is not counted"
    assert found.latency_batch == pytest.approx(0.04) and found.batch == 4
    assert found.parameters == 27 and found.bytes == 4 * 27
    assert model.states == {(False, False)}
    # The batch, class scores and probabilities of one sample: 8, 3 and 3 numbers.
    assert found.memory == found.bytes + 4 * (8 + 3 + 3)


@pytest.mark.parametrize(("seconds", "passes"), [(10.0, 1), (0.6, 3), (0.1, FEW), (1e-6, MOST)])
def test_slow_models_are_not_run_often(seconds: float, passes: int) -> None:
    clock = Clock()
    model = Slow(clock, seconds=seconds)
    latency(model, torch.zeros(1, 8), CPU, clock=clock)
    assert passes < len(model.batches) <= passes + 3


@pytest.mark.parametrize(
    "quiet",
    [range(0), range(6, 9), range(12, 16)],
    ids=["nothing else runs", "it pauses soon", "it pauses late"],
)
def test_other_load_is_not_taken_for_the_network(quiet: range) -> None:
    clock = Clock()
    loads = iter(range(1000))

    class Beside(Slow):
        """Another program takes its share of most passes."""

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            found = super().forward(batch)
            place = next(loads)
            clock.now += 0.0 if not quiet or place in quiet else 0.01 + 0.05 * (place % 4)
            return found

    found = latency(Beside(clock, 0.01), torch.zeros(1, 8), CPU, clock=clock)
    assert found == pytest.approx(0.01)


def test_the_clock_stands_still_while_others_have_the_processor(tmp_path, monkeypatch) -> None:
    told = tmp_path / "schedstat"
    monkeypatch.setattr(costs, "_WAITED", told)
    monkeypatch.setattr(costs.time, "perf_counter", lambda: 100.0)
    assert costs.undisturbed() == 100.0, "where the system does not tell, it is any other clock"
    told.write_text("5000000000 2500000000 17\n")
    assert costs.undisturbed() == 97.5
    told.write_text("no numbers here\n")
    assert costs.undisturbed() == 100.0


def test_one_pass_that_is_short_by_a_fault_of_the_clock_does_not_count() -> None:
    clock = Clock()
    model = Slow(clock, seconds=0.05)

    def faulty() -> float:
        return clock.now + (0.05 if len(model.batches) == 7 else 0.0)

    found = latency(model, torch.zeros(1, 8), CPU, clock=faulty)
    assert found == pytest.approx(0.05)


def test_a_batch_that_does_not_fit_is_halved() -> None:
    class Full(Slow):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            if len(batch) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(batch)

    clock = Clock()
    model = Full(clock, seconds=1.0)
    found = measure(model, softmax_of(model), zeros, CPU, size=8, clock=clock)
    assert found.batch == 2 and found.latency_batch == pytest.approx(2.0)


def test_half_precision_weights_and_buffers_count_as_they_are_stored() -> None:
    model = nn.Sequential(nn.Linear(8, 4).to(torch.bfloat16), nn.BatchNorm1d(4))
    forward = Slow(Clock(), 0.1)
    forward.layer = model  # type: ignore[assignment]
    found = measure(
        forward,
        softmax_of(forward),
        lambda count: torch.zeros(count, 8, dtype=torch.bfloat16),
        CPU,
        clock=forward.clock,
    )
    assert found.bytes == 2 * 36 + 4 * 16 + 8


def test_activations_count_what_is_alive_at_once() -> None:
    # 4 -> 100 -> 4 -> 100 numbers: each layer's result dies once the next has taken it.
    chain = nn.Sequential(nn.Linear(4, 100), nn.Linear(100, 4), nn.Linear(4, 100))
    assert activations(chain, torch.zeros(1, 4), CPU) == 4 * (4 + 104)

    class Kept(nn.Module):
        """Holds the first result to the end."""

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            first = chain[0](batch)
            found: torch.Tensor = chain[2](chain[1](first)) + first
            return found

    assert activations(Kept(), torch.zeros(1, 4), CPU) == 4 * (4 + 300)


def test_views_and_changes_in_place_take_no_memory() -> None:
    def forward(batch: torch.Tensor) -> torch.Tensor:
        return (batch * 2).relu_().view(2, 4).t()

    assert activations(forward, torch.zeros(1, 8), CPU) == 4 * 16
