"""The winner's score where there is no test part, with what choosing it was worth taken off."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.comparison import compare
from automl_transfer.corrected import corrected
from automl_transfer.errors import NothingUsableError
from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import Interval
from automl_transfer.stages.context import Context, finished


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """A score of samples that were also used to choose."""

    probabilities: NDArray[np.float32]
    """Of the winner, as it predicted samples that it had not learnt from, shape (repeats, n, c).
    """
    value: float
    interval: Interval
    optimism: float
    """What was taken off for the choice."""
    method: str


def corrected_score(context: Context, winner: Outcome) -> Corrected:
    """From the fresh folds if the finalists went through them, else from the validation part."""
    confirmed = context.confirmed
    if confirmed is None:
        return _of_validation(context, winner)
    positions = confirmed.positions
    targets, metric, seed = _of(context, positions)
    if confirmed.compared is None:
        raise ValueError("The finalists are to be compared before the winner is scored.")
    found = corrected(
        confirmed.probabilities,
        targets,
        metric,
        seed,
        confirmed.compared,
        groups=context.splits.units[positions],
        rule=confirmed.rule,
    )
    place = [row.number for row in confirmed.rows].index(winner.number)
    times = "" if confirmed.repeats == 1 else f", {confirmed.repeats} times over"
    return Corrected(
        probabilities=confirmed.probabilities[place],
        value=found.value,
        interval=found.interval,
        optimism=found.optimism,
        method=(
            f"{confirmed.folds} folds{times}: each of {len(positions)} samples, on which no trial "
            "had been scored, was predicted by a model that had not seen it; corrected for the "
            f"choice among {len(confirmed.rows)} finalists"
        ),
    )


def _of_validation(context: Context, winner: Outcome) -> Corrected:
    positions = context.splits.val
    targets = context.dataset.targets[positions]
    numbers, stored = [], []
    for row in finished(context.outcomes):
        predicted = context.files.read_predictions(row.number)
        if predicted is not None and len(predicted) == len(targets):
            numbers.append(row.number)
            stored.append(predicted[np.newaxis])
    if winner.number not in numbers:
        raise NothingUsableError(
            f"What trial {winner.number} predicted must be among the study's files to score it, "
            "but it is missing or damaged. Repeat the search with another --study."
        )
    targets, metric, seed = _of(context, positions)
    groups = context.splits.units[positions]
    # Of the winner alone: all pairs of hundreds of trials are not needed, and take gigabytes.
    place = numbers.index(winner.number)
    alone = compare([stored[place]], targets, metric, seed, groups)
    found = corrected(stored, targets, metric, seed, alone, groups=groups)
    return Corrected(
        probabilities=stored[place],
        value=found.value,
        interval=found.interval,
        optimism=found.optimism,
        method=(
            f"the validation part ({len(targets)} samples), on which the trials were compared; "
            f"corrected for the choice among {len(stored)} trials"
        ),
    )


def _of(context: Context, positions: NDArray[np.int64]) -> tuple[NDArray[np.int64], str, int]:
    return context.dataset.targets[positions], context.task.metric, context.request.seed
