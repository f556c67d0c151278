"""Members that try to end the process, each at another moment."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from automl_transfer.testing import toy

TRACE = Path("left-at")
"""A file, relative to the working directory, with the moments at which they have tried."""
LATE = Path("late")


def leave(moment: str) -> None:
    with TRACE.open("a", encoding="utf-8") as file:
        file.write(f"{moment}\n")
    sys.exit(f"goodbye at {moment}")


def backbone_in_factory(*, card: Any, weights: Any, seed: int) -> Any:
    leave("backbone factory")


def backbone_in_forward(*, card: Any, weights: Any, seed: int) -> Any:
    made = toy.build(card=card, weights=weights, seed=seed)
    made.features = lambda batch: leave("backbone forward")  # type: ignore[method-assign]
    return made


def backbone_in_training(*, card: Any, weights: Any, seed: int) -> Any:
    return _training(card, weights, seed, lambda: leave("backbone training"))


def backbone_in_confirm(*, card: Any, weights: Any, seed: int) -> Any:
    """It trains until the stage of that name has begun, which LATE tells."""
    return _training(
        card, weights, seed, lambda: leave("backbone confirm") if LATE.exists() else None
    )


def _training(card: Any, weights: Any, seed: int, then: Callable[[], None]) -> Any:
    """A backbone that does ``then`` at each step of a fine-tune."""
    made = toy.build(card=card, weights=weights, seed=seed)
    forward = made.module.forward

    def features(batch: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and any(
            tensor.requires_grad for tensor in made.module.parameters()
        ):
            then()
        found: torch.Tensor = forward(batch)
        return found

    made.features = features  # type: ignore[method-assign]
    return made


def head_in_factory(*, width: int, classes: int, params: Any) -> nn.Module:
    leave("head factory")
    raise AssertionError


class LeavingHead(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        leave("head forward")
        found: torch.Tensor = self.layer(features)
        return found


def head_in_forward(*, width: int, classes: int, params: Any) -> nn.Module:
    return LeavingHead(width, classes)


def strategy(*, stages: Any, params: Any) -> Any:
    leave("strategy")


def ranker(*, features: Any, labels: Any, classes: int, seed: int) -> float:
    leave("ranker")
    return 0.0
