"""Recommend: rank, retrain or restore the winner, and open the test part once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from automl_transfer.errors import NothingUsableError
from automl_transfer.events import Event, Note, Recommended, StageStarted
from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import RankedTrial, Recommendation
from automl_transfer.scoring import interval
from automl_transfer.stages.baselines import RAW_LIMIT, baselines
from automl_transfer.stages.context import Candidate, Context, finished
from automl_transfer.stages.held_out import score_test
from automl_transfer.stages.learning import learning_curve_or_note, learning_seconds
from automl_transfer.stages.provenance import provenance
from automl_transfer.stages.refit import make_model, write_model

ROW = 0.0005
"""Seconds to read one kept row for the naive baseline, and to shrink it."""
REFIT_SHARE = 0.06
"""Of the budget, kept for training the winner again on all development data."""
FIXED = 3.0
"""Seconds to build networks, write the model and end."""
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
    budget = context.request.budget_seconds
    return float(min(test + FIXED + (0.02 + REFIT_SHARE) * budget, 0.4 * budget))


def recommend(context: Context) -> Iterator[Event]:
    """Writes the answer, the report and the model.

    Raises:
        NothingUsableError: No trial finished.
    """
    best = finished(context.outcomes)
    if not best:
        raise NothingUsableError(_nothing(context))
    stored = context.files.read_recommendation()
    if stored is not None and stored.trials_total == len(context.outcomes):
        # Nothing new was tried: the test part stays closed.
        yield Recommended(recommendation=stored)
        return
    yield StageStarted(stage="recommend", detail=best[0].configuration.title)
    winner, candidate, note = _winner(context, best)
    if note:
        context.notes.append(note)
        yield Note(text=note, level="warning")
    made = yield from make_model(context, winner, candidate)
    write_model(context, made.model, winner, candidate)
    openings = int(context.store.get("test_openings", 0)) + 1
    context.store.put("test_openings", openings)
    held_out = score_test(context, made.model, candidate, winner, openings)
    yardsticks = baselines(context)
    learning = learning_curve_or_note(context)
    ranking = rank(context, best)
    recommendation = Recommendation(
        study=context.request.name,
        metric=context.task.metric,
        metric_reason=context.task.metric_reason,
        winner=next(row for row in ranking if row.number == winner.number),
        refitted=made.refitted,
        refit_reason=made.reason,
        test=held_out,
        baselines=yardsticks,
        ranking=ranking,
        trials=Counter(row.state for row in context.outcomes),
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


def _winner(context: Context, best: Sequence[Outcome]) -> tuple[Outcome, Candidate, str | None]:
    """The best trial whose backbone can be had, and what to say when that is not the best."""
    heads = {card.id for card in context.heads}
    strategies = {card.id for card in context.strategies}
    for row in best:
        configuration = row.configuration
        candidate = context.candidates.get(configuration.backbone)
        if (
            candidate is None
            or configuration.head not in heads
            or configuration.strategy not in strategies
        ):
            continue
        if row is best[0]:
            return row, candidate, None
        return (
            row,
            candidate,
            (
                f"Trial {best[0].number} ({best[0].configuration.title}) scored best, but a part "
                "of it cannot be had now; the best of the others is taken."
            ),
        )
    raise NothingUsableError(
        "The parts of a finished trial must be available to make the model, but of none are: "
        + ", ".join(sorted({row.configuration.title for row in best}))
        + ". Install its plugin or weights again and repeat the command."
    )


def rank(context: Context, best: Sequence[Outcome]) -> tuple[RankedTrial, ...]:
    """Finished trials as rows of the ranking, best first."""
    labels = context.dataset.labels[context.splits.val]
    rows = []
    for place, row in enumerate(best, start=1):
        stored = context.files.read_predictions(row.number) if place <= WITH_INTERVAL else None
        usable = stored is not None and len(stored) == len(labels)
        rows.append(
            RankedTrial(
                rank=place,
                number=row.number,
                stage=row.stage,
                configuration=row.configuration,
                value=row.value if row.value is not None else float("-inf"),
                interval=interval(stored, labels, context.task.metric, context.request.seed)
                if stored is not None and usable
                else None,
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
