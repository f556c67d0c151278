"""Which trials are trained again before one of them is recommended."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from automl_transfer.comparison import compare
from automl_transfer.outcome import Outcome
from automl_transfer.stages.context import Context
from automl_transfer.stages.costs import ruled_out

T = TypeVar("T")

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
        and context.view_of(row.configuration) is not None
    ]


def choose_finalists(context: Context, best: Sequence[Outcome]) -> list[Outcome]:
    """The best three, and of those that cannot be told from the best, the cheapest: five at most.

    Of trials that differ in their hyper-parameters alone only the best takes part: they would
    fill the table with the same model, and cost what a different one would.

    Args:
        context: Of the search.
        best: Usable trials, best first.
    """
    different = [
        row
        for row in of_different_kinds(best, kind)[: 2 * LOOKED_AT]
        if ruled_out(context, row, f"trial {row.number} ({row.configuration.title})") is None
    ][:LOOKED_AT]
    if not different:
        return []
    return shortlist(
        different,
        _tied(context, different),
        lambda row: context.candidates[row.configuration.backbone].seconds_per_sample,
    )


def of_different_kinds(best: Sequence[T], kind: Callable[[T], Hashable]) -> list[T]:
    """The best of each kind, in their order."""
    kinds: dict[Hashable, T] = {}
    for row in best:
        kinds.setdefault(kind(row), row)
    return list(kinds.values())


def shortlist(different: Sequence[T], tied: Sequence[bool], cost: Callable[[T], float]) -> list[T]:
    """The best three, and the cheapest of the others that are tied with the best: five at most.

    Args:
        different: At most :data:`LOOKED_AT` of different kinds, best first.
        tied: Which of them the validation part cannot tell from the best.
        cost: Of one.
    """
    others = [
        row
        for place, (row, level) in enumerate(zip(different, tied, strict=True))
        if level and place >= LEAST
    ]
    return [*different[:LEAST], *sorted(others, key=cost)[: MOST - LEAST]]


def kind(row: Outcome) -> Hashable:
    """What differs between finalists: hyper-parameters alone do not count."""
    chosen = row.configuration
    return chosen.backbone, chosen.head, chosen.strategy


def _tied(context: Context, rows: Sequence[Outcome]) -> list[bool]:
    """Which of them the validation part cannot tell from the best; all where that is not known."""
    targets = context.dataset.targets[context.splits.val]
    stored = {row.number: context.files.read_predictions(row.number) for row in rows}
    known = [
        row
        for row in rows
        if (found := stored[row.number]) is not None and len(found) == len(targets)
    ]
    if len(known) < 2 or known[0] is not rows[0]:
        return [True] * len(rows)
    compared = compare(
        [stored[row.number] for row in known],  # type: ignore[misc]
        targets,
        context.task.metric,
        seed=context.request.seed,
        groups=context.splits.units[context.splits.val],
    )
    tied = {row.number for row, one in zip(known, compared.contenders, strict=True) if one.tied}
    return [row.number in tied for row in rows]
