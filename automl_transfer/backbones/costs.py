"""What a network costs and how wide its features are, found without memory for its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from automl_transfer.backbones.networks import Network
from automl_transfer.cards import CostCard


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a dry run on torch's meta device tells."""

    cost: CostCard
    width: int | None
    """None if the network cannot be run without data."""


def measure(build: Callable[[], Network], size: Sequence[int]) -> Measured:
    """Counts parameters and multiply-adds of one sample of shape ``size`` (channels, h, w).

    Multiply-adds are those of convolutions, matrix products and attention.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    try:
        with torch.device("meta"):
            network = build()
    except (NotImplementedError, RuntimeError):
        # A few constructors compute with values (RegNet's widths), which meta tensors lack.
        network = build()
        network.module.to("meta")
    # The counter's hooks look for gradients wherever a parameter asks for one.
    module = network.module.eval().requires_grad_(False)
    params = sum(tensor.numel() for tensor in module.parameters())
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            features = network.features(torch.empty(1, *size, device="meta"))
    except Exception:
        # Some networks look at values on their way (masks, data-dependent shapes); the host
        # probes the width with real data in any case.
        return Measured(cost=CostCard(params=params), width=None)
    gmacs = round(counter.get_total_flops() / 2e9, 4)
    return Measured(cost=CostCard(params=params, gmacs=gmacs), width=int(features.shape[1]))
