"""What one trial is made of: its settings, its data, its reports and its state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from automl_transfer.contracts import Backbone, Stage
from automl_transfer.errors import DivergedError, TrialError
from automl_transfer.plan import FreezePlan
from automl_transfer.target import Targets
from automl_transfer.training.activation_store import ActivationStore
from automl_transfer.training.device import autocast
from automl_transfer.training.feed import Kept, ahead
from automl_transfer.training.head import scores_of
from automl_transfer.training.inference import BATCH, CPU_BATCH, predict
from automl_transfer.training.matrix import readable
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
    steps: int | None = None
    """Of those phases, in place of ``epochs``."""
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
    targets: Targets
    """In the form of their kind and the order of ``positions``."""
    features: NDArray[np.float32] | None = None
    """Frozen features of the plain view, shape (n, d), in that order."""


@dataclass(frozen=True, kw_only=True)
class EpochReport:
    """Where the training stands."""

    epoch: int
    epochs: int
    step: int
    """Steps of the phases that train stages; of a trial that has none, the epoch."""
    loss: float
    probabilities: NDArray[np.float32]
    """Of the evaluated part, plain view, shape (n_eval, c)."""
    seconds: float


@dataclass(kw_only=True)
class Run:
    """What the phases of one trial share."""

    model: TransferModel
    backbone: Backbone
    stages: Sequence[Stage]
    units: Sequence[str]
    """Of :func:`automl_transfer.training.boundary.units`, before any adapter."""
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
    activations: ActivationStore | None = None
    compile: bool = False
    original: bool = True
    """The backbone is still as it was when frozen features were computed."""
    moved: set[str] = field(default_factory=set)
    """Tensors of the backbone that phases which are over have trained, by plain name."""
    kept: Kept | None = None
    """What of the evaluated part crosses the boundary of the present phase."""
    checked: int = 0
    """Tensors that had to stay as they were, and did."""
    trained: int = 0
    """Numbers of the backbone, or beside it, that trained."""
    probabilities: NDArray[np.float32] | None = None
    epoch: int = 0
    notes: list[str] = field(default_factory=list)

    @cached_property
    def learned(self) -> torch.Tensor:
        """Of the training part, what :meth:`.link.Link.learned` makes of its targets."""
        return self.model.link.learned(torch.from_numpy(self.train.targets)).to(self.device)

    @cached_property
    def weights(self) -> torch.Tensor | None:
        """Of the classes, shape (c,)."""
        given = self.settings.class_weights
        return None if given is None else torch.tensor(given, device=self.device)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of an epoch of a phase that trains stages."""
        return steps_per_epoch(len(self.train.positions), self.settings.batch_size)

    def report(
        self, epoch: int, epochs: int, loss: float, step: int | None = None
    ) -> Generator[EpochReport, None, None]:
        """Evaluates the model as it stands; silent without a part to evaluate on.

        Raises:
            DivergedError: A probability is not finite.
        """
        if self.evaluate is None:
            return
        probabilities = self._evaluated(self.evaluate)
        if not np.isfinite(probabilities).all():
            raise DivergedError(
                "Every predicted probability must be finite, but after epoch "
                f"{epoch} some are not. A smaller learning rate may help."
            )
        self.probabilities = probabilities
        yield EpochReport(
            epoch=epoch,
            epochs=epochs,
            step=epoch if step is None else step,
            loss=loss,
            probabilities=probabilities,
            seconds=time.monotonic() - self.started,
        )

    def _evaluated(self, part: Part) -> NDArray[np.float32]:
        if self.original and part.features is not None:
            self.model.head.eval()
            scores = scores_of(self.model.classify, readable(part.features), self.device)
            found: NDArray[np.float32] = self.model.link.predictions(scores).numpy()
            return found
        if self.kept is None:
            # The end of the budget does not stop it: what is said does not matter, only that
            # somebody may be waiting for a sign of life.
            return predict(self.model, part.rows, part.positions, self.device, self.should_stop)
        return np.concatenate(list(self._through(self.kept, len(part.positions))))

    def _through(self, kept: Kept, count: int) -> Iterator[NDArray[np.float32]]:
        self.model.eval()
        size = CPU_BATCH if self.device.type == "cpu" else BATCH
        pieces = np.split(np.arange(count), range(size, count, size))
        for chosen, loaded in ahead(kept, [(piece, None) for piece in pieces]):
            with torch.no_grad(), autocast(self.device):
                logits = self.model.classify(kept.features(chosen, loaded).float())
            yield self.model.link.predictions(logits).cpu().numpy()
            self.should_stop()

    def check_time(self) -> None:
        """Breaks the trial off when its time is over.

        Raises:
            OutOfTimeError: It is.
        """
        if self.should_stop():
            raise OutOfTimeError("The budget ended.")


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Batches of an epoch.

    Batch statistics of a single sample are no statistics: two to a batch at least.
    """
    return max(1, min(math.ceil(samples / batch_size), samples // 2))
