"""The winner's score where there is no test part, with what choosing it was worth taken off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from automl_transfer.comparison import compare
from automl_transfer.corrected import Corrected as Unbiased
from automl_transfer.corrected import corrected
from automl_transfer.errors import NothingUsableError
from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import Interval
from automl_transfer.stages.context import Context, finished


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """A score of samples that were also used to choose."""

    probabilities: NDArray[np.float32]
    """Of the winner, as it predicted samples that it had not learnt from, shape (n, c)."""
    value: float
    interval: Interval
    method: str


def corrected_score(context: Context, winner: Outcome) -> Corrected:
    """From the fresh folds if the finalists went through them, else from the validation part."""
    confirmed = context.confirmed
    if confirmed is None:
        return _of_validation(context, winner)
    positions = confirmed.positions
    found = _corrected(context, confirmed.probabilities, positions, confirmed.cheapest_first)
    place = [row.number for row in confirmed.rows].index(winner.number)
    times = "" if confirmed.repeats == 1 else f", {confirmed.repeats} times over"
    return Corrected(
        probabilities=confirmed.probabilities[place].mean(axis=0),
        value=found.value,
        interval=found.interval,
        method=(
            f"{confirmed.folds} folds{times}: each of {len(positions)} samples, on which no trial "
            "had been scored, was predicted by a model that had not seen it; corrected for the "
            f"choice among {len(confirmed.rows)} finalists"
        ),
    )


def _of_validation(context: Context, winner: Outcome) -> Corrected:
    positions = context.splits.val
    labels = context.dataset.labels[positions]
    numbers, stored = [], []
    for row in finished(context.outcomes):
        predicted = context.files.read_predictions(row.number)
        if predicted is not None and len(predicted) == len(labels):
            numbers.append(row.number)
            stored.append(predicted[np.newaxis])
    if winner.number not in numbers:
        raise NothingUsableError(
            f"What trial {winner.number} predicted must be among the study's files to score it, "
            "but it is missing or damaged. Repeat the search with another --study."
        )
    found = _corrected(context, stored, positions, None)
    return Corrected(
        probabilities=stored[numbers.index(winner.number)][0],
        value=found.value,
        interval=found.interval,
        method=(
            f"the validation part ({len(labels)} samples), on which the trials were compared; "
            f"corrected for the choice among {len(stored)} trials"
        ),
    )


def _corrected(
    context: Context,
    probabilities: Sequence[NDArray[np.float32]],
    positions: NDArray[np.int64],
    prefer: Sequence[int] | None,
) -> Unbiased:
    labels, metric = context.dataset.labels[positions], context.task.metric
    seed, groups = context.request.seed, context.splits.units[positions]
    compared = compare(probabilities, labels, metric, seed, groups)
    most = context.request.tolerance / 100
    # As good as the best is who is within the tolerance as well.
    narrowed = replace(
        compared,
        margins=np.minimum(compared.margins, most),
        contenders=tuple(
            replace(one, tied=one.tied and compared.differences[compared.best, place] <= most)
            for place, one in enumerate(compared.contenders)
        ),
    )
    return corrected(probabilities, labels, metric, seed, narrowed, prefer, groups)
