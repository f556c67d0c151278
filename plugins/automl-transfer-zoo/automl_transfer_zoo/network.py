"""Builds a network of timm, and puts tensors from a file into it without a gap or a leftover."""

from __future__ import annotations

from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import nn


class Backbone:
    """What the host needs of a backbone."""

    stages = ()
    """The host derives them."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        """Images of shape (n, 3, s, s) to features of shape (n, d)."""
        found: torch.Tensor = self.module(batch)
        return found


def build(*, card: Any, weights: Any, seed: int) -> Backbone:
    """The factory of every card of the zoo. ``weights=None`` builds it with random ones.

    Raises:
        ValueError: Tensors are missing, left over, or of another shape.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = timm.create_model(card.arguments["architecture"], pretrained=False, num_classes=0)
    if weights is not None:
        stored = load_file(weights.path)
        classifier = module.pretrained_cfg.get("classifier") or "fc"
        names = (classifier,) if isinstance(classifier, str) else tuple(classifier)
        heads = tuple(f"{name}." for name in names)
        kept = {name: tensor for name, tensor in stored.items() if not name.startswith(heads)}
        try:
            module.load_state_dict(kept)
        except RuntimeError as error:
            raise ValueError(
                f"The tensors of {weights.path} must be those of timm's "
                f"{card.arguments['architecture']!r}, but: {' '.join(str(error).split())[:300]}"
            ) from error
    return Backbone(module.eval())
