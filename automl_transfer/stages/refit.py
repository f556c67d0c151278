"""The winner's model: trained again on all development data, or as its trial left it."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automl_transfer.errors import TrialError
from automl_transfer.events import Event, Progress
from automl_transfer.generators import ended
from automl_transfer.jsonable import to_json
from automl_transfer.outcome import Outcome
from automl_transfer.stages.again import again_seconds
from automl_transfer.stages.checkpoint import kept
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.evaluate import train
from automl_transfer.stages.head_building import head_builder

if TYPE_CHECKING:
    from automl_transfer.training.model import TransferModel

MARGIN = 1.3
"""The refit is begun only if this many times its predicted time is left."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """The trained winner."""

    model: TransferModel
    refitted: bool
    reason: str


def needed(context: Context, row: Outcome) -> float:
    """Seconds that must be left for a trial's configuration to be trained on all of it."""
    return MARGIN * again_seconds(context, row, len(context.splits.development))


def make_model(
    context: Context, winner: Outcome, candidate: Candidate, end: float
) -> Generator[Event, None, Made]:
    """Refits the winner on train and validation if the time allows it, else restores it.

    Args:
        context: Of the search.
        winner: The trial that is recommended.
        candidate: Its backbone.
        end: Seconds to leave for what follows.
    """
    train_size, development = len(context.splits.train), len(context.splits.development)
    wanted, left = needed(context, winner), context.watch.left - end
    restored = kept(context, winner.number)
    if wanted > left and restored is not None:
        reason = (
            f"restored as trial {winner.number} left it, trained on the training part only: "
            f"training it again on all development data needs about {wanted:.0f} s, "
            f"and {max(0.0, left):.0f} s of the budget were left"
        )
        return _restore(context, candidate, winner, restored, reason)
    yield Progress(what="training the winner on all development data", done=0, total=1)
    started = time.monotonic()
    run = train(
        context,
        candidate,
        winner.configuration,
        train_on=context.splits.development,
        evaluate_on=None,
        epochs=winner.epochs,
        steps=round(winner.steps * development / train_size) or None,
        seed=winner.seed,
        should_stop=lambda: restored is not None and context.watch.left < end,
    )
    try:
        result = ended(run)
    except TrialError:
        if restored is None:
            raise
        reason = f"restored as trial {winner.number} left it: training it again was broken off"
        return _restore(context, candidate, winner, restored, reason)
    return Made(
        model=result.model,
        refitted=True,
        reason=(
            f"trained again on train and validation together ({development} samples, "
            f"{time.monotonic() - started:.1f} s)"
        ),
    )


def _restore(
    context: Context, candidate: Candidate, winner: Outcome, file: Path, reason: str
) -> Made:
    from automl_transfer.training.model import TransferModel
    from automl_transfer.training.model_file import load_state

    head = head_builder(context, winner.configuration)(candidate.width)
    model = TransferModel(candidate.build(), head, candidate.width, context.link)
    load_state(file, model)
    return Made(model=model, refitted=False, reason=reason)


def write_model(
    context: Context,
    model: TransferModel,
    winner: Outcome,
    candidate: Candidate,
    temperature: float,
) -> None:
    """Writes ``model/``: ``model.safetensors``, and ``model.json`` with all it takes to use it.

    Args:
        context: Of the search.
        model: Trained.
        winner: Whose model it is.
        candidate: Its backbone.
        temperature: Of the probabilities, as fitted on samples that the model had not seen; see
            :mod:`automl_transfer.tempering`.
    """
    from automl_transfer.training.model_file import save_model

    configuration = winner.configuration
    sha256 = save_model(context.files.model / "model.safetensors", model)
    context.files.write_json(
        f"{context.files.model.name}/model.json",
        {
            "schema": 1,
            "study": context.request.name,
            "trial": winner.number,
            "configuration": to_json(configuration),
            "classes": list(context.task.classes),
            "target": to_json(context.task.target),
            "modality": to_json(context.modality_card),
            "backbone": to_json(candidate.card),
            "head": to_json(context.head(configuration.head)),
            "width": candidate.width,
            "stage_outputs": to_json(candidate.read),
            "preprocessing": dict(candidate.card.input),
            "encoder": context.encoder(candidate.card).digest,
            "temperature": temperature,
            "sha256": sha256,
            "license": candidate.card.weights.license,
            "providers": dict(winner.providers),
        },
    )
