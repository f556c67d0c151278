"""What is asked of heads that are trained together, and what comes of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn


@dataclass(frozen=True, kw_only=True)
class HeadRun:
    """One head to train."""

    build: Callable[[], nn.Module]
    """Makes the head afresh, the same each time."""
    lr: float
    weight_decay: float
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    """Of the loss, one for each class; None: all alike."""


@dataclass(frozen=True, kw_only=True)
class HeadReport:
    """Where one run stands."""

    run: int
    """Its place among the runs."""
    epoch: int
    epochs: int
    loss: float
    """Mean of the epoch, on the training part."""
    probabilities: NDArray[np.float32]
    """Of the evaluated part, shape (m, c)."""
    seconds: float
    """The run's share of the time so far, by its number of parameters."""


@dataclass(frozen=True, kw_only=True)
class HeadResult:
    """How one run ended."""

    run: int
    head: nn.Module | None
    """Trained, on the CPU, in evaluation mode; None after an error."""
    probabilities: NDArray[np.float32]
    """As last reported, shape (m, c); without a report (0, c)."""
    epochs: int
    """Trained; fewer than were asked for where the run was stopped or had converged."""
    loss: float
    seconds: float
    error: Exception | None = None
    stopped: bool = False
    """At the caller's wish."""
