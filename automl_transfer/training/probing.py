"""The phase in which the head alone trains, on frozen features."""

from __future__ import annotations

from collections.abc import Generator

import torch

from automl_transfer.plan import Phase
from automl_transfer.training import freeze
from automl_transfer.training.head import scores_of, train_head
from automl_transfer.training.inference import pooled
from automl_transfer.training.run import EpochReport, Run

REPORTS = 10
"""Reports of a head-only trial at the most."""


def probe(
    run: Run, frozen: torch.Tensor | None, phase: Phase
) -> Generator[EpochReport, None, None]:
    """Trains the head; reports only where the plan has nothing else to train.

    Args:
        run: The trial.
        frozen: Features of the training part before any training, shape (n, d); None where the
            backbone has moved.
        phase: Of the plan.
    """
    alone = not run.plan.trains_backbone
    network = run.model.network
    applied = freeze.AppliedPhase(network, run.stages, phase)
    before = freeze.fingerprints(network, applied.frozen)
    applied.switch()
    if frozen is None or not run.original:
        run.model.eval()
        values = pooled(
            run.model.features, run.train.rows, run.train.positions, run.device, run.check_time
        )
        frozen = torch.from_numpy(values).to(run.device)
    parameters = [tensor for tensor in run.model.head.parameters() if tensor.requires_grad]
    if run.closed_form or not parameters:
        last, loss = 1, _loss(run, frozen)
    else:
        last, loss = run.settings.head_epochs, float("nan")
        every = -(-last // REPORTS)
        run.model.head.train()
        losses = train_head(
            run.model.classify,
            parameters,
            frozen,
            run.learned,
            link=run.model.link,
            epochs=last,
            batch_size=run.settings.head_batch_size,
            lr=run.head_lr,
            weight_decay=run.head_weight_decay,
            label_smoothing=run.settings.label_smoothing,
            class_weights=run.weights,
            seed=run.settings.seed,
            check_time=run.check_time,
        )
        for epoch, loss in enumerate(losses, start=1):
            if alone and epoch % every == 0 and epoch < last:
                yield from run.report(epoch, last, loss)
                run.model.head.train()
    run.checked = freeze.verify(network, before)
    if alone:
        yield from run.report(last, last, loss)


def _loss(run: Run, features: torch.Tensor) -> float:
    run.model.head.eval()
    scores = scores_of(run.model.classify, features)
    return float(run.model.link.loss(scores, run.learned.cpu()))
