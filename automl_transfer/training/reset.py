"""Random initialisation of a built network, for training from scratch."""

from __future__ import annotations

import math

import torch
from torch import nn

STD = 0.02
"""Deviation of class tokens, embeddings and other matrices that no layer of torch holds."""


def reset(module: nn.Module, seed: int) -> None:
    """Re-initialises every parameter, and every running statistic, in place, from ``seed``.

    Layers with ``reset_parameters`` use it; convolutions get He's normal initialisation
    (arXiv:1502.01852); matrices held by other modules (class tokens, position embeddings) become
    normal with deviation :data:`STD`. Of their vectors, biases become 0 and gains 1, or what the
    layer itself says it starts from (``init_values``). Constants (relative positions) stay.
    """
    torch.manual_seed(seed)
    with torch.no_grad():
        for child in module.modules():
            own = dict(child.named_parameters(recurse=False))
            for parameter in own.values():
                # Whatever the layer's own initialisation leaves out stays not-a-number.
                parameter.fill_(torch.nan)
            method = getattr(child, "reset_parameters", None)
            if callable(method):
                method()
            if isinstance(child, nn.modules.conv._ConvNd):
                _reset_convolution(child)
            for name, parameter in own.items():
                if parameter.isnan().any():
                    _reset_other(child, name, parameter)
            if isinstance(child, nn.Embedding):
                nn.init.normal_(child.weight, std=STD)
            if not callable(method):
                _reset_statistics(child)


def _reset_convolution(layer: nn.modules.conv._ConvNd) -> None:
    fan_out = layer.out_channels * math.prod(layer.kernel_size) // layer.groups
    nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _reset_other(module: nn.Module, name: str, parameter: torch.Tensor) -> None:
    if name.endswith("bias"):
        nn.init.zeros_(parameter)
    elif parameter.dim() > 1:
        nn.init.normal_(parameter, std=STD)
    else:
        start = getattr(module, "init_values", None)
        nn.init.constant_(parameter, float(start) if isinstance(start, (int, float)) else 1.0)


def _reset_statistics(module: nn.Module) -> None:
    """Of norm layers whose affine numbers are buffers (frozen batch norm)."""
    for name, buffer in module.named_buffers(recurse=False):
        if name in ("running_mean", "bias"):
            buffer.zero_()
        elif name in ("running_var", "weight"):
            buffer.fill_(1)
