from __future__ import annotations

import pytest
import torch

from automl_transfer.errors import UsageError
from automl_transfer.training.device import (
    choose_device,
    describe,
    is_out_of_memory,
    prepare_process,
    to_device,
    usable_cores,
)

CPU = torch.device("cpu")


def test_auto_is_a_device_that_is_here() -> None:
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize("wanted", ["cuda:99", "gpu", "", "CPU"])
def test_a_device_that_is_not_here_is_refused_with_those_that_are(wanted: str) -> None:
    with pytest.raises(UsageError, match=f"auto or one of .*cpu, but got '{wanted}'"):
        choose_device(wanted)


def test_images_become_channels_last_and_dictionaries_keep_their_form() -> None:
    moved = to_device({"a": torch.zeros(2, 3, 4, 4), "b": {"c": torch.zeros(2, 5)}}, CPU)
    assert moved["a"].is_contiguous(memory_format=torch.channels_last)
    assert moved["b"]["c"].shape == (2, 5)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_means_that_memory_ran_out(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_the_device_is_described_with_its_threads() -> None:
    assert describe(CPU).startswith("cpu (")
    assert f"{torch.get_num_threads()} threads" in describe(CPU)


@pytest.mark.parametrize(("said", "expected"), [(None, usable_cores()), ("1", None)])
def test_threads_are_as_many_as_cores_unless_the_user_says_otherwise(
    said: str | None, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if said is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", said)
    prepare_process(CPU)
    assert asked == ([] if expected is None else [expected])
    prepare_process(CPU, threads=3)
    assert asked[-1] == 3
