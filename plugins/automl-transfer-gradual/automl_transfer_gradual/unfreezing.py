"""Gradual unfreezing with discriminative learning rates (ULMFiT, arXiv:1801.06146)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from automl_transfer.plan import FreezePlan, Phase, StageView
from automl_transfer.space import Scalar
from automl_transfer_gradual.grouping import grouped

HEAD = 3.0
"""Learning rate of the head in units of that of the last group, as in the built-in strategies."""


def plan(*, stages: Sequence[StageView], params: Mapping[str, Scalar]) -> FreezePlan:
    """Howard and Ruder, Universal Language Model Fine-tuning for Text Classification, 2018.

    The head trains alone, then the last group of stages with it, then the last two, and so on to
    the input (section 3.3, gradual unfreezing). From group to group towards the input the learning
    rate is divided by a factor, 2.6 in the paper (section 3.2, discriminative fine-tuning).

    There an epoch goes to each phase and the rest to the last. A plan has shares in place of
    epochs: the last phase, in which all trains, gets two and each one before it gets one, so that
    it is longer than the fall of the learning rate at the end, which the host spreads over the
    last 30 % of a training.
    """
    groups = grouped(stages, int(params["groups"]))
    factor = float(params["factor"])
    last = len(groups) - 1
    phases = []
    for first in range(last, -1, -1):
        trains = {
            stage.name: factor ** (place - last)
            for place in range(first, last + 1)
            for stage in groups[place]
        }
        phases.append(
            Phase(
                name=f"last-{len(groups) - first}-of-{len(groups)}",
                share=(1 if first else 2) / (len(groups) + 1),
                trains=trains,
            )
        )
    lr = float(params["lr"])
    return FreezePlan(
        phases=(Phase(name="head", share=0.0), *phases),
        lr=lr,
        head_lr=HEAD * lr,
        weight_decay=float(params["weight_decay"]),
    )
