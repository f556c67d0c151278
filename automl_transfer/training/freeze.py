"""Applies one phase of a plan to a network, and proves afterwards that it held."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import nn

from automl_transfer.contracts import Stage
from automl_transfer.errors import FreezeViolationError, PluginError
from automl_transfer.plan import FreezePlan, Phase

NORMS: tuple[type[nn.Module], ...] = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.LocalResponseNorm,
    nn.RMSNorm,
)


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a norm layer; by name for those that libraries write themselves."""
    return isinstance(module, NORMS) or "norm" in type(module).__name__.lower()


def check_plan(plan: FreezePlan, stages: Sequence[Stage]) -> None:
    """Refuses a plan that names stages which the network has not.

    Raises:
        PluginError: It does.
    """
    known = [stage.name for stage in stages]
    for phase in plan.phases:
        unknown = sorted(set(phase.trains) - set(known))
        if unknown:
            raise PluginError(
                f"Phase {phase.name!r} must name stages of the backbone ({', '.join(known)}), but "
                f"names {', '.join(unknown)}."
            )


class AppliedPhase:
    """What may move in one phase, by name of parameter and buffer."""

    def __init__(self, module: nn.Module, stages: Sequence[Stage], phase: Phase) -> None:
        """Works out the names; changes nothing yet."""
        self.phase = phase
        self._module = module
        self._multiplier = {
            name: multiplier
            for stage in stages
            if (multiplier := phase.trains.get(stage.name)) is not None
            for name in stage.tensors
        }
        self._norm_tensors = {
            f"{prefix}.{name}" if prefix else name
            for prefix, child in module.named_modules()
            if is_norm(child)
            for name, _ in (
                *child.named_parameters(recurse=False),
                *child.named_buffers(recurse=False),
            )
        }
        parameters = dict(module.named_parameters(remove_duplicate=False))
        buffers = dict(module.named_buffers(remove_duplicate=False))
        self.trainable = {name for name in parameters if self._may_train(name)}
        moving = set(self.trainable)
        if phase.norm == "train":
            moving |= {name for name in buffers if self._running(name)}
        # One tensor under two names moves under both.
        shared = {id(tensor) for name, tensor in parameters.items() if name in moving}
        moving |= {name for name, tensor in parameters.items() if id(tensor) in shared}
        self.frozen = [name for name in (*parameters, *buffers) if name not in moving]

    def _may_train(self, name: str) -> bool:
        if name not in self._multiplier or self.phase.adapter is not None:
            return False
        if self.phase.tensors == "all":
            return True
        return name in self._norm_tensors or name.rsplit(".", 1)[-1] == "bias"

    def _running(self, name: str) -> bool:
        return name in self._multiplier

    def multiplier(self, name: str) -> float:
        """Learning-rate multiplier of a tensor."""
        return self._multiplier[name]

    def switch(self) -> None:
        """Sets gradients and modes for training in this phase."""
        for name, parameter in self._module.named_parameters(remove_duplicate=False):
            parameter.requires_grad_(name in self.trainable)
        self._module.eval()
        for prefix, child in self._module.named_modules():
            held = [f"{prefix}.{name}" if prefix else name for name in _own_and_below(child)]
            # A module without tensors (dropout, stochastic depth) goes with what surrounds it.
            trains = (
                all(name in self._multiplier for name in held) if held else self._inside(prefix)
            )
            if trains and (self.phase.norm == "train" or not is_norm(child)):
                child.training = True

    def _inside(self, prefix: str) -> bool:
        while "." in prefix:
            prefix = prefix.rsplit(".", 1)[0]
            below = [name for name in self._all_names() if name.startswith(f"{prefix}.")]
            if below:
                return all(name in self._multiplier for name in below)
        return all(name in self._multiplier for name in self._all_names())

    def _all_names(self) -> list[str]:
        return [
            *(name for name, _ in self._module.named_parameters(remove_duplicate=False)),
            *(name for name, _ in self._module.named_buffers(remove_duplicate=False)),
        ]


def _own_and_below(module: nn.Module) -> list[str]:
    return [
        *(name for name, _ in module.named_parameters(remove_duplicate=False)),
        *(name for name, _ in module.named_buffers(remove_duplicate=False)),
    ]


def fingerprints(module: nn.Module, names: Sequence[str]) -> dict[str, str]:
    """Hash of the bytes of each named parameter or buffer."""
    tensors = dict(module.named_parameters(remove_duplicate=False)) | dict(
        module.named_buffers(remove_duplicate=False)
    )
    return {name: _hash(tensors[name]) for name in names}


def _hash(tensor: torch.Tensor) -> str:
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return hashlib.blake2b(plain.view(torch.uint8).numpy().tobytes(), digest_size=16).hexdigest()


def verify(module: nn.Module, before: dict[str, str]) -> int:
    """Compares tensors with their earlier fingerprints; returns how many were compared.

    Raises:
        FreezeViolationError: One of them has moved.
    """
    compare(before, fingerprints(module, list(before)))
    return len(before)


def compare(before: dict[str, str], after: dict[str, str]) -> None:
    """Compares two sets of fingerprints.

    Raises:
        FreezeViolationError: They differ.
    """
    moved = [name for name, value in before.items() if after[name] != value]
    if moved:
        raise FreezeViolationError(
            f"{len(moved)} of {len(before)} frozen tensors must be bit-identical after training, "
            f"but have moved: {', '.join(moved[:5])}{' ...' if len(moved) > 5 else ''}."
        )
