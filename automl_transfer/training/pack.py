"""Heads of one kind, trained as one stacked computation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automl_transfer.training.link import Link
from automl_transfer.training.matrix import batch_of, give_back
from automl_transfer.training.schedule import factor
from automl_transfer.training.stack import Noise, Stack

EVALUATED = 1 << 22
"""Class scores computed at once in evaluation."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the heads of all packs share."""

    features: torch.Tensor
    """Shape (n, d), where it lies, which may be a file: batches are moved to ``device``."""
    learned: torch.Tensor
    """Of :meth:`.link.Link.learned`, on ``device``."""
    evaluate: torch.Tensor
    """Features to predict, shape (m, d)."""
    link: Link
    epochs: int
    batch_size: int
    seed: int
    device: torch.device
    check_time: Callable[[], None]
    """Called after each step; may raise."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What each head is trained with, on the device; shape (R,) where nothing else is said."""

    lr: torch.Tensor
    weight_decay: torch.Tensor
    label_smoothing: torch.Tensor
    class_weights: torch.Tensor | None = None
    """Shape (R, c); None where no head has any."""

    def keep(self, places: torch.Tensor) -> Rates:
        """Those at ``places``."""
        return Rates(
            lr=self.lr[places],
            weight_decay=self.weight_decay[places],
            label_smoothing=self.label_smoothing[places],
            class_weights=None if self.class_weights is None else self.class_weights[places],
        )


class Pack:
    """A stack in training: its parameters, the state of AdamW, how far it is.

    AdamW's direction is Adam's step from zero at a rate of one (torch's own, fused where there is
    such a kernel); rate and decay, which each head has its own of, are applied to it here. The
    order of operations is that of ``torch.optim.AdamW``.
    """

    def __init__(self, stack: Stack, rates: Rates, recipe: Recipe) -> None:
        self.stack = stack
        self.recipe = recipe
        self.rates = rates
        self.epoch = 0
        self.seconds = 0.0
        self.losses = torch.full((stack.heads,), math.nan)
        self._order = torch.Generator().manual_seed(recipe.seed)
        self._direction = {
            name: torch.zeros_like(
                stack.tensors[name], memory_format=torch.contiguous_format
            ).requires_grad_()
            for name in stack.trained
        }
        self._adam = self._optimizer()
        self._prepare()

    def _optimizer(self) -> torch.optim.Optimizer | None:
        if not self._direction:
            return None
        fused = self.recipe.device.type in ("cpu", "cuda") and all(
            tensor.dtype in (torch.float32, torch.float64) for tensor in self._direction.values()
        )
        return torch.optim.Adam(list(self._direction.values()), lr=1.0, fused=fused)

    def _prepare(self) -> None:
        rates, along = self.rates, self.stack.along
        self._lr = {name: along(rates.lr, name) for name in self.stack.trained}
        self._shrink = {
            name: along(rates.lr * rates.weight_decay, name) for name in self.stack.trained
        }
        self._smooths = bool((rates.label_smoothing > 0).any())

    def advance(self, until: int) -> None:
        """Trains up to the end of the epoch ``until``; leaves the mean losses in ``losses``."""
        recipe = self.recipe
        n = len(recipe.features)
        per_epoch = math.ceil(n / recipe.batch_size)
        started = time.monotonic()
        finite = torch.ones(self.stack.heads, dtype=torch.bool, device=recipe.device)
        mean = torch.full((self.stack.heads,), math.nan, device=recipe.device)
        while self.epoch < until:
            permutation = torch.randperm(n, generator=self._order)
            sums = torch.zeros(self.stack.heads, device=recipe.device)
            step = self.epoch * per_epoch
            for chosen in torch.split(permutation, recipe.batch_size):
                sums += self._step(chosen, step, recipe.epochs * per_epoch) * len(chosen)
                step += 1
                recipe.check_time()
            mean = sums / n
            finite &= mean.isfinite()
            self.epoch += 1
        self.losses = torch.where(finite, mean, math.nan).cpu()
        self.seconds += time.monotonic() - started

    def _step(self, chosen: torch.Tensor, step: int, steps: int) -> torch.Tensor:
        """One step of all heads; returns their losses, shape (R,)."""
        recipe, stack = self.recipe, self.stack
        places = chosen.to(recipe.device)
        source = places if recipe.features.device == recipe.device else chosen
        features = batch_of(recipe.features, source).to(recipe.device, non_blocking=True)
        losses = self._losses(
            stack.scores(stack, features, Noise(seed=recipe.seed, step=step)),
            recipe.learned[places],
        )
        if self._adam is None:
            return losses.detach()
        # No head's loss depends on another's parameters: the gradient of the sum is each's own.
        gradients = torch.autograd.grad(losses.sum(), [stack.tensors[n] for n in stack.trained])
        with torch.no_grad():
            for name, gradient in zip(stack.trained, gradients, strict=True):
                self._direction[name].zero_()
                # The fused kernel walks through memory, whatever the strides say.
                self._direction[name].grad = gradient.contiguous()
            self._adam.step()
            rate = factor(step, steps)
            for name in stack.trained:
                tensor = stack.tensors[name]
                tensor.mul_(1 - rate * self._shrink[name])
                tensor.addcmul_(self._direction[name], self._lr[name], value=rate)
        return losses.detach()

    def _losses(self, scores: torch.Tensor, learned: torch.Tensor) -> torch.Tensor:
        """Loss of each head, shape (R,)."""
        return self.recipe.link.losses(
            _by_class(scores),
            learned,
            class_weights=self.rates.class_weights,
            label_smoothing=self.rates.label_smoothing if self._smooths else None,
        )

    def probabilities(self) -> NDArray[np.float32]:
        """Of the evaluated part, shape (R, m, c)."""
        recipe, stack = self.recipe, self.stack
        started = time.monotonic()
        found = torch.empty(stack.heads, len(recipe.evaluate), recipe.link.outputs)
        # What a head makes on its way to the scores may be larger than these: it is of no more
        # samples than in a step of the training, which has room for it.
        rows = max(64, min(recipe.batch_size, EVALUATED // (stack.heads * recipe.link.outputs)))
        with torch.no_grad():
            for start in range(0, len(recipe.evaluate), rows):
                features = recipe.evaluate[start : start + rows].to(recipe.device)
                scores = _by_class(stack.scores(stack, features, None))
                likely = recipe.link.predictions(scores)
                found[:, start : start + rows] = likely.permute(2, 0, 1)
                give_back(recipe.evaluate)
        self.seconds += time.monotonic() - started
        joined: NDArray[np.float32] = found.numpy()
        return joined

    def keep(self, places: Sequence[int]) -> None:
        """Drops all heads but those at ``places``, ascending."""
        if len(places) == self.stack.heads:
            return
        masks = {name: self.stack.which(places, name) for name in self.stack.trained}
        old = self._adam.state if self._adam is not None else {}
        states = {name: old.get(tensor, {}) for name, tensor in self._direction.items()}
        self._direction = {
            name: tensor.detach()[masks[name]].requires_grad_()
            for name, tensor in self._direction.items()
        }
        self._adam = self._optimizer()
        for name, state in states.items():
            assert self._adam is not None
            self._adam.state[self._direction[name]] = {
                key: value[masks[name]] if value.dim() else value for key, value in state.items()
            }
        self.stack.keep(places)
        index = torch.tensor(list(places))
        self.rates = self.rates.keep(index.to(self.rates.lr.device))
        self.losses = self.losses[index]
        self._prepare()

    def write(self, place: int, head: nn.Module) -> None:
        """Puts the parameters of the head at ``place`` into its module."""
        with torch.no_grad():
            self.stack.write(self.stack.of(place), head)


def _by_class(scores: torch.Tensor) -> torch.Tensor:
    """From shape (b, R, c) to (b, c, R): a softmax over a short last axis is not vectorised."""
    return scores.float().transpose(1, 2).contiguous()
