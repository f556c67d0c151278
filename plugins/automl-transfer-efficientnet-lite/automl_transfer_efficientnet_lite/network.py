"""Builds a network from timm's architecture and the checkpoint of another implementation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch
from torch import nn

_OUTSIDE = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# The first stage does not expand its channels, so its convolutions count from another place.
_FIRST = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_OTHERS = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


class Backbone:
    """What the host needs of a backbone."""

    stages = ()
    """The host derives them: the stem, the seven groups of blocks, the last convolution."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        """Images of shape (n, 3, s, s) to features of shape (n, 1280)."""
        found: torch.Tensor = self.module(batch)
        return found


def build(*, card: Any, weights: Any, seed: int) -> Backbone:
    """The factory of both cards. ``weights=None`` builds the network with random ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = timm.create_model(card.arguments["architecture"], pretrained=False, num_classes=0)
    if weights is not None:
        stored = torch.load(weights.path, map_location="cpu", weights_only=True)
        tensors = renamed(stored, [len(group) for group in module.blocks])
        kept = {
            name: tensor for name, tensor in tensors.items() if not name.startswith("classifier.")
        }
        module.load_state_dict(kept)
    return Backbone(module.eval())


def renamed(tensors: Mapping[str, torch.Tensor], repeats: list[int]) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint under timm's names, those of the classifier included.

    Args:
        tensors: By the checkpoint's names, which number the blocks throughout.
        repeats: Blocks of each group.
    """
    places = [(group, block) for group, count in enumerate(repeats) for block in range(count)]
    return {_timm_name(name, places): tensor for name, tensor in tensors.items()}


def _timm_name(name: str, places: list[tuple[int, int]]) -> str:
    place, _, rest = name.partition(".")
    if place != "_blocks":
        return f"{_OUTSIDE[place]}.{rest}"
    number, layer, tensor = rest.split(".", 2)
    group, block = places[int(number)]
    return f"blocks.{group}.{block}.{(_OTHERS if group else _FIRST)[layer]}.{tensor}"
