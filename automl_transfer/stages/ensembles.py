"""What an average of the finalists would be worth, beside the answer and never in its place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_transfer.comparison import compare
from automl_transfer.ensemble import greedy_ensemble
from automl_transfer.folds import random_folds
from automl_transfer.recommendation import Confirmation, Cost, Ensemble, Finalist
from automl_transfer.scoring import score
from automl_transfer.stages.confirm import Confirmed
from automl_transfer.stages.context import Context

HALVES = 2


def ensemble_or_note(context: Context, found: Confirmation | None) -> Ensemble | None:
    """As :func:`ensemble`; a failure is a note, and costs nothing else."""
    if found is None or context.confirmed is None:
        return None
    try:
        return ensemble(context, found, context.confirmed)
    except Exception as error:
        context.notes.append(f"An ensemble of the finalists could not be scored: {error}")
        return None


def ensemble(context: Context, found: Confirmation, confirmed: Confirmed) -> Ensemble | None:
    """The greedy ensemble of the finalists, scored on samples that its weights were not chosen by.

    The weights of each half of the samples are chosen by the other half, so that the score is
    that of an ensemble which has not seen them; the weights that are told are those of all.

    Args:
        context: Of the search.
        found: The finalists with their costs.
        confirmed: What they predicted on fresh folds.

    Returns:
        None if there is a single finalist, or one that outweighs all others.
    """
    if len(confirmed.rows) < 2:
        return None
    positions, metric = confirmed.positions, context.task.metric
    targets = context.dataset.targets[positions]
    stacked = np.stack(confirmed.probabilities)  # (f, repeats, n, c)
    numbers = [row.number for row in confirmed.rows]
    weights = greedy_ensemble(list(stacked), targets, metric)
    members = {
        number: float(weight)
        for number, weight in zip(numbers, weights, strict=True)
        if weight > 0
    }
    if len(members) < 2:
        return None
    groups = context.splits.units[positions]
    half = random_folds(context.dataset.labels[positions], HALVES, context.request.seed, groups)
    mixed: NDArray[np.float32] = np.zeros_like(stacked[0])
    for part in range(HALVES):
        chosen_by, scored = half != part, half == part
        if not chosen_by.any() or not scored.any():
            return None
        shares = greedy_ensemble(list(stacked[:, :, chosen_by]), targets[chosen_by], metric)
        mixed[:, scored] = np.tensordot(shares, stacked[:, :, scored], axes=1)
    winner = stacked[numbers.index(found.winner)]
    compared = compare(
        [mixed, winner],
        targets,
        metric,
        seed=context.request.seed,
        groups=groups,
    )
    latency, size = _cost(context, [one for one in found.finalists if one.number in members])
    return Ensemble(
        members=members,
        value=score(mixed, targets, metric),
        lead=compared.difference(0, 1),
        latency=latency,
        bytes=size,
    )


def _cost(context: Context, members: list[Finalist]) -> tuple[float | None, int | None]:
    """Seconds for a batch of one and bytes: a frozen backbone that members share counts once."""
    costs: dict[str, Cost] = {}
    for one in members:
        if one.cost is None:
            return None, None
        frozen = context.is_frozen(one.configuration)
        shared = one.configuration.backbone if frozen else f"trial {one.number}"
        known = costs.get(shared)
        if known is None or one.cost.latency > known.latency:
            costs[shared] = one.cost
    return sum(cost.latency for cost in costs.values()), sum(c.bytes for c in costs.values())
