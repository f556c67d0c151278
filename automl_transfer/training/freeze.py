"""Applies one phase of a plan to a network, and proves afterwards that it held."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

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
    """Whether a module is a norm layer; by name for those that libraries write themselves.

    A block whose name speaks of its norms (``PreNormBlock``) holds other layers with tensors of
    their own, and is none.
    """
    if isinstance(module, NORMS):
        return True
    if "norm" not in type(module).__name__.lower():
        return False
    return not any(
        True
        for child in module.children()
        for _ in (*child.named_parameters(), *child.named_buffers())
    )


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
        parameters = dict(module.named_parameters(remove_duplicate=False))
        buffers = dict(module.named_buffers(remove_duplicate=False))
        affine = _norm_tensors(module)
        # One tensor under two names, of which one is frozen, is frozen: that is what was declared.
        held = {id(parameters[name]) for name in parameters if not self._may_train(name, affine)}
        self.trainable = {name for name, tensor in parameters.items() if id(tensor) not in held}
        updated = phase.norm == "train" and phase.adapter is None
        self.frozen = [name for name in parameters if name not in self.trainable] + [
            name for name in buffers if not (updated and name in self._multiplier)
        ]
        self._learning = _inside_stages(module, (*parameters, *buffers), self._multiplier)

    def _may_train(self, name: str, affine: set[str]) -> bool:
        if name not in self._multiplier or self.phase.adapter is not None:
            return False
        if self.phase.tensors == "all":
            return True
        return name in affine or name.rsplit(".", 1)[-1] == "bias"

    def multiplier(self, name: str) -> float:
        """Learning-rate multiplier of a tensor in the stages that train."""
        return self._multiplier[name]

    @property
    def tensors(self) -> frozenset[str]:
        """All parameters and buffers of the stages that train."""
        return frozenset(self._multiplier)

    def groups(self, lr: float, weight_decay: float) -> list[dict[str, Any]]:
        """Parameter groups of an optimiser: one a multiplier and a decay.

        Args:
            lr: Learning rate of a stage with multiplier 1, stored as ``base_lr``.
            weight_decay: Of matrices; norm layers and biases have nothing to decay towards.
        """
        found: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self._module.named_parameters():
            if name in self.trainable:
                decay = weight_decay if parameter.dim() > 1 else 0.0
                found.setdefault((self._multiplier[name], decay), []).append(parameter)
        return [
            {"params": parameters, "base_lr": lr * multiplier, "weight_decay": decay}
            for (multiplier, decay), parameters in found.items()
        ]

    def switch(self) -> None:
        """Sets gradients and modes for training in this phase."""
        for name, parameter in self._module.named_parameters(remove_duplicate=False):
            parameter.requires_grad_(name in self.trainable)
        self._module.eval()
        # Parents before children, so that each child has the last word on its own mode. A call
        # and not an assignment: some layers drop what they keep for inference in `train`.
        for child in self._learning:
            child.train(self.phase.norm == "train" or not is_norm(child))


def _norm_tensors(module: nn.Module) -> set[str]:
    return {
        f"{prefix}.{name}" if prefix else name
        for prefix, child in module.named_modules()
        if is_norm(child)
        for name, _ in child.named_parameters(recurse=False)
    }


def _inside_stages(
    module: nn.Module, names: Sequence[str], chosen: Mapping[str, float]
) -> list[nn.Module]:
    """Modules of which every tensor, their children's too, is in ``chosen``.

    A module without tensors (dropout, stochastic depth) goes with what surrounds it.
    """
    whole: dict[str, bool] = {}
    for name in names:
        path = name
        while path:
            path = path.rpartition(".")[0]
            whole[path] = whole.get(path, True) and name in chosen

    def inside(path: str) -> bool:
        while path and path not in whole:
            path = path.rpartition(".")[0]
        return whole.get(path, False)

    return [child for path, child in module.named_modules() if inside(path)]


def fingerprints(module: nn.Module, names: Sequence[str]) -> dict[str, str]:
    """Hash of the bytes of each named parameter or buffer."""
    tensors = dict(module.named_parameters(remove_duplicate=False)) | dict(
        module.named_buffers(remove_duplicate=False)
    )
    return {name: _hash(tensors[name]) for name in names}


def _hash(tensor: torch.Tensor) -> str:
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return hashlib.blake2b(plain.view(torch.uint8).numpy().data, digest_size=16).hexdigest()


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
