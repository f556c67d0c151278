"""Random initialisation of a built network, for training from scratch."""

from __future__ import annotations

import torch
from torch import nn


def reset(module: nn.Module, seed: int) -> None:
    """Re-initialises every parameter and buffer in place, from ``seed``.

    Layers with ``reset_parameters`` use it; convolutions get He's normal initialisation
    (arXiv:1502.01852); parameters held by other modules (class tokens, position embeddings, layer
    scales) become normal with deviation 0.02, or stay one-dimensional constants as they are built.
    """
    torch.manual_seed(seed)
    with torch.no_grad():
        for child in module.modules():
            method = getattr(child, "reset_parameters", None)
            if callable(method):
                method()
            if isinstance(child, nn.Conv2d):
                nn.init.kaiming_normal_(child.weight, mode="fan_out", nonlinearity="relu")
                if child.bias is not None:
                    nn.init.zeros_(child.bias)
            elif not callable(method):
                for parameter in child.parameters(recurse=False):
                    if parameter.dim() > 1:
                        nn.init.normal_(parameter, std=0.02)
                    else:
                        nn.init.ones_(parameter)
