"""What one trial is made of: its settings, its data, its reports and its state."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from automl_transfer.contracts import Stage
from automl_transfer.errors import DivergedError, TrialError
from automl_transfer.plan import FreezePlan
from automl_transfer.training.inference import predict
from automl_transfer.training.model import TransferModel
from automl_transfer.training.rows import RowStore


class OutOfTimeError(TrialError):
    """The budget ended before the trial did."""

    kind = "out-of-time"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long and in what steps."""

    epochs: int
    """Of the phases that train stages, together."""
    head_epochs: int = 30
    """Of each phase that trains the head alone."""
    batch_size: int = 32
    """At most; the batches of an epoch are of equal size, and of two samples at least."""
    head_batch_size: int = 256
    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some samples of the data set."""

    rows: RowStore
    positions: NDArray[np.int64]
    labels: NDArray[np.int64]
    """Shape (n,), in the order of ``positions``."""
    features: NDArray[np.float32] | None = None
    """Frozen features of the plain view, shape (n, d), in that order."""


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """Where the training stands."""

    epoch: int
    epochs: int
    loss: float
    probabilities: NDArray[np.float32]
    """Of the evaluated part, plain view, shape (n_eval, c)."""
    seconds: float


@dataclass(kw_only=True)
class Run:
    """What the phases of one trial share."""

    model: TransferModel
    stages: Sequence[Stage]
    plan: FreezePlan
    head_lr: float
    head_weight_decay: float
    closed_form: bool
    train: Part
    evaluate: Part | None
    settings: Settings
    device: torch.device
    should_stop: Callable[[], bool]
    started: float
    original: bool = True
    """The backbone is still as it was when frozen features were computed."""
    checked: int = 0
    """Tensors that had to stay as they were, and did."""
    trained: int = 0
    """Numbers of the backbone, or beside it, that trained."""
    probabilities: NDArray[np.float32] | None = None
    epoch: int = 0

    @property
    def labels(self) -> torch.Tensor:
        """Of the training part, shape (n,)."""
        return torch.from_numpy(self.train.labels).to(self.device)

    @property
    def weights(self) -> torch.Tensor | None:
        """Of the classes, shape (c,)."""
        given = self.settings.class_weights
        return None if given is None else torch.tensor(given, device=self.device)

    def report(self, epoch: int, epochs: int, loss: float) -> Generator[EpochReport, None, None]:
        """Evaluates the model as it stands; silent without a part to evaluate on.

        Raises:
            DivergedError: A probability is not finite.
        """
        if self.evaluate is None:
            return
        if self.original and self.evaluate.features is not None:
            frozen = torch.from_numpy(np.ascontiguousarray(self.evaluate.features))
            self.model.head.eval()
            with torch.no_grad():
                logits = self.model.classify(frozen.to(self.device))
            probabilities = logits.float().softmax(dim=1).cpu().numpy()
        else:
            probabilities = predict(
                self.model, self.evaluate.rows, self.evaluate.positions, self.device
            )
        if not np.isfinite(probabilities).all():
            raise DivergedError(
                "Every predicted probability must be finite, but after epoch "
                f"{epoch} some are not. A smaller learning rate may help."
            )
        self.probabilities = probabilities
        yield EpochReport(
            epoch=epoch,
            epochs=epochs,
            loss=loss,
            probabilities=probabilities,
            seconds=time.monotonic() - self.started,
        )

    def check_time(self) -> None:
        """Breaks the trial off when its time is over.

        Raises:
            OutOfTimeError: It is.
        """
        if self.should_stop():
            raise OutOfTimeError("The budget ended.")
