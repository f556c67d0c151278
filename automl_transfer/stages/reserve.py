"""What is kept of a time budget for the end of a search: as much as it will take, not a share.

A share is too much for an answer that is a head on kept features, and what is kept and not used is
lost to the search. So it is asked for again before each batch of trials: what the trials that lead
by then will take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from automl_transfer.budget import crowding
from automl_transfer.outcome import Outcome, finished
from automl_transfer.stages import refit
from automl_transfer.stages.baselines import RAW_LIMIT, default
from automl_transfer.stages.checkpoint import kept_number
from automl_transfer.stages.closing import closing_seconds
from automl_transfer.stages.confirm import FOLDS, MARGIN, REPEATS, SHARE, SHARE_ALONE
from automl_transfer.stages.context import Context
from automl_transfer.stages.finalists import LEAST, usable
from automl_transfer.stages.head_building import HEAD_EPOCHS
from automl_transfer.stages.learning import learning_seconds
from automl_transfer.stages.packs import SPEED
from automl_transfer.stages.plain_training import dear_seconds

ROW = 0.0005
"""Seconds to read one kept row for the naive baseline, and to shrink it."""
TIMED, TIMED_SAMPLES = 1.5, 68
"""Seconds, and samples, that measuring what a model costs takes at least."""
VARIES = 0.01
"""Of the budget, kept for what varies."""
REFIT_SHARE = 0.06
"""Of the budget, kept at the most for training the winner again on all development data."""
MOST = 0.5
"""Of the budget, kept at the most in all; a small answer in time needs trials, too."""
FOLD = 0.1
"""Seconds on an idle core of a fold but for its trainings."""
OF_A_PACK = 16
"""Heads of a pack that take as long as the finalists of a fold, trained by themselves."""


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """Seconds that the end of a search will take."""

    confirm: float
    refit: float
    others: float
    """The test part, cheap baselines, costs, the learning curve, the report."""
    dear: float
    """Baselines that are trained."""

    @property
    def end(self) -> float:
        """What follows the stage confirm."""
        return self.refit + self.others + self.dear

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.confirm + self.end


NOTHING = Reserve(confirm=0.0, refit=0.0, others=0.0, dear=0.0)
"""Of a search without a time budget."""


def measuring_seconds(each: float, crowded: float = 1.0) -> float:
    """Seconds to measure what a model costs, at least.

    Args:
        each: Of its passes, for a sample, as measured.
        crowded: How many times longer than on an idle core all else takes.
    """
    return TIMED * crowded + TIMED_SAMPLES * each


def reserve(context: Context) -> Reserve:
    """What the end will take if the trials that lead now go on leading.

    Args:
        context: With screened candidates.
    """
    budget = context.request.budget_seconds
    if budget is None:
        return NOTHING
    leaders = usable(context, finished(context.outcomes))[:LEAST]
    most = MOST * budget
    others = min(_others(context, budget, leaders), most)
    first = leaders[0] if leaders else None
    dear = min(dear_seconds(context, default(context), first), most - others)
    return Reserve(
        confirm=min(_confirm(context, budget, leaders), _confirm_share(context) * budget),
        refit=min(_refit(context, budget, leaders), most - others - dear),
        others=others,
        dear=dear,
    )


def reserve_if_it_wins(context: Context, kept: Reserve, seconds: float) -> float:
    """What the end takes if a fine-tune wins: it is trained again, for a fold and for good.

    Args:
        context: Of the search.
        kept: What is kept as it stands.
        seconds: That the fine-tune takes.
    """
    budget = context.request.budget_seconds
    if budget is None:
        return 0.0
    again = MARGIN * _more(context) * seconds
    confirm = max(kept.confirm, min(_confirm_share(context) * budget, again))
    return confirm + max(kept.refit, min(REFIT_SHARE * budget, again)) + kept.others + kept.dear


def end_if_one_wins(context: Context) -> Callable[[Sequence[Outcome]], float]:
    """What follows the stage confirm if any of some finalists may win there.

    A fine-tune of which no model is kept has to be trained again, whatever its share.

    Args:
        context: Of the search, after all trials.

    Returns:
        Seconds to leave, from the finalists.
    """
    if context.request.budget_seconds is None:
        return lambda rows: 0.0
    kept, restorable = reserve(context), kept_number(context)

    def seconds(rows: Sequence[Outcome]) -> float:
        needed = [refit.needed(context, row) for row in rows if row.number != restorable]
        return max([kept.refit, *needed]) + kept.others + kept.dear

    return seconds


def varies(context: Context) -> float:
    """Seconds of what is kept that are for whatever takes longer than foreseen."""
    return VARIES * (context.request.budget_seconds or 0.0)


def _others(context: Context, budget: float, leaders: list[Outcome]) -> float:
    # Before there is a trial any backbone may lead.
    leading = {row.configuration.backbone for row in leaders} or set(context.candidates)
    each = [context.candidates[name].seconds_per_sample for name in leading]
    views = {
        (row.configuration.backbone, context.candidate_of(row.configuration).widths)
        for row in leaders
    } or {(name, ()) for name in leading}
    measured = sorted(context.candidates[name].seconds_per_sample for name, _ in views)
    usual = default(context)
    passes = max(each, default=0.0)
    if leading != {usual.card.id} or any(
        not context.is_frozen(row.configuration) for row in leaders
    ):
        passes += usual.seconds_per_sample  # the winner's pass does not give its frozen features
    test = passes * len(context.splits.test)
    rows = ROW * (len(context.splits.test) + min(RAW_LIMIT, len(context.splits.development)))
    return (
        test
        + rows
        + learning_seconds(context)
        # Costs are measured for each backbone among the finalists, as it is read.
        + sum(measuring_seconds(one) for one in measured[-LEAST:])
        + closing_seconds()
        + varies(context)
    )


def _refit(context: Context, budget: float, leaders: list[Outcome]) -> float:
    if not leaders:
        return REFIT_SHARE * budget
    first = leaders[0]
    if context.is_frozen(first.configuration):
        return min(REFIT_SHARE * budget, _fold(context, leaders))
    return min(REFIT_SHARE * budget, refit.needed(context, first))


def _confirm(context: Context, budget: float, leaders: list[Outcome]) -> float:
    if not leaders or not all(context.is_frozen(row.configuration) for row in leaders):
        return _confirm_share(context) * budget
    rounds = FOLDS if len(context.splits.test) else FOLDS * REPEATS
    return MARGIN * rounds * _fold(context, leaders)


def _confirm_share(context: Context) -> float:
    return SHARE if len(context.splits.test) else SHARE_ALONE


def _fold(context: Context, heads: list[Outcome]) -> float:
    """Seconds in which heads that have ended well are trained again on a fold."""
    seconds = _more(context) * sum(row.seconds for row in heads)
    each = context.speeds.get(SPEED)
    if each is not None:
        widest = max(context.candidate_of(row.configuration).width for row in heads)
        numbers = widest * len(context.splits.development)
        seconds = max(seconds, OF_A_PACK * HEAD_EPOCHS * each * numbers)
    return FOLD * crowding() + seconds


def _more(context: Context) -> float:
    return len(context.splits.development) / max(1, len(context.splits.train))
