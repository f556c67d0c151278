"""Which heads can be trained as one, and how."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from automl_transfer.training.alike import signature, stack_alike, stack_alone
from automl_transfer.training.similarity import CosineSimilarity
from automl_transfer.training.stack import Stack
from automl_transfer.training.stackable import stack_cosine, stack_linear, stack_perceptrons

StackHeads = Callable[[Sequence[Any], torch.device], Stack]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Heads of equal ``key`` are stacked together."""

    key: Hashable
    stack: StackHeads
    trusted: bool
    """Of a structure that is known here; else each head is trained alone after an error."""


def alone(index: int) -> Kind:
    """Of the run at ``index``, and no other."""
    return Kind(key=("alone", index), stack=stack_alone, trusted=False)


def kind_of(head: nn.Module, index: int) -> Kind:
    """Recognises a head by its exact structure, whoever built it.

    Args:
        head: As it was built.
        index: Sets it apart where it must be trained alone.
    """
    found = signature(head)
    if found is None or not all(tensor.requires_grad for tensor in head.parameters()):
        return alone(index)
    if type(head) is nn.Linear:
        return Kind(key=("linear", found), stack=stack_linear, trusted=True)
    if type(head) is CosineSimilarity:
        return Kind(key="cosine", stack=stack_cosine, trusted=True)
    if type(head) is nn.Sequential and [type(part) for part in head] == _PERCEPTRON:
        first, activation, _, second = head
        if first.bias is not None and second.bias is not None:
            key = ("perceptron", activation.approximate)
            return Kind(key=key, stack=stack_perceptrons, trusted=True)
    if any(True for _ in head.parameters()):
        return Kind(key=("alike", found), stack=stack_alike, trusted=False)
    return alone(index)


_PERCEPTRON: list[type[nn.Module]] = [nn.Linear, nn.GELU, nn.Dropout, nn.Linear]
