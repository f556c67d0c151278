"""The winner's score where there is no test part, with what choosing it was worth taken off."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from automl_transfer.comparison import compare
from automl_transfer.corrected import corrected
from automl_transfer.errors import NothingUsableError
from automl_transfer.metrics import is_share
from automl_transfer.outcome import Outcome, beaten, finished
from automl_transfer.recommendation import Interval
from automl_transfer.stages.confirm import Confirmed
from automl_transfer.stages.context import Context

AMONG = 500
"""Trials, the best ones, among which the choice is made again; worse ones hardly ever win it."""


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
    gain: float | None = None
    """What was added for the samples that were withheld; None: it was not measured."""
    method: str


def corrected_score(context: Context, winner: Outcome, learnt: int) -> Corrected:
    """From the fresh folds if the finalists went through them, else from the validation part.

    Args:
        context: Of the search.
        winner: The trial.
        learnt: Samples that the delivered model has learnt from.
    """
    confirmed = context.confirmed
    if confirmed is None:
        return _of_validation(context, winner)
    positions = confirmed.positions
    targets, metric, seed = _of(context, positions)
    if confirmed.compared is None or confirmed.rule is None:
        raise ValueError("The finalists are to be compared before the winner is scored.")
    share = learnt / len(context.splits.development)
    withheld = confirmed.withheld and replace(confirmed.withheld, delivered_share=share)
    found = corrected(
        confirmed.probabilities,
        targets,
        metric,
        seed,
        confirmed.compared,
        rule=confirmed.rule,
        groups=context.splits.units[positions],
        withheld=withheld,
    )
    place = [row.number for row in confirmed.rows].index(winner.number)
    times = "" if confirmed.repeats == 1 else f", {confirmed.repeats} times over"
    return Corrected(
        probabilities=confirmed.probabilities[place],
        value=found.value,
        interval=found.interval,
        optimism=found.optimism,
        gain=found.gain,
        method=(
            f"{confirmed.folds} folds{times}: each of {len(positions)} samples, on which no trial "
            "had been scored, was predicted by a model that had not seen it; corrected for the "
            f"choice among {len(confirmed.rows)} finalists"
            f"{_added(context, found.gain, confirmed, share)}"
        ),
    )


def _added(context: Context, gain: float | None, confirmed: Confirmed, share: float) -> str:
    """What was added since the delivered model has learnt from more than those of the folds."""
    own = confirmed.learnt / len(context.splits.development)
    whole = "all" if share == 1 else f"{100 * share:.0f} %"
    said = (
        f"each of these models had learnt from {100 * own:.0f} % of the samples, the delivered "
        f"one from {whole}"
    )
    if gain is None:
        return f"; {said}: what that changes was not measured, and is not counted"
    size = f"{100 * gain:+.1f} points" if is_share(context.task.metric) else f"{gain:+.3f}"
    return f"; {size}, since {said}, by what the finalists lost with half of them withheld"


def _of_validation(context: Context, winner: Outcome) -> Corrected:
    positions = context.splits.val
    numbers, stored = [], []
    ended = finished(context.outcomes)
    others = [row for row in ended if row.number != winner.number]
    for row in [winner, *others, *beaten(context.outcomes, ended[0])][:AMONG]:
        predicted = context.predictions(row.number)
        if predicted is not None:
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
