"""Builds the head of a configuration, and trains iterative ones together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Sequence
from typing import TYPE_CHECKING

from automl_transfer.class_weights import weights_of
from automl_transfer.configuration import Configuration
from automl_transfer.stages.context import Bench

if TYPE_CHECKING:
    from torch import nn

    from automl_transfer.training.frozen import FrozenFeatures
    from automl_transfer.training.packed import HeadReport, HeadResult, HeadRun

LR, WEIGHT_DECAY = 1e-2, 1e-4
"""Of a head that has no such parameters."""

HEAD_EPOCHS = 30
"""Of a head on frozen features."""


def head_builder(context: Bench, configuration: Configuration) -> Callable[[int], nn.Module]:
    """What makes a configuration's head, untrained, from the width of its features."""
    factory = context.registry.load(context.head(configuration.head))
    params = configuration.of("head", configuration.head)
    classes = context.task.target.outputs
    return lambda width: factory(width=width, classes=classes, params=params)


def class_weights(
    context: Bench, configuration: Configuration, data: FrozenFeatures
) -> tuple[float, ...] | None:
    """Weights of the classes for a head that learns from ``data``; None: all alike."""
    return weights_of(configuration, data.targets, context.task.target.outputs)


def head_run(
    context: Bench,
    configuration: Configuration,
    build: Callable[[], nn.Module],
    data: FrozenFeatures,
    seed: int,
) -> HeadRun:
    """What is asked of an iterative head; raises what ``build`` raises."""
    from automl_transfer.training.frozen import seeded
    from automl_transfer.training.packed import HeadRun

    head = seeded(build, seed)
    params = configuration.of("head", configuration.head)
    return HeadRun(
        build=lambda: head,
        lr=float(params.get("lr", LR)),
        weight_decay=float(params.get("weight_decay", WEIGHT_DECAY)),
        label_smoothing=float(params.get("label_smoothing", 0.0)),
        class_weights=class_weights(context, configuration, data),
    )


def train_together(
    context: Bench,
    runs: Sequence[HeadRun],
    data: FrozenFeatures,
    *,
    seed: int,
    should_stop: Callable[[], bool],
) -> Generator[list[HeadReport], Collection[int] | None, list[HeadResult]]:
    """Trains heads on frozen features; see :func:`.packed.train_heads`."""
    from automl_transfer.training.packed import train_heads

    return train_heads(
        runs=runs,
        features=data.train,
        targets=data.targets,
        evaluate_features=data.evaluate,
        link=context.link,
        epochs=HEAD_EPOCHS,
        seed=seed,
        device=context.device,
        should_stop=should_stop,
    )
