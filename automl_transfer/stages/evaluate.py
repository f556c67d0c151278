"""What it takes to train a configuration on some samples of the data set."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.class_weights import weights_of
from automl_transfer.configuration import Configuration
from automl_transfer.stages.context import Bench, Candidate, Context
from automl_transfer.stages.following import sign_of_life
from automl_transfer.stages.frozen_features import feature_key
from automl_transfer.stages.head_building import LR, WEIGHT_DECAY, head_builder

if TYPE_CHECKING:
    from automl_transfer.training.run import EpochReport
    from automl_transfer.training.trial import TrialResult

Stop = Callable[[], bool]


def arguments(
    context: Bench,
    candidate: Candidate,
    configuration: Configuration,
    *,
    train_on: NDArray[np.int64],
    evaluate_on: NDArray[np.int64] | None,
    seed: int,
    should_stop: Stop,
    epochs: int = 0,
    steps: int | None = None,
) -> dict[str, Any]:
    """Keyword arguments that the trial in rungs and the one in one go share.

    Args:
        context: Of the search, or of a worker.
        candidate: The backbone of the configuration.
        configuration: What to train.
        train_on: Positions in the data set.
        evaluate_on: Likewise; None evaluates nothing.
        seed: Of the trial.
        should_stop: Looked at after each step.
        epochs: Of the phases that train stages, in one go.
        steps: Likewise, in place of ``epochs``.
    """
    from automl_transfer.training.run import Part, Settings

    def stop() -> bool:
        sign_of_life()
        return should_stop()

    registry = context.registry
    head_card = context.head(configuration.head)
    head_params = configuration.of("head", configuration.head)
    classes = context.task.target.outputs
    plan = registry.load(context.strategy(configuration.strategy))(
        stages=candidate.views, params=configuration.of("strategy", configuration.strategy)
    )
    encoder = context.encoder(candidate.card, configuration.of("modality", context.task.modality))
    rows = context.rows(encoder)

    def part(positions: NDArray[np.int64]) -> Part:
        return Part(
            rows=rows,
            positions=positions,
            targets=context.dataset.targets[positions],
            features=candidate.features_at(positions),
        )

    return {
        "stages": candidate.stages,
        "plan": plan,
        "head": head_builder(context, configuration),
        "head_lr": float(head_params.get("lr", LR)),
        "head_weight_decay": float(head_params.get("weight_decay", WEIGHT_DECAY)),
        "closed_form": head_card.closed_form,
        "link": context.link,
        "train": part(train_on),
        "evaluate": None if evaluate_on is None else part(evaluate_on),
        "settings": Settings(
            epochs=epochs,
            steps=steps,
            batch_size=int(configuration.params.get("training/batch_size", 32)),
            label_smoothing=float(
                configuration.params.get(
                    "training/label_smoothing", head_params.get("label_smoothing", 0.0)
                )
            ),
            class_weights=weights_of(configuration, context.dataset.targets[train_on], classes),
            seed=seed,
        ),
        "device": context.device,
        "should_stop": stop,
        "activations": context.activations.of_backbone(
            feature_key(context, candidate.card, candidate.weights, encoder)
        ),
        "compile": context.request.compile,
    }


def train(
    context: Context,
    candidate: Candidate,
    configuration: Configuration,
    *,
    train_on: NDArray[np.int64],
    evaluate_on: NDArray[np.int64] | None,
    seed: int,
    should_stop: Stop,
    epochs: int,
    steps: int | None = None,
) -> Generator[EpochReport, None, TrialResult]:
    """Trains a configuration in one go; see :func:`arguments`."""
    from automl_transfer.training.trial import run_trial

    options = arguments(
        context,
        candidate,
        configuration,
        train_on=train_on,
        evaluate_on=evaluate_on,
        seed=seed,
        should_stop=should_stop,
        epochs=epochs,
        steps=steps,
    )
    return run_trial(backbone=candidate.build(), **options)
