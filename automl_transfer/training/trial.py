"""Trains one configuration from beginning to end, and proves its freeze strategy."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from automl_transfer.contracts import Backbone, Stage
from automl_transfer.errors import DivergedError, OutOfMemoryError
from automl_transfer.outcome import FreezeProof
from automl_transfer.plan import FreezePlan
from automl_transfer.training import freeze
from automl_transfer.training.activation_store import ActivationStore
from automl_transfer.training.boundary import units
from automl_transfer.training.device import is_out_of_memory
from automl_transfer.training.fine_tuning import FineTuning
from automl_transfer.training.head import fit
from automl_transfer.training.inference import pooled
from automl_transfer.training.link import Link
from automl_transfer.training.matrix import blocks, give_back, readable
from automl_transfer.training.model import TransferModel
from automl_transfer.training.probing import probe
from automl_transfer.training.reset import reset
from automl_transfer.training.run import EpochReport, OutOfTimeError, Part, Run, Settings
from automl_transfer.training.schedule import epoch_ends, phase_ends

__all__ = ["EpochReport", "OutOfTimeError", "Part", "Settings", "TrialResult", "run_trial"]


@dataclass(kw_only=True)
class TrialResult:
    """A trained model, and the proof of its freeze strategy."""

    model: TransferModel
    probabilities: NDArray[np.float32]
    """Of the evaluated part after the last epoch, shape (n_eval, c); empty without one."""
    proof: FreezeProof
    epochs: int
    """In which stages of the backbone trained; 0 when only the head did."""


def run_trial(
    *,
    backbone: Backbone,
    stages: Sequence[Stage],
    plan: FreezePlan,
    head: Callable[[int], nn.Module],
    head_lr: float,
    head_weight_decay: float,
    closed_form: bool,
    link: Link,
    train: Part,
    evaluate: Part | None,
    settings: Settings,
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
    activations: ActivationStore | None = None,
    compile: bool = False,
) -> Generator[EpochReport, None, TrialResult]:
    """Trains a head, and a backbone as the plan says; yields a report after each epoch.

    The last epoch's values are the result, never those of the best epoch: choosing the best on
    the validation part would make its score optimistic.

    Args:
        backbone: Fresh, with its pretrained weights. It is trained in place.
        stages: Of the backbone.
        plan: Of the freeze strategy.
        head: Builds the head for a width; called after the seed is set.
        head_lr: Learning rate while only the head trains.
        head_weight_decay: Weight decay of the head.
        closed_form: The head's ``fit`` is all the training it needs on frozen features.
        link: Of the target.
        train: To learn from.
        evaluate: To report on; None reports nothing.
        settings: Epochs or steps, batch sizes, seed.
        device: Where to train.
        should_stop: Looked at after each step.
        activations: Keeps what crosses the boundary of the frozen part; None recomputes it.
        compile: Compile the network's modules.

    Raises:
        DivergedError: Features, loss or predictions are not finite.
        OutOfMemoryError: The trial does not fit into memory.
        OutOfTimeError: ``should_stop`` said so.
        FreezeViolationError: A frozen tensor has moved.
        PluginError: The plan names unknown stages.
        TrialError: The plan trains stages in which there is nothing to train.
    """
    with memory_named(settings):
        run, frozen = begin(
            backbone=backbone,
            stages=stages,
            plan=plan,
            head=head,
            head_lr=head_lr,
            head_weight_decay=head_weight_decay,
            closed_form=closed_form,
            link=link,
            train=train,
            evaluate=evaluate,
            settings=settings,
            device=device,
            should_stop=should_stop,
            activations=activations,
            compile=compile,
        )
        if plan.trains_backbone:
            yield from _epochs(run, frozen)
        else:
            for phase in plan.phases:
                yield from probe(run, frozen, phase)
        return result_of(run)


def _epochs(run: Run, frozen: torch.Tensor) -> Generator[EpochReport, None, None]:
    each = run.steps_per_epoch
    if run.settings.steps is None:
        ends = epoch_ends(epochs_of(run.plan, run.settings.epochs), each)
    else:
        ends = phase_ends(run.plan, run.settings.steps)
    steps = ends[-1]
    epochs = math.ceil(steps / each)
    training = FineTuning(run, ends, frozen)
    for epoch in range(1, epochs + 1):
        loss = training.advance(min(steps, epoch * each), rung=steps)
        run.epoch = epoch
        yield from run.report(epoch, epochs, loss, training.step)
    training.leave()


@contextlib.contextmanager
def memory_named(settings: Settings) -> Iterator[None]:
    """Within, whatever means that memory ran out is an :class:`OutOfMemoryError`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"A batch of {settings.batch_size} must fit into memory, but does not: {error}"
            ) from error
        raise


def begin(
    *,
    backbone: Backbone,
    stages: Sequence[Stage],
    plan: FreezePlan,
    head: Callable[[int], nn.Module],
    head_lr: float,
    head_weight_decay: float,
    closed_form: bool,
    link: Link,
    train: Part,
    evaluate: Part | None,
    settings: Settings,
    device: torch.device,
    should_stop: Callable[[], bool],
    activations: ActivationStore | None,
    compile: bool,
    width: int | None = None,
) -> tuple[Run, torch.Tensor]:
    """Builds the model of a trial, its head fitted, and computes the features it starts from.

    The arguments are those of :func:`run_trial`. With the ``width`` of the features, for a trial
    that goes on, nothing is computed: scaler and head are as they were built, and the features
    that are returned are none.
    """
    freeze.check_plan(plan, stages)
    torch.manual_seed(settings.seed)
    backbone.module.to(device)
    if device.type in ("cuda", "cpu"):
        backbone.module.to(memory_format=torch.channels_last)
    if plan.start == "scratch":
        reset(backbone.module, settings.seed)
    if width is None:
        reference = _reference(backbone, plan, train, device, should_stop)
    else:
        reference = np.zeros((0, width), dtype=np.float32)
    model = TransferModel(backbone, head(reference.shape[1]), reference.shape[1], link).to(device)
    frozen = readable(reference).to(device)
    if plan.start == "pretrained" and width is None:
        # Features of random weights say nothing of the scale that they will have.
        model.scaler.fit(frozen)
    run = Run(
        model=model,
        backbone=backbone,
        stages=stages,
        units=units(backbone.module, stages),
        plan=plan,
        head_lr=head_lr,
        head_weight_decay=head_weight_decay,
        closed_form=closed_form,
        train=train,
        evaluate=evaluate,
        settings=settings,
        device=device,
        should_stop=should_stop,
        started=time.monotonic(),
        activations=activations,
        compile=compile,
        original=plan.start == "pretrained",
    )
    if width is None:
        fit(model.head, model.scaler.scaled(frozen), run.learned, run.weights)
        give_back(reference)
    return run, frozen


def result_of(run: Run) -> TrialResult:
    """What a trial that has ended leaves behind."""
    empty = np.zeros((0, run.model.link.outputs), dtype=np.float32)
    in_head = sum(tensor.numel() for tensor in run.model.head.parameters())
    untrained_head = run.closed_form and not run.trained
    return TrialResult(
        model=run.model.eval(),
        probabilities=empty if run.probabilities is None else run.probabilities,
        proof=FreezeProof(
            trainable_parameters=run.trained + (0 if untrained_head else in_head),
            total_parameters=sum(tensor.numel() for tensor in run.model.parameters()),
            frozen_tensors=run.checked,
        ),
        epochs=run.epoch,
    )


def epochs_of(plan: FreezePlan, epochs: int) -> list[int]:
    """Epochs of each phase: by share, at least one where stages train, together ``epochs``.

    With more such phases than epochs, each gets one.
    """
    given = [1 if phase.trains else 0 for phase in plan.phases]
    total = max(epochs, sum(given))
    while sum(given) < total and plan.trains_backbone:
        behind = [
            phase.share * total - have if phase.trains else -np.inf
            for phase, have in zip(plan.phases, given, strict=True)
        ]
        given[int(np.argmax(behind))] += 1
    return given


def _reference(
    backbone: Backbone,
    plan: FreezePlan,
    train: Part,
    device: torch.device,
    should_stop: Callable[[], bool],
) -> NDArray[np.float32]:
    """Features of the training part before any training, shape (n, d)."""
    if train.features is not None and plan.start == "pretrained":
        found = train.features
    else:

        def check() -> None:
            if should_stop():
                raise OutOfTimeError("The budget ended.")

        backbone.module.eval()
        found = pooled(backbone.features, train.rows, train.positions, device, check)
    if not all(np.isfinite(block).all() for block in blocks(found)):
        raise DivergedError(
            "Every feature must be finite, but some of the training part are not. Leave this "
            "backbone out."
        )
    return found
