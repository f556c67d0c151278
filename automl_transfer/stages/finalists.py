"""Which trials are trained again before one of them is recommended."""

from __future__ import annotations

from collections.abc import Sequence

from automl_transfer.comparison import compare
from automl_transfer.outcome import Outcome
from automl_transfer.stages.context import Context
from automl_transfer.stages.costs import ruled_out

LEAST = 3
"""Finalists, if there are as many different ones."""
MOST = 5
LOOKED_AT = 12
"""Of the best, among which those are sought that cannot be told from the best one."""


def usable(context: Context, best: Sequence[Outcome]) -> list[Outcome]:
    """Finished trials all of whose parts can be had now, in their order."""
    heads = {card.id for card in context.heads}
    strategies = {card.id for card in context.strategies}
    return [
        row
        for row in best
        if row.number not in context.failed_again
        and row.configuration.backbone in context.candidates
        and row.configuration.head in heads
        and row.configuration.strategy in strategies
    ]


def choose_finalists(context: Context, best: Sequence[Outcome]) -> list[Outcome]:
    """The best three, and of those that cannot be told from the best, the cheapest: five at most.

    Of trials that differ in their hyper-parameters alone only the best takes part: they would
    fill the table with the same model, and cost what a different one would.

    Args:
        context: Of the search.
        best: Usable trials, best first.
    """
    kinds: dict[tuple[str, str, str], Outcome] = {}
    for row in best:
        chosen = row.configuration
        kinds.setdefault((chosen.backbone, chosen.head, chosen.strategy), row)
    sought = list(kinds.values())[: 2 * LOOKED_AT]
    different = [
        row
        for row in sought
        if ruled_out(context, row, f"trial {row.number} ({row.configuration.title})") is None
    ][:LOOKED_AT]
    others = _tied(context, different)[LEAST:] if different else []
    others.sort(key=lambda row: context.candidates[row.configuration.backbone].seconds_per_sample)
    return [*different[:LEAST], *others[: MOST - LEAST]]


def _tied(context: Context, rows: Sequence[Outcome]) -> list[Outcome]:
    """The first rows, and those that the validation part cannot tell from the best."""
    targets = context.dataset.targets[context.splits.val]
    stored = {row.number: context.files.read_predictions(row.number) for row in rows}
    known = [
        row
        for row in rows
        if (found := stored[row.number]) is not None and len(found) == len(targets)
    ]
    if len(known) < 2 or known[0] is not rows[0]:
        return list(rows)
    compared = compare(
        [stored[row.number] for row in known],  # type: ignore[misc]
        targets,
        context.task.metric,
        seed=context.request.seed,
        groups=context.splits.units[context.splits.val],
    )
    tied = {row.number for row, one in zip(known, compared.contenders, strict=True) if one.tied}
    return [row for place, row in enumerate(rows) if place < LEAST or row.number in tied]
