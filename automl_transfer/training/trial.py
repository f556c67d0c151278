"""Trains one configuration, phase by phase, and proves its freeze strategy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from automl_transfer.contracts import Backbone, Stage
from automl_transfer.errors import DivergedError, OutOfMemoryError
from automl_transfer.outcome import FreezeProof
from automl_transfer.plan import FreezePlan, Phase
from automl_transfer.training import adapters, freeze
from automl_transfer.training.device import (
    autocast,
    is_out_of_memory,
    needs_scaler,
    to_device,
)
from automl_transfer.training.head import OutOfTimeError, fit, train_head
from automl_transfer.training.model import TransferModel
from automl_transfer.training.reset import reset
from automl_transfer.training.rows import RowStore
from automl_transfer.training.schedule import factor

EVALUATION_BATCH = 64
CPU_EVALUATION_BATCH = 16
HEAD_REPORTS = 10
"""Reports of a head-only trial at the most."""
CLIP = 1.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long and in what steps."""

    epochs: int
    """Of the phases that train stages, together."""
    head_epochs: int = 30
    """Of each phase that trains the head alone."""
    batch_size: int = 32
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
class TrialResult:
    """A trained model, and the proof of its freeze strategy."""

    model: TransferModel
    probabilities: NDArray[np.float32]
    """Of the evaluated part after the last epoch, shape (n_eval, c); empty without one."""
    proof: FreezeProof
    epochs: int


@dataclass(kw_only=True)
class _Run:
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
    trained: int = 0
    probabilities: NDArray[np.float32] | None = None
    epoch: int = 0

    @property
    def labels(self) -> torch.Tensor:
        return torch.from_numpy(self.train.labels).to(self.device)

    @property
    def weights(self) -> torch.Tensor | None:
        given = self.settings.class_weights
        return None if given is None else torch.tensor(given, device=self.device)


def run_trial(
    *,
    backbone: Backbone,
    stages: Sequence[Stage],
    plan: FreezePlan,
    head: Callable[[int], nn.Module],
    head_lr: float,
    head_weight_decay: float,
    closed_form: bool,
    classes: int,
    train: Part,
    evaluate: Part | None,
    settings: Settings,
    device: torch.device,
    should_stop: Callable[[], bool] = lambda: False,
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
        head_weight_decay: Weight decay while only the head trains.
        closed_form: The head's ``fit`` is all the training it needs on frozen features.
        classes: Number of classes.
        train: To learn from.
        evaluate: To report on; None reports nothing.
        settings: Epochs, batch sizes, seed.
        device: Where to train.
        should_stop: Looked at after each step.

    Raises:
        DivergedError: Loss or predictions are not finite.
        OutOfMemoryError: The trial does not fit into memory.
        OutOfTimeError: ``should_stop`` said so.
        FreezeViolationError: A frozen tensor has moved.
        PluginError: The plan names unknown stages.
    """
    freeze.check_plan(plan, stages)
    torch.manual_seed(settings.seed)
    try:
        backbone.module.to(device)
        if plan.start == "scratch":
            reset(backbone.module, settings.seed)
        reference = None if plan.start == "scratch" else train.features
        if reference is None:
            reference = _features(backbone, train, device)
        width = reference.shape[1]
        model = TransferModel(backbone, head(width), width).to(device)
        frozen = torch.from_numpy(np.ascontiguousarray(reference)).to(device)
        model.scaler.fit(frozen)
        fit(model.head, model.scaler(frozen), torch.from_numpy(train.labels).to(device))
        run = _Run(
            model=model,
            stages=stages,
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
            original=plan.start == "pretrained",
        )
        epochs = _epochs(plan, settings)
        for phase, share in zip(plan.phases, epochs, strict=True):
            if phase.trains:
                yield from _train_stages(run, phase, share, sum(epochs))
            else:
                yield from _train_head(run, frozen, phase)
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise OutOfMemoryError(
                f"A batch of {settings.batch_size} does not fit into memory: {error}"
            ) from error
        raise
    except MemoryError as error:
        raise OutOfMemoryError("The machine's memory is used up.") from error
    total = sum(tensor.numel() for tensor in model.parameters())
    in_head = sum(tensor.numel() for tensor in model.head.parameters())
    empty = np.zeros((0, classes), dtype=np.float32)
    return TrialResult(
        model=model.eval(),
        probabilities=empty if run.probabilities is None else run.probabilities,
        proof=FreezeProof(
            trainable_parameters=run.trained + (0 if closed_form and not run.trained else in_head),
            total_parameters=total,
            frozen_tensors=run.checked,
        ),
        epochs=run.epoch,
    )


def _epochs(plan: FreezePlan, settings: Settings) -> list[int]:
    """Epochs of each phase: by share, at least one each where stages train."""
    return [
        max(1, round(phase.share * settings.epochs)) if phase.trains else 0
        for phase in plan.phases
    ]


def _train_head(
    run: _Run, frozen: torch.Tensor, phase: Phase
) -> Generator[EpochReport, None, None]:
    alone = not run.plan.trains_backbone
    everything = freeze.AppliedPhase(run.model.network, run.stages, phase)
    before = freeze.fingerprints(run.model.network, everything.frozen)
    everything.switch()
    run.model.head.train()
    if not run.original:
        frozen = torch.from_numpy(_features_of(run.model, run.train, run.device)).to(run.device)
    parameters = [
        parameter for parameter in run.model.head.parameters() if parameter.requires_grad
    ]
    loss = float("nan")
    if run.closed_form or not parameters:
        loss = _loss(run, frozen)
    else:
        scaled = run.model.scaler(frozen)
        every = max(1, run.settings.head_epochs // HEAD_REPORTS)
        losses = train_head(
            run.model.head,
            parameters,
            scaled,
            run.labels,
            epochs=run.settings.head_epochs,
            batch_size=run.settings.head_batch_size,
            lr=run.head_lr,
            weight_decay=run.head_weight_decay,
            label_smoothing=run.settings.label_smoothing,
            class_weights=run.weights,
            seed=run.settings.seed,
            should_stop=run.should_stop,
        )
        for epoch, loss in enumerate(losses, start=1):
            if alone and epoch % every == 0 and epoch < run.settings.head_epochs:
                yield from _report(run, epoch, run.settings.head_epochs, loss)
                run.model.head.train()
    run.checked = freeze.verify(run.model.network, before)
    if alone:
        last = 1 if run.closed_form else run.settings.head_epochs
        yield from _report(run, last, last, loss)


def _loss(run: _Run, features: torch.Tensor) -> float:
    run.model.head.eval()
    with torch.inference_mode():
        return float(functional.cross_entropy(run.model.classify(features), run.labels))


def _train_stages(
    run: _Run, phase: Phase, epochs: int, total: int
) -> Generator[EpochReport, None, None]:
    network = run.model.network
    applied = freeze.AppliedPhase(network, run.stages, phase)
    before = freeze.fingerprints(network, applied.frozen)
    applied.switch()
    tuned = None
    if phase.adapter is not None:
        held = {
            name: phase.trains[stage.name]
            for stage in run.stages
            if stage.name in phase.trains
            for name in stage.tensors
        }
        tuned = adapters.insert(network, phase.adapter, held)
        network.to(run.device)
    groups = _groups(run, phase, applied)
    run.trained = max(
        run.trained,
        sum(p.numel() for group in groups[:-1] for p in group["params"]),
    )
    run.original = False
    for loss in _epoch_losses(run, phase, applied, groups, epochs):
        run.epoch += 1
        yield from _report(run, run.epoch, total, loss)
    if tuned is not None:
        _check_base(network, before)
        adapters.merge(tuned)
        run.checked = max(run.checked, len(before))
    else:
        run.checked = freeze.verify(network, before)


def _check_base(network: nn.Module, before: dict[str, str]) -> None:
    """With adapters in, peft keeps a layer's own weights under ``base_layer``."""
    present = {
        *(name for name, _ in network.named_parameters()),
        *(name for name, _ in network.named_buffers()),
    }
    moved_to = {name: name if name in present else _inside_base(name) for name in before}
    after = freeze.fingerprints(network, list(moved_to.values()))
    freeze.compare({moved_to[name]: value for name, value in before.items()}, after)


def _inside_base(name: str) -> str:
    layer, tensor = name.rsplit(".", 1)
    return f"{layer}.base_layer.{tensor}"


def _groups(run: _Run, phase: Phase, applied: freeze.AppliedPhase) -> list[dict[str, object]]:
    """Parameter groups of AdamW; the last one is the head's."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    if phase.adapter is not None:
        for _, parameter in adapters.adapter_parameters(run.model.network):
            groups.setdefault((1.0, 0.0), []).append(parameter)
    else:
        for name, parameter in run.model.network.named_parameters():
            if name in applied.trainable:
                # Norm layers and biases have nothing to decay towards.
                decay = run.plan.weight_decay if parameter.dim() > 1 else 0.0
                groups.setdefault((applied.multiplier(name), decay), []).append(parameter)
    found: list[dict[str, object]] = [
        {"params": parameters, "base_lr": run.plan.lr * multiplier, "weight_decay": decay}
        for (multiplier, decay), parameters in groups.items()
    ]
    head = [parameter for parameter in run.model.head.parameters() if parameter.requires_grad]
    return [
        *found,
        {"params": head, "base_lr": run.plan.head_lr, "weight_decay": run.head_weight_decay},
    ]


def _epoch_losses(
    run: _Run,
    phase: Phase,
    applied: freeze.AppliedPhase,
    groups: list[dict[str, object]],
    epochs: int,
) -> Generator[float, None, None]:
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=run.plan.lr)
    scaler = torch.amp.GradScaler(run.device.type, enabled=needs_scaler(run.device))
    moving = [p for group in optimizer.param_groups for p in group["params"]]
    order = np.random.default_rng([run.settings.seed, run.epoch])
    view = torch.Generator().manual_seed(run.settings.seed + run.epoch)
    n, size = len(run.train.positions), run.settings.batch_size
    batches = max(1, math.ceil(n / size))
    steps, step = epochs * batches, 0
    for _ in range(epochs):
        _switch(run, phase, applied)
        permutation = order.permutation(n)
        losses = torch.zeros((), device=run.device)
        seen = 0
        for chosen in np.array_split(permutation, batches):
            if len(chosen) < 2 and n > 1:
                continue  # batch statistics of a single sample are no statistics
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * factor(step, steps)
            rows = run.train.rows
            batch = to_device(
                rows.encoder.batch(rows.rows(run.train.positions[chosen]), view), run.device
            )
            target = torch.from_numpy(run.train.labels[chosen]).to(run.device)
            with autocast(run.device):
                logits = run.model(batch)
            loss = functional.cross_entropy(
                logits.float(),
                target,
                weight=run.weights,
                label_smoothing=run.settings.label_smoothing,
            )
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(moving, CLIP)
            scaler.step(optimizer)
            scaler.update()
            losses += loss.detach() * len(chosen)
            seen += len(chosen)
            step += 1
            if run.should_stop():
                raise OutOfTimeError("The budget ended.")
        mean = float(losses) / max(1, seen)
        if not math.isfinite(mean):
            raise DivergedError(
                f"The training loss must be finite, but is {mean} at lr {run.plan.lr:g}."
            )
        yield mean


def _switch(run: _Run, phase: Phase, applied: freeze.AppliedPhase) -> None:
    if phase.adapter is None:
        applied.switch()
    else:
        run.model.network.eval()
        for name, child in run.model.network.named_modules():
            if "lora_dropout" in name:
                child.train()
    run.model.head.train()


def _report(run: _Run, epoch: int, epochs: int, loss: float) -> Generator[EpochReport, None, None]:
    if run.evaluate is None:
        return
    if run.original and run.evaluate.features is not None:
        frozen = torch.from_numpy(np.ascontiguousarray(run.evaluate.features)).to(run.device)
        run.model.head.eval()
        with torch.inference_mode():
            logits = run.model.classify(frozen)
        probabilities = logits.float().softmax(dim=1).cpu().numpy()
    else:
        probabilities = predict(run.model, run.evaluate.rows, run.evaluate.positions, run.device)
    if not np.isfinite(probabilities).all():
        raise DivergedError("Every predicted probability must be finite, but some are not.")
    run.probabilities = probabilities
    yield EpochReport(
        epoch=epoch,
        epochs=epochs,
        loss=loss,
        probabilities=probabilities,
        seconds=time.monotonic() - run.started,
    )


def predict(
    model: TransferModel, rows: RowStore, positions: NDArray[np.int64], device: torch.device
) -> NDArray[np.float32]:
    """Class probabilities of the plain view, shape (n, c). Puts the model into eval mode."""
    model.eval()
    found = []
    size = CPU_EVALUATION_BATCH if device.type == "cpu" else EVALUATION_BATCH
    for start in range(0, len(positions), size):
        chosen = rows.rows(positions[start : start + size])
        batch = to_device(rows.encoder.batch(chosen), device)
        with torch.inference_mode(), autocast(device):
            logits = model(batch)
        found.append(logits.float().softmax(dim=1).cpu().numpy())
    return np.concatenate(found) if found else np.zeros((0, 0), dtype=np.float32)


def _features(backbone: Backbone, part: Part, device: torch.device) -> NDArray[np.float32]:
    backbone.module.eval()
    return _pooled(backbone.features, part, device)


def _features_of(model: TransferModel, part: Part, device: torch.device) -> NDArray[np.float32]:
    model.eval()
    return _pooled(model.features, part, device)


def _pooled(
    features: Callable[[object], torch.Tensor], part: Part, device: torch.device
) -> NDArray[np.float32]:
    found = []
    size = CPU_EVALUATION_BATCH if device.type == "cpu" else EVALUATION_BATCH
    for start in range(0, len(part.positions), size):
        chosen = part.rows.rows(part.positions[start : start + size])
        with torch.inference_mode(), autocast(device):
            values = features(to_device(part.rows.encoder.batch(chosen), device))
        found.append(values.float().cpu().numpy())
    return np.concatenate(found)
