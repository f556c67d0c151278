"""The size of a batch is found by what it costs, without a pass for nothing."""

from __future__ import annotations

import pytest
import torch

from automl_transfer.training.batch_sizes import CPU_SIZES, DEVICE_SIZES, BatchSizes

CPU = torch.device("cpu")
CUDA = torch.device("cuda")


def work(sizes: BatchSizes, samples: int, cost, ahead: int = 1) -> list[int]:
    """Sizes that are handed out, when ``cost(size)`` is the time of a sample in a batch."""
    handed: list[int] = []
    timed = 0
    while sum(handed) < samples:
        handed.append(sizes.next(samples - sum(handed)))
        if len(handed) - timed > ahead:
            sizes.took(handed[timed], cost(handed[timed]) * handed[timed])
            timed += 1
    return handed


@pytest.mark.parametrize("fastest", CPU_SIZES)
@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_on_a_cpu_the_fastest_of_three_does_the_rest(fastest: int, ahead: int) -> None:
    handed = work(BatchSizes(CPU), 2000, lambda size: 1.0 if size == fastest else 1.5, ahead)
    assert sum(handed) == 2000
    assert set(handed[:-1]) == set(CPU_SIZES)
    assert set(handed[12:-1]) == {fastest}


def test_a_small_gain_is_not_worth_a_larger_batch() -> None:
    handed = work(BatchSizes(CPU), 2000, lambda size: 1 - size / 2000)
    assert set(handed[12:-1]) == {8}


@pytest.mark.parametrize("device", [CPU, CUDA])
def test_few_samples_are_not_worth_a_search(device: torch.device) -> None:
    first = CPU_SIZES[0] if device is CPU else DEVICE_SIZES[0]
    assert set(work(BatchSizes(device), 6 * first, lambda size: 1 / size)) == {first}


@pytest.mark.parametrize("until", DEVICE_SIZES)
def test_on_a_gpu_it_doubles_as_long_as_that_pays(until: int) -> None:
    handed = work(BatchSizes(CUDA), 100_000, lambda size: 1 / min(size, until), ahead=9)
    assert set(handed[80:-1]) == {until}
    assert max(handed) <= 2 * until


def test_the_first_batch_of_a_size_does_not_count() -> None:
    seen: set[int] = set()

    def slow_start(size: int) -> float:
        first = size not in seen
        seen.add(size)
        return 100.0 if first else 1 / size

    assert set(work(BatchSizes(CPU), 2000, slow_start)[12:-1]) == {CPU_SIZES[-1]}


def test_what_does_not_fit_is_halved_and_never_tried_again() -> None:
    sizes = BatchSizes(CUDA)
    work(sizes, 5000, lambda size: 1 / size)
    sizes.too_large(256)
    assert sizes.next(10_000) == 128
    assert max(work(sizes, 10_000, lambda size: 1 / size)) == 128
    for size, half in ((128, 64), (64, 32), (32, 16), (3, 1), (1, 1)):
        sizes.too_large(size)
        assert sizes.next(10_000) == half


def test_a_size_that_is_given_stays() -> None:
    assert set(work(BatchSizes(CPU, fixed=16), 160, lambda size: 1.0)) == {16}
