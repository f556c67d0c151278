"""One phase in which stages of the backbone train together with the head."""

from __future__ import annotations

import logging
import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from automl_transfer.contracts import FiniteViews
from automl_transfer.errors import TrialError
from automl_transfer.plan import Phase
from automl_transfer.training import adapters, freeze
from automl_transfer.training.boundary import Boundary, Uncut, find_boundary
from automl_transfer.training.compiling import Compiled
from automl_transfer.training.device import (
    autocast,
    give_back_memory,
    is_out_of_memory,
    needs_scaler,
    to_device,
)
from automl_transfer.training.feed import Encoded, Feed, Kept
from automl_transfer.training.run import Run
from automl_transfer.training.stages import tensor_names

_LOG = logging.getLogger(__name__)
CLIP = 1.0
"""Largest norm of the gradient."""
TRIED = 5
"""Samples on which a boundary is tried; a number that few other axes have."""


class PhaseTraining:
    """Gradients, modes, adapters and optimiser of a phase, from its first step to its proof."""

    def __init__(self, run: Run, phase: Phase, steps: int) -> None:
        """Prepares the network.

        Args:
            run: The trial.
            phase: Of the plan.
            steps: Of the phase, to judge what is worth keeping.

        Raises:
            TrialError: There is nothing to train.
        """
        network = run.model.network
        self._run = run
        self._applied = freeze.AppliedPhase(network, run.stages, phase)
        self.frozen = freeze.fingerprints(network, self._applied.frozen)
        self._applied.switch()
        self._tuned: Any = None
        if phase.adapter is not None:
            multipliers = {name: self._applied.multiplier(name) for name in self._applied.tensors}
            self._tuned = adapters.insert(network, phase.adapter, multipliers)
            network.to(run.device)
            groups = adapters.groups(network, run.plan.lr, multipliers)
            self.movable: set[str] = set()
        else:
            groups = self._applied.groups(run.plan.lr, run.plan.weight_decay)
            self.movable = set(tensor_names(network)) - set(self._applied.frozen)
        if not groups:
            raise TrialError(
                f"Phase {phase.name!r} must train at least one tensor, but {phase.tensors!r} "
                f"finds none in {', '.join(phase.trains)}. Choose another strategy for this "
                "backbone."
            )
        run.trained = max(run.trained, sum(p.numel() for group in groups for p in group["params"]))
        run.original = False
        head = [parameter for parameter in run.model.head.parameters() if parameter.requires_grad]
        last = {"params": head, "base_lr": run.plan.head_lr, "weight_decay": run.head_weight_decay}
        # One kernel for all tensors: three to five times as fast as a loop over them.
        self.optimizer = torch.optim.AdamW(
            [group for group in (*groups, last) if group["params"]],
            lr=run.plan.lr,
            fused=run.device.type in ("cpu", "cuda"),
        )
        self.scaler = torch.amp.GradScaler(run.device.type, enabled=needs_scaler(run.device))
        self._steps = steps
        self._parts = 1
        """Into which a batch is divided."""
        self._feed: Feed | None = None
        self._compiled: Compiled | None = None

    @property
    def feed(self) -> Feed:
        """Where its batches come from; from kept activations where that is sound and pays."""
        if self._feed is None:
            run = self._run
            boundary = self._boundary()
            if self._feed is None:
                self._feed = Encoded(
                    rows=run.train.rows,
                    positions=run.train.positions,
                    network=run.model.features,
                    device=run.device,
                )
            self._compiled = Compiled(run, boundary) if run.compile else None
            self.switch()
        return self._feed

    def switch(self) -> None:
        """Sets gradients and modes for training."""
        if self._tuned is None:
            self._applied.switch()
        else:
            adapters.switch(self._run.model.network)
        self._run.model.head.train()

    def step(self, chosen: np.ndarray[Any, Any], loaded: Any, factor: float) -> torch.Tensor:
        """One step of the optimiser; returns the loss, on the device.

        A batch that does not fit into memory goes through the network in halves, whose gradients
        are added up: the step is the same but for statistics of batches. Later batches are
        divided likewise.

        Args:
            chosen: Local indices of the samples.
            loaded: Of the feed.
            factor: Of the learning rates.
        """
        run = self._run
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * factor
        while (loss := self._tried(chosen, loaded)) is None:
            # Here the error is gone, and with it what its frames held.
            self.optimizer.zero_grad(set_to_none=True)
            give_back_memory(run.device)
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(
            [p for group in self.optimizer.param_groups for p in group["params"]], CLIP
        )
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss

    def _tried(self, chosen: np.ndarray[Any, Any], loaded: Any) -> torch.Tensor | None:
        """The loss of a batch, its gradients added up; None: it did not fit into memory, and is
        to be tried in smaller parts."""
        parts = min(self._parts, len(chosen))
        ends = [len(chosen) * place // parts for place in range(parts + 1)]
        self.optimizer.zero_grad(set_to_none=True)
        try:
            losses = []
            for start, end in pairwise(ends):
                places = slice(start, end)
                some = loaded if parts == 1 else self.feed.part(loaded, places)
                loss = self._loss(chosen[places], some) * ((end - start) / len(chosen))
                self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
                losses.append(loss.detach())
            return losses[0] if parts == 1 else torch.stack(losses).sum()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or parts == len(chosen):
                raise
        self._parts = 2 * parts
        self._run.notes.append(
            f"A batch of {len(chosen)} did not fit into memory: it is divided by {self._parts}."
        )
        return None

    def _loss(self, chosen: np.ndarray[Any, Any], loaded: Any) -> torch.Tensor:
        run = self._run
        if self._compiled is None:
            logits = self._logits(chosen, loaded)
        else:
            logits = self._compiled.first(lambda: self._logits(chosen, loaded))
        places = torch.from_numpy(chosen)
        if run.device.type == "cuda":
            places = places.pin_memory()
        loss: torch.Tensor = run.model.link.loss(
            logits.float(),
            run.learned[places.to(run.device, non_blocking=True)],
            class_weights=run.weights,
            label_smoothing=run.settings.label_smoothing,
        )
        return loss

    def leave(self) -> None:
        """Takes adapters out, and proves that what was frozen has not moved.

        Raises:
            FreezeViolationError: A frozen tensor has.
        """
        run = self._run
        run.kept = None
        if self._compiled is not None:
            self._compiled.undo()
        self.verify()
        run.moved |= self.movable
        if self._tuned is not None:
            run.moved |= self._applied.tensors
            adapters.merge(self._tuned)

    def verify(self) -> None:
        """Compares what is frozen with its fingerprints at the beginning.

        Raises:
            FreezeViolationError: A frozen tensor has moved.
        """
        network = self._run.model.network
        present = set(tensor_names(network))
        place = {name: adapters.base_name(name, present) for name in self.frozen}
        after = freeze.fingerprints(network, list(place.values()))
        freeze.compare(self.frozen, {name: after[place[name]] for name in self.frozen})
        self._run.checked = len(self.frozen)

    def _logits(self, chosen: np.ndarray[Any, Any], loaded: Any) -> torch.Tensor:
        with autocast(self._run.device):
            return self._run.model.classify(self.feed.features(chosen, loaded).float())

    def _boundary(self) -> Boundary | None:
        """Feeds the training and the evaluation from kept activations where it can."""
        run = self._run
        store = run.activations
        if store is None or run.plan.start == "scratch" or len(run.train.positions) < 2:
            return None
        rows = run.train.rows
        batch = rows.encoder.batch(rows.rows(run.train.positions[:TRIED]))
        found = find_boundary(
            run.backbone,
            run.stages,
            run.units,
            self.switch,
            to_device(batch, run.device),
            run.device,
        )
        if isinstance(found, Uncut):
            _LOG.debug("Activations are not kept: %s.", found.reason)
            return None
        passed = {n for s in run.stages if s.name in found.stages for n in s.tensors}
        if passed & run.moved:
            return None  # an earlier phase has changed what lies before the boundary
        views = rows.encoder.views if isinstance(rows.encoder, FiniteViews) else 0
        seen = self._steps * math.ceil(len(run.train.positions) / run.steps_per_epoch)
        cut = False
        if 0 < views * len(run.train.positions) <= seen:
            opened = store.open(
                boundary=found,
                rows=rows,
                positions=run.train.positions,
                views=views,
                device=run.device,
                check=run.check_time,
            )
            if opened is not None:
                self._feed = Kept(activations=opened, boundary=found, rows=rows, device=run.device)
                cut = True
        if run.evaluate is not None and len(run.evaluate.positions):
            opened = store.open(
                boundary=found,
                rows=run.evaluate.rows,
                positions=run.evaluate.positions,
                views=1,
                device=run.device,
                check=run.check_time,
            )
            if opened is not None:
                run.kept = Kept(
                    activations=opened,
                    boundary=found,
                    rows=run.evaluate.rows,
                    device=run.device,
                )
                cut = True
        return found if cut else None
