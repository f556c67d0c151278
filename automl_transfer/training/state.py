"""The state of a fine-tuning as tensors on the host, and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from automl_transfer.errors import FreezeViolationError
from automl_transfer.training import adapters
from automl_transfer.training.fine_tuning import FineTuning
from automl_transfer.training.run import Run

_ADAPTER = ".lora_"


@dataclass(frozen=True, kw_only=True)
class State:
    """All that has moved, and what must not have."""

    step: int
    place: int
    """Of the phase in the plan."""
    inside: bool
    """Whether that phase goes on, its adapters in the network."""
    tensors: dict[str, torch.Tensor]
    """By ``network.``, ``head.`` or ``scaler.`` and the name within."""
    moments: dict[str, torch.Tensor]
    """Of the optimiser, by number of the parameter and name; empty if it is not to go on."""
    grad_scaler: dict[str, float]
    frozen: dict[str, str]
    """Fingerprints of what the phase must not move."""
    moved: tuple[str, ...]
    checked: int
    trained: int


def capture(training: FineTuning, *, moments: bool) -> State:
    """Copies what has moved so far.

    Args:
        training: Between two steps.
        moments: With the optimiser, to go on from there.
    """
    run, phase = training.run, training.phase
    movable = run.moved | (phase.movable if phase is not None else set())
    scale = {} if phase is None else phase.scaler.state_dict()
    return State(
        step=training.step,
        place=training.place,
        inside=phase is not None,
        tensors={name: _host(tensor) for name, tensor in _places(run, movable)},
        moments={} if phase is None or not moments else _moments(phase.optimizer),
        grad_scaler={name: float(value) for name, value in scale.items()},
        frozen={} if phase is None else phase.frozen,
        moved=tuple(sorted(run.moved)),
        checked=run.checked,
        trained=run.trained,
    )


def restore(training: FineTuning, state: State) -> None:
    """Brings a training to a state: the one that it was taken of, or a fresh one.

    Raises:
        FreezeViolationError: What must not have moved is not what it was.
    """
    run = training.run
    fresh = training.phase is None
    if fresh:
        run.moved = set(state.moved)
        run.checked, run.trained = state.checked, state.trained
        run.original = False
        _load(run, {n: t for n, t in state.tensors.items() if _ADAPTER not in n})
        if state.inside:
            phase = training.enter(state.place)
            if phase.frozen != state.frozen:
                raise FreezeViolationError(
                    "A trial goes on with the weights that it began with, but the frozen tensors "
                    "of the backbone are others now. Start the trial again."
                )
    training.step, training.place = state.step, state.place
    _load(run, state.tensors)
    if training.phase is not None and state.moments:
        _set_moments(training.phase.optimizer, state.moments)
        if state.grad_scaler:
            training.phase.scaler.load_state_dict(dict(state.grad_scaler))


def _places(run: Run, movable: set[str]) -> Iterator[tuple[str, torch.Tensor]]:
    live = _tensors(run.model.network)
    for name in sorted(movable):
        yield f"network.{name}", live[adapters.base_name(name, live)]
    for name, tensor in live.items():
        if _ADAPTER in name:
            yield f"network.{name}", tensor
    for part, module in (("head", run.model.head), ("scaler", run.model.scaler)):
        for name, tensor in _tensors(module).items():
            yield f"{part}.{name}", tensor


def _load(run: Run, tensors: dict[str, torch.Tensor]) -> None:
    live = {"network": _tensors(run.model.network)}
    live |= {"head": _tensors(run.model.head), "scaler": _tensors(run.model.scaler)}
    with torch.no_grad():
        for name, tensor in tensors.items():
            part, _, within = name.partition(".")
            live[part][adapters.base_name(within, live[part])].copy_(tensor)


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return dict(module.named_parameters(remove_duplicate=False)) | dict(
        module.named_buffers(remove_duplicate=False)
    )


def _host(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{number}.{name}": _host(value)
        for number, parameter in enumerate(_parameters(optimizer))
        for name, value in optimizer.state[parameter].items()
    }


def _set_moments(optimizer: torch.optim.Optimizer, moments: dict[str, torch.Tensor]) -> None:
    parameters = _parameters(optimizer)
    optimizer.state.clear()
    for name, value in moments.items():
        number, _, kind = name.partition(".")
        parameter = parameters[int(number)]
        if kind == "step":
            kept = value.to(parameter.device, copy=True)
        else:
            # The fused kernel asks for the parameter's own layout.
            kept = torch.empty_like(parameter).copy_(value)
        optimizer.state[parameter][kind] = kept
