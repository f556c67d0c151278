"""The phase in which stages of the backbone train together with the head."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from automl_transfer.errors import DivergedError, TrialError
from automl_transfer.plan import Phase
from automl_transfer.training import adapters, freeze
from automl_transfer.training.device import autocast, needs_scaler, to_device
from automl_transfer.training.run import EpochReport, Run
from automl_transfer.training.schedule import factor

CLIP = 1.0
"""Largest norm of the gradient."""


def fine_tune(
    run: Run, phase: Phase, epochs: int, total: int
) -> Generator[EpochReport, None, None]:
    """Trains what the phase names, with a report after each epoch, and proves the rest unmoved.

    Args:
        run: The trial.
        phase: Of the plan.
        epochs: Of this phase.
        total: Epochs of all phases that train stages.

    Raises:
        FreezeViolationError: A frozen tensor has moved.
        TrialError: There is nothing to train.
    """
    network = run.model.network
    applied = freeze.AppliedPhase(network, run.stages, phase)
    before = freeze.fingerprints(network, applied.frozen)
    applied.switch()
    tuned = None
    if phase.adapter is not None:
        multipliers = {name: applied.multiplier(name) for name in applied.tensors}
        tuned = adapters.insert(network, phase.adapter, multipliers)
        network.to(run.device)
        groups = adapters.groups(network, run.plan.lr, multipliers)
    else:
        groups = applied.groups(run.plan.lr, run.plan.weight_decay)
    if not groups:
        raise TrialError(
            f"Phase {phase.name!r} must train at least one tensor, but {phase.tensors!r} finds "
            f"none in {', '.join(phase.trains)}. Choose another strategy for this backbone."
        )
    run.trained = max(run.trained, sum(p.numel() for group in groups for p in group["params"]))
    run.original = False

    def switch() -> None:
        if tuned is None:
            applied.switch()
        else:
            adapters.switch(network)
        run.model.head.train()

    for loss in _epoch_losses(run, [*groups, _head_group(run)], epochs, switch):
        run.epoch += 1
        yield from run.report(run.epoch, total, loss)
    if tuned is None:
        run.checked = freeze.verify(network, before)
    else:
        run.checked = _verify_base(network, before)
        adapters.merge(tuned)


def _verify_base(network: nn.Module, before: dict[str, str]) -> int:
    present = {name for name, _ in (*network.named_parameters(), *network.named_buffers())}
    moved_to = {name: adapters.base_name(name, present) for name in before}
    after = freeze.fingerprints(network, list(moved_to.values()))
    freeze.compare(before, {name: after[place] for name, place in moved_to.items()})
    return len(before)


def _head_group(run: Run) -> dict[str, Any]:
    head = [parameter for parameter in run.model.head.parameters() if parameter.requires_grad]
    return {"params": head, "base_lr": run.plan.head_lr, "weight_decay": run.head_weight_decay}


def _epoch_losses(
    run: Run, groups: list[dict[str, Any]], epochs: int, switch: Callable[[], None]
) -> Generator[float, None, None]:
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=run.plan.lr)
    scaler = torch.amp.GradScaler(run.device.type, enabled=needs_scaler(run.device))
    order = np.random.default_rng([run.settings.seed, run.epoch])
    view = torch.Generator().manual_seed(run.settings.seed + run.epoch)
    n = len(run.train.positions)
    # Batch statistics of a single sample are no statistics: two to a batch at least.
    batches = max(1, min(math.ceil(n / run.settings.batch_size), n // 2))
    steps, step = epochs * batches, 0
    for _ in range(epochs):
        switch()
        losses = torch.zeros((), device=run.device)
        for chosen in np.array_split(order.permutation(n), batches):
            for group in optimizer.param_groups:
                group["lr"] = group["base_lr"] * factor(step, steps)
            loss = _loss(run, chosen, view)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(
                [p for group in optimizer.param_groups for p in group["params"]], CLIP
            )
            scaler.step(optimizer)
            scaler.update()
            losses += loss.detach() * len(chosen)
            step += 1
            run.check_time()
        mean = float(losses) / n
        if not math.isfinite(mean):
            raise DivergedError(
                f"The training loss must be finite, but is {mean} at lr {run.plan.lr:g}. A "
                "smaller learning rate may help."
            )
        yield mean


def _loss(run: Run, chosen: np.ndarray[Any, Any], view: torch.Generator) -> torch.Tensor:
    rows = run.train.rows
    batch = rows.encoder.batch(rows.rows(run.train.positions[chosen]), view)
    with autocast(run.device):
        logits = run.model(to_device(batch, run.device))
    return functional.cross_entropy(
        logits.float(),
        torch.from_numpy(run.train.labels[chosen]).to(run.device),
        weight=run.weights,
        label_smoothing=run.settings.label_smoothing,
    )
