"""Heads of unknown structure: stacked where they differ in parameters alone, else one by one."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Hashable, Iterator, Mapping, Sequence

import torch
from torch import nn

from automl_transfer.training.stack import Noise, Stack, pile


def signature(head: nn.Module) -> Hashable | None:
    """Equal for heads that differ in the values of parameters and buffers alone.

    None where that cannot be told: an attribute is neither plain data nor a part of a module.
    """
    parameters = dict(head.named_parameters())
    if len(parameters) < len(list(head.named_parameters(remove_duplicate=False))):
        return None  # stacked, tied parameters would come apart
    found: list[Hashable] = []
    for name, module in head.named_modules():
        found.append((name, type(module)))
        for key, value in sorted(vars(module).items()):
            if key in {"_modules", "_parameters", "_buffers"}:
                continue
            if not _is_plain(value):
                return None
            found.append((key, repr(value)))
    for name, tensor in _state(head).items():
        found.append((name, tuple(tensor.shape), tensor.dtype, tensor.requires_grad))
    return tuple(found)


def _state(head: nn.Module) -> dict[str, torch.Tensor]:
    return dict(head.named_parameters()) | dict(head.named_buffers())


def _is_plain(value: object) -> bool:
    if isinstance(value, (tuple, list, set, frozenset)):
        return all(_is_plain(item) for item in value)
    if isinstance(value, Mapping):
        return all(_is_plain(item) for pair in value.items() for item in pair)
    return value is None or isinstance(value, (bool, int, float, str))


def stack_alike(heads: Sequence[nn.Module], device: torch.device) -> Stack:
    """Heads of one :func:`signature`, by ``torch.func`` (one call for all of them)."""
    template = copy.deepcopy(heads[0]).to("meta")
    trained = [name for name, tensor in template.named_parameters() if tensor.requires_grad]
    states = [_state(head) for head in heads]
    parts = {name: [state[name].unsqueeze(0) for state in states] for name in states[0]}

    def one(own: Mapping[str, torch.Tensor], features: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = torch.func.functional_call(template, dict(own), (features,))
        return scores

    def scores(stack: Stack, features: torch.Tensor, noise: Noise | None) -> torch.Tensor:
        template.train(noise is not None)
        with _chance(noise, features.device):
            joint: torch.Tensor = torch.func.vmap(
                one, in_dims=(0, None), out_dims=1, randomness="same"
            )(stack.tensors, features)
        return joint

    return pile(parts, trained=trained, device=device, scores=scores, write=_write)


def _write(own: Mapping[str, torch.Tensor], head: nn.Module) -> None:
    tensors = _state(head)
    for name, value in own.items():
        tensors[name].copy_(value[0])


def stack_alone(heads: Sequence[nn.Module], device: torch.device) -> Stack:
    """One head, whatever it is, as a stack of one: its own parameters, none of them moved."""
    (head,) = heads
    head.to(device)
    tensors: dict[str, torch.Tensor] = {
        name: tensor for name, tensor in head.named_parameters() if tensor.requires_grad
    }

    def scores(stack: Stack, features: torch.Tensor, noise: Noise | None) -> torch.Tensor:
        head.train(noise is not None)
        with _chance(noise, features.device):
            own: torch.Tensor = head(features)
        return own.unsqueeze(1)

    def write(own: Mapping[str, torch.Tensor], target: nn.Module) -> None:
        target.eval()

    return Stack(
        heads=1,
        tensors=tensors,
        owners={
            name: torch.zeros(tensor.shape[:1], dtype=torch.long, device=device)
            for name, tensor in tensors.items()
        },
        trained=tuple(tensors),
        scores=scores,
        write=write,
    )


@contextlib.contextmanager
def _chance(noise: Noise | None, device: torch.device) -> Iterator[None]:
    """Torch's own random numbers, for this step, from the step's seed."""
    if noise is None:
        yield
        return
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(noise.number)
        yield
