"""Recommend: retrain or restore the winner, score it, and write the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from automl_transfer.budget import crowding
from automl_transfer.errors import NothingUsableError
from automl_transfer.events import Event, Note, Recommended, StageStarted
from automl_transfer.outcome import Outcome, finished
from automl_transfer.recommendation import (
    Baseline,
    Confirmation,
    Cost,
    Interval,
    RankedTrial,
    Recommendation,
)
from automl_transfer.scoring import intervals
from automl_transfer.stages.baselines import baselines
from automl_transfer.stages.closing import closing_seconds
from automl_transfer.stages.confirmation import confirmation, measured
from automl_transfer.stages.context import Context
from automl_transfer.stages.costs import ruled_out
from automl_transfer.stages.ensembles import ensemble_or_note
from automl_transfer.stages.finalists import usable
from automl_transfer.stages.held_out import held_out
from automl_transfer.stages.learning import learning_curve_or_note
from automl_transfer.stages.mislabelled import mislabelled
from automl_transfer.stages.provenance import provenance
from automl_transfer.stages.refit import make_model, write_model
from automl_transfer.stages.reserve import measuring_seconds, reserve, varies
from automl_transfer.stages.yardstick import yardstick

WITH_INTERVAL = 50
"""Rows of the ranking that get a bootstrap interval."""


def recommend(context: Context) -> Iterator[Event]:
    """Writes the answer, the report and the model.

    Raises:
        NothingUsableError: No trial finished.
    """
    from automl_transfer.training.device import give_back_freed

    best = finished(context.outcomes)
    if not best:
        raise NothingUsableError(_nothing(context))
    stored = context.files.read_recommendation()
    if stored is not None and context.answered:
        # Nothing new was tried: the test part stays closed.
        yield Recommended(recommendation=stored)
        return
    found = confirmation(context)
    winner = _winner(context, best, found.winner if found else None)
    candidate = context.candidate_of(winner.configuration)
    yield StageStarted(stage="recommend", detail=winner.configuration.title)
    if found is None and winner is not best[0]:
        slow = best[0] in usable(context, best)
        text = (
            f"Trial {best[0].number} ({best[0].configuration.title}) scored best, but "
            + ("is slower than --max-latency" if slow else "a part of it cannot be had now")
            + "; the best of the others is taken."
        )
        context.notes.append(text)
        yield Note(text=text, level="warning")
    # What was kept for what varies is there for a refit that ends a little later.
    end = reserve(context).others - varies(context)
    made = yield from make_model(context, winner, candidate, end)
    measure = yardstick(context)
    learnt = len(context.splits.development if made.refitted else context.splits.train)
    scored = held_out(context, made.model, candidate, winner, measure, learnt=learnt)
    give_back_freed()
    write_model(context, made.model, winner, candidate, scored.temperature)
    cost = _cost(context, found, winner)
    yardsticks = []
    for event in baselines(context, measure, winner, scored):
        if isinstance(event, Baseline):
            yardsticks.append(event)
        else:
            yield event
    give_back_freed()
    learning = learning_curve_or_note(context)
    yield from _suspects(context)
    ranking = rank(context, best, winner.number, found)
    recommendation = Recommendation(
        study=context.request.name,
        kind=context.task.target.kind,
        metric=context.task.metric,
        metric_reason=context.task.metric_reason,
        winner=next(row for row in ranking if row.number == winner.number),
        refitted=made.refitted,
        refit_reason=made.reason,
        test=scored.score,
        baselines=tuple(yardsticks),
        ranking=ranking,
        trials=Counter(row.state for row in context.outcomes),
        confirmation=found,
        cost=cost,
        ensemble=ensemble_or_note(context, found),
        learning=learning,
        why_not=tuple(context.why_not),
        notes=tuple(context.notes),
        seconds=context.watch.elapsed,
        budget=context.request.budget.text,
        command=context.request.command,
        model=context.files.model.name,
        provenance=provenance(context, winner, candidate),
    )
    context.files.write_recommendation(recommendation)
    yield Recommended(recommendation=recommendation)


def _cost(context: Context, found: Confirmation | None, winner: Outcome) -> Cost | None:
    """What the winner costs, as it was measured among the finalists, or else now."""
    known = [one.cost for one in (found.finalists if found else ()) if one.number == winner.number]
    if known and known[0] is not None:
        return known[0]
    speed = context.candidates[winner.configuration.backbone].seconds_per_sample
    if context.watch.left <= measuring_seconds(speed, crowding()) + closing_seconds():
        return None
    return measured(context, winner)


def _suspects(context: Context) -> Iterator[Event]:
    """Looks for wrong labels, if there is time; that must not cost the answer."""
    if context.watch.left <= 0:
        return
    try:
        finding = mislabelled(context)
    except Exception as error:
        context.notes.append(f"Wrong labels could not be looked for: {error}")
        return
    if finding is not None:
        text = f"{finding.title}; {finding.action}."
        context.notes.append(text)
        yield Note(text=text)


def _winner(context: Context, best: Sequence[Outcome], number: int | None) -> Outcome:
    """The trial that was chosen, or else the best whose parts can be had."""
    rows = usable(context, best)
    if not rows:
        raise NothingUsableError(
            "The parts of a finished trial must be available to make the model, but of none are: "
            + ", ".join(sorted({row.configuration.title for row in best}))
            + ". Install its plugin or weights again and repeat the command."
        )
    chosen = [row for row in rows if row.number == number]
    return chosen[0] if chosen else _fast_enough(context, rows)


def _fast_enough(context: Context, rows: Sequence[Outcome]) -> Outcome:
    """The best whose model keeps to ``--max-latency``, where no finalists were measured."""
    reason: str | None = None
    for row in rows:
        reason = ruled_out(context, row, f"trial {row.number}")
        if reason is None:
            return row
    raise NothingUsableError(
        f"A finished trial must keep to --max-latency, but none does; the last of {len(rows)} "
        f"takes {reason}. Allow more, or search smaller backbones (--portfolio tiny)."
    )


def rank(
    context: Context, best: Sequence[Outcome], winner: int, found: Confirmation | None
) -> tuple[RankedTrial, ...]:
    """Finished trials as rows of the ranking.

    Args:
        context: Of the search.
        best: Finished trials by their value on the validation part, best first.
        winner: Number of the trial that is recommended: it is the first row.
        found: The finalists, who come next.
    """
    confirmed = {one.number: one.value for one in found.finalists} if found else {}
    order = {winner: 0} | {
        number: place for place, number in enumerate(confirmed, start=1) if number != winner
    }
    ranked = sorted(best, key=lambda row: order.get(row.number, len(best)))
    spreads = _intervals(context, [row.number for row in ranked[:WITH_INTERVAL]])
    return tuple(
        RankedTrial(
            rank=place,
            number=row.number,
            stage=row.stage,
            configuration=row.configuration,
            value=row.value if row.value is not None else float("-inf"),
            interval=spreads.get(row.number),
            confirmed=confirmed.get(row.number),
            seconds=row.seconds,
            trainable_parameters=row.proof.trainable_parameters if row.proof else 0,
            total_parameters=row.proof.total_parameters if row.proof else 0,
        )
        for place, row in enumerate(ranked, start=1)
    )


def _intervals(context: Context, trials: Sequence[int]) -> dict[int, Interval]:
    """Of their values on the validation part, if what they predicted for it is kept."""
    val = context.splits.val
    targets = context.dataset.targets[val]
    known: list[int] = []

    def predictions() -> Iterator[NDArray[np.float32]]:
        for number in trials:
            stored = context.predictions(number)
            if stored is not None:
                known.append(number)
                yield stored

    metric, seed, groups = context.task.metric, context.request.seed, context.splits.units[val]
    found = list(intervals(predictions(), targets, metric, seed, groups=groups))
    return dict(zip(known, found, strict=True))


def _nothing(context: Context) -> str:
    if not context.outcomes:
        return (
            "No trial was begun within the budget. Give more with --budget, or choose smaller "
            "backbones with --portfolio tiny or --max-params."
        )
    reasons = Counter((row.reason or row.state).splitlines()[0][:300] for row in context.outcomes)
    listed = "\n".join(f"  {count} x {reason}" for reason, count in reasons.most_common(5))
    return f"None of {len(context.outcomes)} trials finished. Why:\n{listed}"
