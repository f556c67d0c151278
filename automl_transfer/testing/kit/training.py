"""Trains a member for a few steps on made-up samples, as the product would."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from automl_transfer.cards import HeadCard, StrategyCard
from automl_transfer.generators import ended
from automl_transfer.space import Scalar, Space
from automl_transfer.target import Target
from automl_transfer.testing.kit.checking import Subject
from automl_transfer.testing.kit.inputs import CLASSES
from automl_transfer.training.link import Link, link_of
from automl_transfer.training.model import TransferModel
from automl_transfer.training.run import Part, Settings
from automl_transfer.training.stages import stage_views, stages_of
from automl_transfer.training.trial import TrialResult, run_trial

CPU = torch.device("cpu")
GUESS = math.log(CLASSES)
"""Loss of a guess among the made-up classes."""
BETTER = 0.98
"""Of that: more is a guess, too, but for rounding."""


def link() -> Link:
    """Of the made-up classes."""
    return link_of(Target(names=tuple(f"class{place}" for place in range(CLASSES))))


def trained(
    subject: Subject,
    network: Any,
    strategy: str | StrategyCard,
    *,
    steps: int,
    backbone: Subject | None = None,
    head: HeadCard | None = None,
    params: Mapping[str, Scalar] | None = None,
) -> TrialResult:
    """A trial on all made-up samples.

    Args:
        subject: The member, for its registry and seed.
        network: A built backbone.
        strategy: Id of a freeze strategy, or its card.
        steps: Of the optimiser, where stages train; 30 epochs of the head in any case.
        backbone: Whose network it is; ``subject`` when None.
        head: ``linear`` when None.
        params: Of the strategy; its defaults when None.
    """
    owner, registry = backbone or subject, subject.registry
    card = strategy if isinstance(strategy, StrategyCard) else registry.strategy(strategy)
    head = head or registry.head("linear")
    head_params = Space(head.space).defaults()
    stages = stages_of(network, owner.card)  # type: ignore[arg-type]
    values = Space(card.space).defaults() if params is None else params
    plan = registry.load(card)(stages=stage_views(network.module, stages), params=values)
    samples = owner.inputs.dataset.samples
    part = Part(
        rows=owner.inputs.rows,
        positions=np.arange(len(samples)),
        targets=np.array([sample.label for sample in samples]),
    )
    run = run_trial(
        backbone=network,
        stages=stages,
        plan=plan,
        head=lambda width: registry.load(head)(width=width, classes=CLASSES, params=head_params),
        head_lr=float(head_params.get("lr", 1e-2)),
        head_weight_decay=float(head_params.get("weight_decay", 1e-4)),
        closed_form=head.closed_form,
        link=link(),
        train=part,
        evaluate=None,
        settings=Settings(
            epochs=steps, steps=steps, head_epochs=30, batch_size=6, seed=subject.seed
        ),
        device=CPU,
    )
    return ended(run)


def loss_of(owner: Subject, model: TransferModel) -> float:
    """Mean loss of a model on the made-up samples of a backbone.

    Args:
        owner: The backbone.
        model: Trained.
    """
    labels = torch.tensor([sample.label for sample in owner.inputs.dataset.samples])
    model.eval()
    with torch.inference_mode():
        features = model.features(owner.inputs.batch()).float()
        return float(link().loss(model.classify(features), labels))
