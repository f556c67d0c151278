"""The finalists side by side, with what tells them apart and what they cost."""

from __future__ import annotations

from automl_transfer.comparison import compare
from automl_transfer.corrected import chosen
from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import Confirmation, Cost, Finalist
from automl_transfer.stages.choose import rule, why
from automl_transfer.stages.context import Context
from automl_transfer.stages.costs import cost_of


def confirmation(context: Context) -> Confirmation | None:
    """Compares the finalists, and chooses one; None if they were not trained again."""
    request, splits, confirmed = context.request, context.splits, context.confirmed
    if confirmed is None:
        return None
    compared = compare(
        confirmed.probabilities,
        context.dataset.targets[confirmed.positions],
        context.task.metric,
        seed=request.seed,
        groups=splits.units[confirmed.positions],
    )
    rows = [
        Finalist(
            number=row.number,
            configuration=row.configuration,
            selected_on=row.value if row.value is not None else float("-inf"),
            value=one.value,
            interval=one.interval,
            p_best=one.p_best,
            behind=one.behind,
            tied=one.tied,
            cost=measured(context, row),
        )
        for row, one in zip(confirmed.rows, compared.contenders, strict=True)
    ]
    confirmed.compared = compared
    point = context.task.point
    confirmed.rule = rule(rows, compared.margins, request.prefer, request.tolerance, point)
    winner = rows[chosen(compared, confirmed.rule)]
    best = rows[compared.best]
    rows.sort(key=lambda one: (-one.value, one is not best, one.number))
    return Confirmation(
        finalists=tuple(rows),
        winner=winner.number,
        samples=len(confirmed.positions),
        folds=confirmed.folds,
        repeats=confirmed.repeats,
        minimum_detectable=compared.minimum_detectable,
        prefer=request.prefer,
        reason=why(rows, winner, request.prefer, tolerance=request.tolerance, point=point),
    )


def measured(context: Context, row: Outcome) -> Cost | None:
    """What a trial's model costs; None if that cannot be measured."""
    try:
        return cost_of(context, row, context.candidate_of(row.configuration))
    except (Exception, SystemExit) as error:  # a figure must not cost the answer
        context.notes.append(f"The cost of trial {row.number} could not be measured: {error}")
        return None
