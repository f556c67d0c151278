"""The parameters of several heads as one set of tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

Write = Callable[[Mapping[str, torch.Tensor], nn.Module], None]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Where the chance of a training step comes from: the same whichever heads share the step."""

    seed: int
    step: int

    @property
    def number(self) -> int:
        """A seed of this step's own."""
        return (self.seed * 1_000_003 + self.step) % (1 << 63)

    def uniform(self, *shape: int, device: torch.device) -> torch.Tensor:
        """Numbers from 0 to 1; on a CPU those of a longer first axis begin with the same."""
        generator = torch.Generator(device).manual_seed(self.number)
        return torch.rand(shape, generator=generator, device=device)


@dataclass(kw_only=True)
class Stack:
    """R heads of one kind.

    Each tensor is a pile of slices along its first axis, and ``owners`` names the head, from 0 to
    R - 1, that each slice belongs to.
    """

    heads: int
    tensors: dict[str, torch.Tensor]
    owners: dict[str, torch.Tensor]
    trained: tuple[str, ...]
    """Names of the tensors with gradients; the others are constants or buffers."""
    scores: Scores
    write: Write
    """Puts the slices of one head back into its module."""

    def along(self, values: torch.Tensor, name: str) -> torch.Tensor:
        """A number for each head, shape (R,), in a shape that multiplies the tensor ``name``."""
        owned = values[self.owners[name]]
        return owned.reshape((*owned.shape, *[1] * (self.tensors[name].dim() - 1)))

    def sizes(self) -> torch.Tensor:
        """How many trained numbers each head has, shape (R,)."""
        found = torch.zeros(self.heads, dtype=torch.long)
        for name in self.trained:
            slice_size = self.tensors[name].numel() // max(1, self.owners[name].numel())
            found += slice_size * self.owners[name].cpu().reshape(-1).bincount(
                minlength=self.heads
            )
        return found

    def of(self, place: int) -> dict[str, torch.Tensor]:
        """The slices of one head."""
        return {
            name: tensor.detach()[self.owners[name] == place]
            for name, tensor in self.tensors.items()
        }

    def which(self, places: Sequence[int], name: str) -> torch.Tensor:
        """A mask of the slices of the tensor ``name`` that belong to the heads at ``places``."""
        wanted = torch.zeros(self.heads, dtype=torch.bool)
        wanted[list(places)] = True
        return wanted.to(self.owners[name].device)[self.owners[name]]

    def keep(self, places: Sequence[int]) -> None:
        """Drops all heads but those at ``places``, ascending."""
        number = torch.zeros(self.heads, dtype=torch.long)
        number[list(places)] = torch.arange(len(places))
        for name, tensor in self.tensors.items():
            mask = self.which(places, name)
            self.tensors[name] = tensor.detach()[mask].requires_grad_(tensor.requires_grad)
            self.owners[name] = number.to(mask.device)[self.owners[name][mask]]
        self.heads = len(places)


Scores = Callable[[Stack, torch.Tensor, Noise | None], torch.Tensor]
"""Features (b, d) to the class scores of R heads, shape (b, R, c); in evaluation without noise."""


def pile(
    parts: Mapping[str, Sequence[torch.Tensor]],
    *,
    trained: Sequence[str],
    device: torch.device,
    scores: Scores,
    write: Write,
) -> Stack:
    """Stacks the slices of heads.

    Args:
        parts: By name, those of each head, shape (slices of the head, ...).
        trained: Names of those with gradients.
        device: Where they go.
        scores: See :class:`Stack`.
        write: Likewise.
    """
    tensors, owners = {}, {}
    for name, slices in parts.items():
        sizes = torch.tensor([len(part) for part in slices])
        owners[name] = torch.arange(len(slices)).repeat_interleave(sizes).to(device)
        joined = torch.cat([part.detach() for part in slices]).to(device)
        tensors[name] = joined.requires_grad_(name in trained)
    return Stack(
        heads=len(next(iter(parts.values()))),
        tensors=tensors,
        owners=owners,
        trained=tuple(trained),
        scores=scores,
        write=write,
    )
