"""A trial on disk, at a rung or amid one: safetensors and JSON, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cattrs
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from automl_transfer.errors import StudyError
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.training.state import State

REVISION = 1
"""Raised when the meaning of a parked trial changes."""
DESCRIPTION = "trial.json"


@dataclass(frozen=True, kw_only=True)
class _Record:
    """A :class:`State` without its tensors."""

    step: int
    place: int
    inside: bool
    grad_scaler: dict[str, float]
    frozen: dict[str, str]
    moved: tuple[str, ...]
    checked: int
    trained: int


@dataclass(frozen=True, kw_only=True)
class _Description:
    revision: int
    identity: str
    width: int
    steps: int
    seconds: tuple[float, ...]
    tensors: str
    sha256: str
    branch: _Record | None
    end: _Record | None


@dataclass(frozen=True, kw_only=True)
class Parked:
    """A trial after a rung, or on its way to the next one."""

    identity: str
    """Digest of all that decides the numbers of the trial."""
    width: int
    """Of the features."""
    steps: int
    """Of the last rung; 0 before the first."""
    seconds: tuple[float, ...]
    """Of some steps each."""
    branch: State | None
    """From which the training goes on; None after the last rung."""
    end: State | None
    """The complete training of that length; None before the first rung."""
    probabilities: torch.Tensor
    """Of the evaluated part, shape (n_eval, c)."""


def park(directory: Path, parked: Parked) -> None:
    """Writes a trial; what was there before is valid until the new one is whole."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {"probabilities": parked.probabilities.contiguous()}
    for name, state in (("branch", parked.branch), ("end", parked.end)):
        if state is not None:
            tensors |= {f"{name}/tensors/{key}": value for key, value in state.tensors.items()}
            tensors |= {f"{name}/moments/{key}": value for key, value in state.moments.items()}
    content = save({name: tensor.clone() for name, tensor in tensors.items()})
    sha256 = hashlib.sha256(content).hexdigest()
    file = f"{sha256[:32]}.safetensors"
    _write(directory / file, content)
    description = _Description(
        revision=REVISION,
        identity=parked.identity,
        width=parked.width,
        steps=parked.steps,
        seconds=parked.seconds,
        tensors=file,
        sha256=sha256,
        branch=None if parked.branch is None else _record(parked.branch),
        end=None if parked.end is None else _record(parked.end),
    )
    _write(directory / DESCRIPTION, json.dumps(to_json(description), indent=1).encode())
    for old in directory.glob("*.safetensors"):
        if old.name != file:
            with contextlib.suppress(OSError):
                old.unlink()


def unpark(directory: Path, identity: str) -> Parked:
    """Reads what :func:`park` wrote.

    Raises:
        StudyError: It is missing, damaged, or another trial's.
    """
    path = directory / DESCRIPTION
    try:
        found = from_json(_Description, json.loads(path.read_bytes()))
        # The name of a file out of a file: no path.
        content = (directory / Path(found.tensors).name).read_bytes()
        if hashlib.sha256(content).hexdigest() != found.sha256:
            raise ValueError("its tensors do not have the SHA-256 that it says")
        tensors = load(content)
    except (OSError, ValueError, SafetensorError, cattrs.BaseValidationError) as error:
        raise StudyError(
            f"A parked trial must be whole, but {str(directory)!r} is not: {error}. Start the "
            "trial again."
        ) from error
    if (found.revision, found.identity) != (REVISION, identity):
        raise StudyError(
            f"A parked trial must go on as it began, but {str(directory)!r} is of another "
            "configuration, other data or another version. Start the trial again."
        )
    return Parked(
        identity=identity,
        width=found.width,
        steps=found.steps,
        seconds=found.seconds,
        branch=None if found.branch is None else _state("branch", found.branch, tensors),
        end=None if found.end is None else _state("end", found.end, tensors),
        probabilities=tensors["probabilities"],
    )


def _record(state: State) -> _Record:
    return _Record(
        step=state.step,
        place=state.place,
        inside=state.inside,
        grad_scaler=state.grad_scaler,
        frozen=state.frozen,
        moved=state.moved,
        checked=state.checked,
        trained=state.trained,
    )


def _state(name: str, record: _Record, tensors: dict[str, torch.Tensor]) -> State:
    def under(kind: str) -> dict[str, torch.Tensor]:
        prefix = f"{name}/{kind}/"
        return {
            key.removeprefix(prefix): value
            for key, value in tensors.items()
            if key.startswith(prefix)
        }

    fields: dict[str, Any] = vars(record)
    return State(tensors=under("tensors"), moments=under("moments"), **fields)


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
