"""Heads of known structure, stacked: one matrix product for all of them in each layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from automl_transfer.training.similarity import CosineSimilarity
from automl_transfer.training.stack import Noise, Stack, pile

TILE = 32
"""Hidden units that are stacked together; a head's last tile is filled up with dead ones."""

Slices = Mapping[str, torch.Tensor]


def stack_linear(heads: Sequence[nn.Linear], device: torch.device) -> Stack:
    """Linear layers, with or without a bias, all alike."""
    parts = {"weight": [head.weight.unsqueeze(0) for head in heads]}
    if heads[0].bias is not None:
        parts["bias"] = [head.bias.unsqueeze(0) for head in heads]
    return pile(parts, trained=list(parts), device=device, scores=_linear, write=_write_linear)


def _linear(stack: Stack, features: torch.Tensor, noise: Noise | None) -> torch.Tensor:
    weight, bias = stack.tensors["weight"], stack.tensors.get("bias")  # (R, c, d), (R, c)
    flat = None if bias is None else bias.flatten()
    joint = functional.linear(features, weight.flatten(0, 1), flat)
    return joint.view(len(features), *weight.shape[:2])


def _write_linear(own: Slices, head: nn.Module) -> None:
    assert isinstance(head, nn.Linear)
    head.weight.copy_(own["weight"][0])
    if head.bias is not None:
        head.bias.copy_(own["bias"][0])


def stack_cosine(heads: Sequence[CosineSimilarity], device: torch.device) -> Stack:
    """Cosine classifiers, each with its own scale."""
    parts = {
        "weight": [head.weight.unsqueeze(0) for head in heads],
        "scale": [torch.tensor([head.scale]) for head in heads],
    }
    return pile(parts, trained=["weight"], device=device, scores=_cosine, write=_write_cosine)


def _cosine(stack: Stack, features: torch.Tensor, noise: Noise | None) -> torch.Tensor:
    weight = stack.tensors["weight"]  # (R, c, d)
    cosines = functional.linear(
        functional.normalize(features, dim=1), functional.normalize(weight, dim=2).flatten(0, 1)
    )
    return cosines.view(len(features), *weight.shape[:2]) * stack.tensors["scale"].unsqueeze(1)


def _write_cosine(own: Slices, head: nn.Module) -> None:
    assert isinstance(head, CosineSimilarity)
    head.weight.copy_(own["weight"][0])


def stack_perceptrons(heads: Sequence[nn.Sequential], device: torch.device) -> Stack:
    """Linear, GELU, dropout, linear: of any hidden width, cut into tiles.

    A dead unit has no weights on either side, hence no gradient, and stays dead.
    """
    slices = [_tiles(head) for head in heads]
    parts = {name: [own[name] for own in slices] for name in slices[0]}
    most = max(len(own["first"]) for own in slices)
    drops = any(_layers(head)[2].p > 0 for head in heads)
    approximate = _layers(heads[0])[1].approximate

    def scores(stack: Stack, features: torch.Tensor, noise: Noise | None) -> torch.Tensor:
        now = stack.tensors
        first, bias = now["first"], now["second_bias"]  # (T, TILE, d), (R, c)
        hidden = functional.linear(features, first.flatten(0, 1), now["first_bias"].flatten())
        hidden = functional.gelu(hidden, approximate=approximate)
        hidden = hidden.view(len(features), *first.shape[:2])
        if noise is not None and drops:
            # All heads drop by the same numbers, so that none depends on which others there are.
            draws = noise.uniform(most, len(features), TILE, device=features.device)
            kept = now["kept"].unsqueeze(1)
            hidden = hidden * ((draws[now["place"]].transpose(0, 1) < kept) / kept)
        parts = torch.bmm(hidden.transpose(0, 1), now["second"])  # (T, b, c)
        sums = parts.new_zeros(len(bias), *parts.shape[1:])
        sums = sums.index_add(0, stack.owners["second"], parts) + bias.unsqueeze(1)
        return sums.transpose(0, 1)

    return pile(
        parts,
        trained=["first", "first_bias", "second", "second_bias"],
        device=device,
        scores=scores,
        write=_write_perceptron,
    )


def _layers(head: nn.Module) -> tuple[nn.Linear, nn.GELU, nn.Dropout, nn.Linear]:
    first, activation, dropout, second = head.children()
    assert isinstance(first, nn.Linear) and isinstance(second, nn.Linear)
    assert isinstance(activation, nn.GELU) and isinstance(dropout, nn.Dropout)
    return first, activation, dropout, second


def _tiles(head: nn.Module) -> Slices:
    first, _, dropout, second = _layers(head)
    tiles = -(-first.out_features // TILE)
    dead = tiles * TILE - first.out_features
    weight = functional.pad(first.weight, (0, 0, 0, dead))
    second_weight = functional.pad(second.weight, (0, dead)).T
    return {
        "first": weight.reshape(tiles, TILE, first.in_features),
        "first_bias": functional.pad(first.bias, (0, dead)).reshape(tiles, TILE),
        "second": second_weight.reshape(tiles, TILE, second.out_features),
        "second_bias": second.bias.unsqueeze(0),
        "kept": torch.full((tiles,), 1 - dropout.p),
        "place": torch.arange(tiles),
    }


def _write_perceptron(own: Slices, head: nn.Module) -> None:
    first, _, _, second = _layers(head)
    units = first.out_features
    first.weight.copy_(own["first"].flatten(0, 1)[:units])
    first.bias.copy_(own["first_bias"].flatten()[:units])
    second.weight.copy_(own["second"].flatten(0, 1)[:units].T)
    second.bias.copy_(own["second_bias"][0])
