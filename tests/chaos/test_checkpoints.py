"""Checkpoints among kills and damage: one that can be read is always there, and none lies."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from automl_transfer.errors import StudyError
from automl_transfer.training.parking import Parked, park, unpark
from automl_transfer.training.state import State
from tests.chaos.processes import ROOT

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

WRITER = """
import sys
from pathlib import Path
from tests.chaos.test_checkpoints import parked
from automl_transfer.training.parking import park

number = int(sys.argv[2])
while True:
    number += 1
    park(Path(sys.argv[1]), parked(number))
    print(number, flush=True)
"""


def parked(number: int) -> Parked:
    """A state of some megabytes in which everything says its number."""
    tensors = {"network.w": torch.full((500_000,), float(number))}
    state = State(
        step=number,
        place=0,
        inside=True,
        tensors=tensors,
        moments={"0.exp_avg": torch.full((500_000,), float(number))},
        grad_scaler={},
        frozen={},
        moved=(),
        checked=0,
        trained=0,
    )
    return Parked(
        identity="same",
        width=4,
        steps=number,
        seconds=(),
        branch=state,
        end=state,
        probabilities=torch.full((10, 3), float(number)),
    )


def test_forty_kills_while_checkpoints_are_written(tmp_path: Path, turn: int) -> None:
    generator = random.Random(turn)
    told = amid = 0
    for _ in range(40):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(told)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        first = int(writer.stdout.readline())
        time.sleep(generator.random() * 0.05)
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.stdout.close()
        assert writer.wait() == -signal.SIGKILL
        told = int(rest[-1]) if rest else first
        amid += any(path.suffix == ".tmp" for path in tmp_path.iterdir())
        amid += len(list(tmp_path.glob("*.safetensors"))) > 1
        found = unpark(tmp_path, "same")
        assert found.steps >= told
        assert found.branch is not None
        for tensor in (*found.branch.tensors.values(), *found.branch.moments.values()):
            assert (tensor == found.steps).all()
        told = found.steps
    assert amid >= 3, "no kill came amid writing"
    park(tmp_path, parked(told + 1))
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


@pytest.mark.parametrize("damage", ["truncated", "flipped", "gone", "empty"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    park(tmp_path, parked(1))
    (path,) = tmp_path.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        content[-100] ^= 4
    path.write_bytes(content[: len(content) // 2] if damage == "truncated" else content)
    if damage == "gone":
        path.unlink()
    if damage == "empty":
        path.write_bytes(b"")
    with pytest.raises(StudyError, match="must be whole"):
        unpark(tmp_path, "same")
