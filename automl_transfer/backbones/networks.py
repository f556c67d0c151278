"""The one form in which the families here hand over a built network."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from automl_transfer.contracts import Batch, Stage

if TYPE_CHECKING:
    import torch
    from torch import nn


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Network:
    """A built backbone."""

    module: nn.Module
    forward: Callable[[nn.Module, Batch], torch.Tensor]
    """Runs ``module`` on a batch; returns (n, d), (n, d, h, w) or (n, tokens, d)."""
    stages: tuple[Stage, ...] = ()

    def features(self, batch: Batch) -> torch.Tensor:
        """Pooled features, shape (n, d), of a batch of shape (n, channels, height, width)."""
        return pooled(self.forward(self.module, batch))


def pooled(output: torch.Tensor) -> torch.Tensor:
    """Means over whatever is neither sample nor feature: (n, d, h, w) or (n, t, d) to (n, d)."""
    if output.ndim == 4:
        return output.mean(dim=(2, 3))
    if output.ndim == 3:
        return output.mean(dim=1)
    return output


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Random initialisation depends on ``seed`` alone, and nobody else's random numbers change."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
