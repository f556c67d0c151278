"""Recommend: retrain or restore the winner, score it, and write the answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from automl_transfer.errors import NothingUsableError
from automl_transfer.events import Event, Note, Recommended, StageStarted
from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import Baseline, Confirmation, RankedTrial, Recommendation
from automl_transfer.scoring import interval
from automl_transfer.stages.baselines import RAW_LIMIT, baselines, default
from automl_transfer.stages.confirmation import confirmation
from automl_transfer.stages.context import Context, finished
from automl_transfer.stages.costs import cost_of, over_limit
from automl_transfer.stages.ensembles import ensemble_or_note
from automl_transfer.stages.finalists import usable
from automl_transfer.stages.held_out import held_out
from automl_transfer.stages.learning import learning_curve_or_note, learning_seconds
from automl_transfer.stages.mislabelled import mislabelled
from automl_transfer.stages.plain_training import dear_seconds
from automl_transfer.stages.provenance import provenance
from automl_transfer.stages.refit import make_model, write_model
from automl_transfer.stages.yardstick import yardstick

ROW = 0.0005
"""Seconds to read one kept row for the naive baseline, and to shrink it."""
TIMED, TIMED_SAMPLES, FINAL_BACKBONES = 1.5, 68, 3
"""Seconds, and samples, that measuring what a model costs takes at least; and of how many
backbones the finalists will be, at a guess."""
REFIT_SHARE = 0.06
"""Of the budget, kept for training the winner again on all development data."""
FIXED = 5.0
"""Seconds to build networks, write the model, draw the report and end."""
WITH_INTERVAL = 50
"""Rows of the ranking that get a bootstrap interval."""


def reserve_seconds(context: Context) -> float:
    """Seconds that the end of the search needs: refit, test part, baselines, files.

    Frozen passes over the test part (the winner's, and the default backbone's if it is another),
    the naive baseline, the winner's training on all development data, and a share for what varies.
    """
    if context.request.budget_seconds is None:
        return 0.0
    each = [candidate.seconds_per_sample for candidate in context.candidates.values()]
    passes = 1 if len(each) == 1 else 2
    test = passes * max(each, default=0.0) * len(context.splits.test)
    test += ROW * (len(context.splits.test) + min(RAW_LIMIT, len(context.splits.development)))
    test += learning_seconds(context)
    # Costs are measured for each backbone among the finalists.
    test += sum(TIMED + TIMED_SAMPLES * one for one in sorted(each)[-FINAL_BACKBONES:])
    budget = context.request.budget_seconds
    end = test + FIXED + (0.02 + REFIT_SHARE) * budget
    trained = [default(context), next(iter(context.candidates.values()))]
    return float(min(end, 0.4 * budget)) + dear_seconds(context, trained)


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
    candidate = context.candidates[winner.configuration.backbone]
    yield StageStarted(stage="recommend", detail=winner.configuration.title)
    if found is None and winner is not best[0]:
        slow = any(row.what == _name(best[0]) for row in context.why_not)
        text = (
            f"Trial {best[0].number} ({best[0].configuration.title}) scored best, but "
            + ("is slower than --max-latency" if slow else "a part of it cannot be had now")
            + "; the best of the others is taken."
        )
        context.notes.append(text)
        yield Note(text=text, level="warning")
    made = yield from make_model(context, winner, candidate)
    measure = yardstick(context)
    scored = held_out(context, made.model, candidate, winner, measure)
    give_back_freed()
    write_model(context, made.model, winner, candidate, scored.temperature)
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
    if context.request.max_latency is None:
        return rows[0]
    reason = ""
    for row in rows:
        cost = cost_of(context, row, context.candidates[row.configuration.backbone])
        slow = over_limit(context, cost)
        if slow is None:
            return row
        reason = slow
        context.exclude(_name(row), slow)
    raise NothingUsableError(
        f"A finished trial must keep to --max-latency, but none does; the last of {len(rows)} "
        f"takes {reason}. Allow more, or search smaller backbones (--portfolio tiny)."
    )


def _name(row: Outcome) -> str:
    return f"trial {row.number}"


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
    labels = context.dataset.labels[context.splits.val]
    confirmed = {one.number: one.value for one in found.finalists} if found else {}
    order = {winner: 0} | {
        number: place for place, number in enumerate(confirmed, start=1) if number != winner
    }
    rows = []
    ranked = sorted(best, key=lambda row: order.get(row.number, len(best)))
    for place, row in enumerate(ranked, start=1):
        stored = context.files.read_predictions(row.number) if place <= WITH_INTERVAL else None
        known = stored is not None and len(stored) == len(labels)
        rows.append(
            RankedTrial(
                rank=place,
                number=row.number,
                stage=row.stage,
                configuration=row.configuration,
                value=row.value if row.value is not None else float("-inf"),
                interval=interval(
                    stored,
                    labels,
                    context.task.metric,
                    context.request.seed,
                    groups=context.splits.units[context.splits.val],
                )
                if stored is not None and known
                else None,
                confirmed=confirmed.get(row.number),
                seconds=row.seconds,
                trainable_parameters=row.proof.trainable_parameters if row.proof else 0,
                total_parameters=row.proof.total_parameters if row.proof else 0,
            )
        )
    return tuple(rows)


def _nothing(context: Context) -> str:
    if not context.outcomes:
        return (
            "No trial was begun within the budget. Give more with --budget, or choose smaller "
            "backbones with --portfolio tiny or --max-params."
        )
    reasons = Counter((row.reason or row.state).splitlines()[0][:300] for row in context.outcomes)
    listed = "\n".join(f"  {count} x {reason}" for reason, count in reasons.most_common(5))
    return f"None of {len(context.outcomes)} trials finished. Why:\n{listed}"
