"""Heads: strategies that leave the backbone frozen, on features that are computed already."""

from __future__ import annotations

import math
from collections.abc import Iterator

from automl_transfer.events import Event, StageStarted
from automl_transfer.space import Space
from automl_transfer.stages.context import Context, finished
from automl_transfer.stages.evaluate import evaluate
from automl_transfer.stages.joint import JointSpace
from automl_transfer.stages.proposals import Proposals

NAME = "heads"
SHARE = 0.45
"""Of the time budget, spent when this stage must be over, if fine-tuning follows."""
TRIALS_SHARE = 0.4
"""Of ``--trials``, if fine-tuning follows."""
PER_BACKBONE = 16
"""Trials of one backbone's heads at the most: the best of a hundred was a default recipe, and
the time is better spent on fine-tuning."""


def heads(context: Context, reserve: float) -> Iterator[Event]:
    """Tries each head on each backbone at its defaults, then what TPE proposes.

    Args:
        context: With screened candidates.
        reserve: Seconds to leave for the end of the search.
    """
    frozen = [card for card in context.strategies if not card.trains_backbone]
    if not frozen:
        return
    space = JointSpace(
        backbones=tuple(sorted(context.candidates)),
        heads={card.id: Space(card.space) for card in context.heads},
        strategies={card.id: Space(card.space) for card in frozen},
    )
    past = [row for row in context.outcomes if row.stage == NAME]
    proposals = Proposals(space=space, seed=context.request.seed, past=past)
    recipes = [
        space.default(backbone, head.id, strategy.id)
        for strategy in frozen
        for head in context.heads
        for backbone in context.candidates
    ]
    proposals.enqueue(recipes)
    alone = len(frozen) == len(context.strategies)
    most = _most(context, alone, len(recipes))
    yield StageStarted(stage=NAME, detail=f"{len(context.candidates)} backbones, frozen")
    deadline = context.watch.share(1.0 if alone else SHARE)

    def out_of_time() -> bool:
        return context.watch.left <= reserve / 2

    while True:
        done = sum(1 for row in context.outcomes if row.stage == NAME)
        late = context.watch.elapsed >= deadline
        answered = bool(finished(context.outcomes))
        # Default heads cost little, and fine-tunes start from the best of them: they are tried
        # even when the stage is late, as long as the search is not.
        over = context.watch.left <= reserve or (late and not proposals.queued)
        if done >= most or context.trials_left() <= 0 or (over and answered):
            break
        configuration = proposals.next(context.next_number)
        if configuration is None:
            break
        yield from evaluate(
            context,
            proposals,
            configuration,
            number=context.next_number,
            stage=NAME,
            epochs=0,
            # The first answer is worth more than the budget.
            should_stop=out_of_time if answered else lambda: False,
        )
    if proposals.queued:
        context.exclude(
            f"{proposals.queued} default heads", "the budget for heads on frozen features ended"
        )


def _most(context: Context, alone: bool, recipes: int) -> float:
    limit = math.inf if context.request.trials is None else float(context.request.trials)
    if not alone:
        limit = math.ceil(limit * TRIALS_SHARE) if math.isfinite(limit) else limit
    return min(limit, max(recipes, PER_BACKBONE * len(context.candidates)))
