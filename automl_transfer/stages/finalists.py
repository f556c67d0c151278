"""Which trials are trained again before one of them is recommended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from automl_transfer.comparison import compare
from automl_transfer.corrected import of_choices
from automl_transfer.grouping import grouped
from automl_transfer.metrics import by_column
from automl_transfer.outcome import Outcome, beaten, finished, value_of
from automl_transfer.stages.context import Context
from automl_transfer.stages.costs import ruled_out

T = TypeVar("T")

LEAST = 3
"""Finalists, if there are as many different ones."""
MOST = 5
LOOKED_AT = 12
"""Of the kinds that are worth most, among which those are sought that cannot be told from the best
of the validation part."""
CHOSEN_FROM = 32
"""Trials of a kind, the best ones, whose choice is made again; of more, luck is left over."""
RESAMPLES = 200
"""In which it is made again."""
NUMBERS = 400_000_000
"""Predictions in all resamples, at the most; it takes some seconds of a core then. Of many samples
fewer trials of a kind are looked at: luck moves little there."""
BYTES = 1 << 29
"""Of predictions that are read for it."""
LEAST_CHOSEN_FROM = 4
"""Of fewer, it is not made again."""


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


def contenders(context: Context, best: Sequence[Outcome]) -> list[Outcome]:
    """The best trial of each kind, those first whose kind is worth most.

    What a kind is worth is not the best value that one of its trials had on the validation part:
    of twenty tuned heads that is some points too good by luck, of a head by a formula, of which
    there is one trial, it is not (:func:`automl_transfer.corrected.of_choices`). Of trials that
    differ in their hyper-parameters alone only the best takes part: they would fill the table with
    the same model, and cost what a different one would.

    Args:
        context: Of the search.
        best: Usable trials, best first.
    """
    found = [
        rows
        for rows in grouped(best, lambda row: row.configuration.kind)[: 2 * LOOKED_AT]
        if ruled_out(context, rows[0], f"trial {rows[0].number} ({rows[0].configuration.title})")
        is None
    ]
    return by_worth([rows[0] for rows in found], _worth(context, found))


def by_worth(items: Sequence[T], worth: Sequence[float]) -> list[T]:
    """Items, those first that are worth most; of equals, in their order."""
    order = sorted(range(len(items)), key=lambda place: -worth[place])
    return [items[place] for place in order]


def choose_finalists(context: Context, ranked: Sequence[Outcome]) -> list[Outcome]:
    """Those worth most, the best of the validation part, and the cheapest of its equals.

    Args:
        context: Of the search.
        ranked: What :func:`contenders` found, in its order.
    """
    if not ranked:
        return []
    best = leader(ranked)
    different = [row for row in ranked[:LOOKED_AT] if row is not best]
    level = _tied(context, [best, *different])
    return shortlist(
        ranked,
        best,
        [row for row in different if row.number in level],
        lambda row: context.candidates[row.configuration.backbone].seconds_per_sample,
    )


def shortlist(
    ranked: Sequence[T], best: T, level: Sequence[T], cost: Callable[[T], float]
) -> list[T]:
    """Three for what they are worth; of the best and its equals as many as make five.

    Args:
        ranked: By what they are worth.
        best: Of the validation part, one of them.
        level: Others that the validation part cannot tell from it.
        cost: Of one; the cheapest of ``level`` come first.
    """
    first = list(ranked[:LEAST])
    others = [best, *sorted(level, key=cost)]
    return [*first, *[one for one in others if one not in first][: MOST - LEAST]]


def leader(rows: Sequence[Outcome]) -> Outcome:
    """The best of them on the validation part."""
    return finished(rows)[0]


def _worth(context: Context, kinds: Sequence[Sequence[Outcome]]) -> list[float]:
    """Of each kind, from its finished trials, best first: what its best is worth on other samples.

    It was chosen among those as well that were stopped early: these count as they were then. The
    plain values where predictions of finished trials are not kept, or where it would take long.
    """
    values = [value_of(rows[0]) for rows in kinds]
    if len(kinds) < 2:
        return values
    among = [
        [*rows, *beaten((row for row in context.outcomes if _alike(row, rows[0])), rows[0])]
        for rows in kinds
    ]
    most = _most(context, [len(rows) for rows in among])
    if most < LEAST_CHOSEN_FROM:
        return values
    pools = []
    for rows in among:
        pool = []
        for row in rows[:most]:
            said = context.predictions(row.number)
            if said is not None:
                pool.append(said)
            elif row.state == "finished":
                return values
        pools.append(pool)
    found = of_choices(
        pools,
        context.dataset.targets[context.splits.val],
        context.task.metric,
        seed=context.request.seed,
        groups=context.splits.units[context.splits.val],
        resamples=RESAMPLES,
    )
    return values if found is None else found


def _alike(row: Outcome, other: Outcome) -> bool:
    return row.configuration.kind == other.configuration.kind


def _most(context: Context, sizes: Sequence[int]) -> int:
    """Trials of each of these pools whose choice can be made again."""
    targets = context.dataset.targets[context.splits.val]
    outputs = context.task.target.outputs
    columns = outputs if by_column(context.task.metric, targets) else 1
    samples = max(1, len(targets))
    room = min(NUMBERS // (samples * columns * RESAMPLES), BYTES // (4 * samples * outputs))
    fitting = (
        most
        for most in range(CHOSEN_FROM, 0, -1)
        if sum(min(size, most) for size in sizes) <= room
    )
    return next(fitting, 0)


def _tied(context: Context, rows: Sequence[Outcome]) -> set[int]:
    """Numbers of those that the validation part cannot tell from the best, which is the first of
    them; all where that is not known."""
    targets = context.dataset.targets[context.splits.val]
    stored = {row.number: context.predictions(row.number) for row in rows}
    known = [row for row in rows if stored[row.number] is not None]
    if len(known) < 2 or known[0] is not rows[0]:
        return {row.number for row in rows}
    compared = compare(
        [stored[row.number] for row in known],  # type: ignore[misc]
        targets,
        context.task.metric,
        seed=context.request.seed,
        groups=context.splits.units[context.splits.val],
    )
    return {row.number for row, one in zip(known, compared.contenders, strict=True) if one.tied}
