"""What a freeze strategy returns: a plan, free of torch, that the host applies and proves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from automl_transfer.errors import CardError


@dataclass(frozen=True, kw_only=True)
class StageView:
    """A stage as a strategy sees it. Stages are in order from input to output."""

    name: str
    depth: float
    """0 at the input, 1 at the output."""
    parameters: int
    """Number of trainable numbers in it."""


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """Low-rank adapters beside the frozen weights (LoRA, arXiv:2106.09685)."""

    rank: int
    alpha: float
    dropout: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A part of the training in which the same tensors train."""

    name: str
    share: float
    """Share of the trial's epochs, greater than 0; the shares of a plan add up to 1. A phase in
    which no tensor of the backbone trains runs on cached features and costs no epochs: its share
    is 0."""
    trains: Mapping[str, float] = field(default_factory=dict)
    """Stage name to learning-rate multiplier. A stage that is not named is frozen, parameters and
    buffers."""
    tensors: Literal["all", "norm-bias"] = "all"
    """Which parameters of those stages train: all, or only norm layers and biases."""
    norm: Literal["eval", "train"] = "eval"
    """Mode of the norm layers of stages that train. In ``eval`` their running statistics are
    frozen too."""
    adapter: Adapter | None = None
    """Adapters in the stages named by ``trains``; their own weights stay frozen."""


@dataclass(frozen=True, kw_only=True)
class FreezePlan:
    """Phases in order. Learning rates are those of the stages with multiplier 1."""

    phases: tuple[Phase, ...]
    lr: float = 1e-3
    """Learning rate of the backbone (AdamW)."""
    head_lr: float = 1e-3
    """Learning rate of the head while the backbone trains."""
    weight_decay: float = 0.01
    start: Literal["pretrained", "scratch"] = "pretrained"
    """``scratch`` re-initialises every parameter and buffer before the first phase."""

    def __post_init__(self) -> None:
        if not self.phases:
            raise CardError("A FreezePlan needs at least one phase, but got none.")
        total = sum(phase.share for phase in self.phases)
        if any(phase.share < 0 for phase in self.phases) or (
            self.trains_backbone and abs(total - 1) > 1e-6
        ):
            raise CardError(
                "The shares of a plan's phases must not be negative and must add up to 1, but got "
                f"{[phase.share for phase in self.phases]}."
            )
        for phase in self.phases:
            if bool(phase.trains) != (phase.share > 0):
                raise CardError(
                    f"Phase {phase.name!r} must have a share above 0 exactly when it trains "
                    f"stages, but got share={phase.share} and trains={dict(phase.trains)}."
                )

    @property
    def trains_backbone(self) -> bool:
        """Whether any phase trains any stage."""
        return any(phase.trains for phase in self.phases)


def from_probed_head(
    phase: Phase, *, lr: float, head_factor: float = 3.0, weight_decay: float = 0.01
) -> FreezePlan:
    """Trains the head alone on frozen features, then as ``phase`` says (LP-FT, arXiv:2202.10054).

    Args:
        phase: With a share of 1.
        lr: Learning rate of the stages with multiplier 1.
        head_factor: Learning rate of the head in that phase, in units of ``lr``.
        weight_decay: Of the stages.
    """
    return FreezePlan(
        phases=(Phase(name="head", share=0.0), phase),
        lr=lr,
        head_lr=head_factor * lr,
        weight_decay=weight_decay,
    )
