"""Heads: strategies that leave the backbone frozen, on features that are computed already."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean

from automl_transfer import class_weights
from automl_transfer.cards import HeadCard, StrategyCard
from automl_transfer.configuration import Configuration
from automl_transfer.events import Event, StageStarted
from automl_transfer.space import Space
from automl_transfer.stages.closing import closing_seconds
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.joint import JointSpace
from automl_transfer.stages.packs import NAME, HeadTrials, fitting_heads
from automl_transfer.stages.proposals import Proposals
from automl_transfer.stages.spaces import head_spaces

__all__ = ["NAME", "first_answer", "heads"]

SHARE = 0.45
"""Of the time budget, spent when this stage must be over, if fine-tuning follows."""
TRIALS_SHARE = 0.4
"""Of ``--trials``, if fine-tuning follows."""
PACK = 64
"""Heads trained together."""
OF_WHAT_IS_LEFT = 0.1
"""Of the time, for a formula on all that can be read of a backbone: it cannot be interrupted."""
PACKS_ALONE = 2
"""Packs of each backbone when nothing is fine-tuned; else one, and a second for the best two: the
best of a hundred heads was a default recipe, and the time is better spent on fine-tuning."""


def first_answer(context: Context, candidate: Candidate) -> Iterator[Event]:
    """Fits each closed-form head to a backbone that has just been screened.

    One trial each, or one for each way to weight the classes.
    """
    frozen = _frozen(context)
    space = _space(context, frozen, (candidate.card.id,))
    done = {row.configuration.digest for row in context.outcomes}
    wanted = [
        configuration
        for strategy in frozen
        for head in _readers(context, candidate)
        if _by_formula(head)
        for default in [space.default(candidate.card.id, head.id, strategy.id)]
        for configuration in [default, *class_weights.alternatives(default)]
    ]
    recipes = [configuration for configuration in wanted if configuration.digest not in done]
    room = _most(context) - _done(context)
    recipes = recipes[: int(min(len(recipes), max(0, room)))]
    for view, asked in context.by_view(candidate, recipes, lambda configuration: configuration):
        trials: HeadTrials | None = None
        for configuration in asked:
            needed = _formula_seconds(context, view, context.head(configuration.head))
            dear = needed > OF_WHAT_IS_LEFT * context.watch.left
            if view is not candidate and dear and _answers(context):
                reason = f"not tried: {needed:.0f} s would be more than a tenth of the time left"
                context.exclude(f"{configuration.head} on {candidate.card.id}", reason)
                continue
            trials = trials or HeadTrials(context, view)
            yield from trials.closed_form([configuration])


def heads(context: Context, reserve: float, leftover: bool = False) -> Iterator[Event]:
    """Trains heads by the pack on each backbone: the defaults, then what the sampler proposes.

    Args:
        context: With screened candidates.
        reserve: Seconds to leave for the end of the search.
        leftover: Nothing else is left to do: all time but the reserve may be used.
    """
    frozen = _frozen(context)
    if not frozen:
        return
    space = _space(context, frozen, tuple(sorted(context.candidates)))
    searched = [head for head in context.heads if not _by_formula(head)]
    alone = leftover or not context.tunes
    most = _most(context)
    if not searched or _done(context) >= most:
        return
    if leftover and (context.watch.left <= reserve or not _wanting(context)):
        return
    yield StageStarted(stage=NAME, detail=f"{len(context.candidates)} backbones, frozen")
    proposals = Proposals(
        space=space,
        seed=context.request.seed,
        past=[row for row in context.outcomes if row.stage == NAME],
        sampler=context.registry.load(context.registry.sampler(context.request.sampler)),
        startup=PACK,
    )
    deadline = context.watch.share(1.0 if alone else SHARE)
    ranked = list(context.candidates.values())
    for turn in range(PACKS_ALONE):
        for place, candidate in enumerate(ranked):
            if turn and not alone and place >= 2:
                continue
            end = _end(context, reserve)

            def late(end: float = end) -> bool:
                return context.watch.left <= end

            over = context.watch.elapsed >= deadline or context.watch.left <= reserve
            # Default heads cost little, and fine-tunes start from the best of them: they are
            # tried even when the stage is late, as long as the search is not.
            if late() or (over and turn):
                return
            iterative = [head for head in _readers(context, candidate) if not _by_formula(head)]
            room = int(min(PACK * (turn + 1) - _packed(context, candidate), most - _done(context)))
            defaults = [
                space.default(candidate.card.id, head.id, strategy.id)
                for strategy in frozen
                for head in iterative
            ]
            defaults += [
                other for default in defaults for other in class_weights.alternatives(default)
            ]
            count = min(room, len(defaults)) if over else room
            if count <= 0:
                continue
            if context.request.budget_seconds is not None:
                views = [candidate.read_by(head) or candidate for head in iterative]
                # They take turns in a pack.
                width = fmean(view.width for view in views or [candidate])
                kinds = len(frozen) * max(1, len(iterative))
                left = context.watch.left - end
                fitting = fitting_heads(context, width, count, left, kinds)
                count = fitting if _answers(context) else max(1, fitting)
            asked = _ask(context, proposals, candidate, defaults, iterative, count)
            for view, part in context.by_view(candidate, asked, lambda pair: pair[1]):
                yield from HeadTrials(context, view).pack(part, late)
            if asked:
                for row in context.outcomes[-len(asked) :]:
                    # Samplers rank pruned trials by their curves.
                    for point in row.curve:
                        proposals.report(row.number, point.value, point.step or point.epoch)
                    proposals.tell(row)


def _ask(
    context: Context,
    proposals: Proposals,
    candidate: Candidate,
    defaults: list[Configuration],
    iterative: list[HeadCard],
    count: int,
) -> list[tuple[int, Configuration]]:
    """Numbers and configurations of a pack: defaults that are new, then the sampler's."""
    asked: list[tuple[int, Configuration]] = []
    number = context.next_number
    for configuration in defaults:
        if len(asked) < count and proposals.take(number, configuration):
            asked.append((number, configuration))
            number += 1
    names = [head.id for head in iterative]
    while names and len(asked) < count:
        # The heads in turn: most of a pack is then of few shapes, and no head is left out.
        name = names[len(asked) % len(names)]
        proposed = proposals.next(number, {"backbone": candidate.card.id, "head": name})
        if proposed is None:
            names.remove(name)  # All that it can be has been tried.
            continue
        asked.append((number, proposed))
        number += 1
    return asked


def _frozen(context: Context) -> list[StrategyCard]:
    return [card for card in context.strategies if not card.trains_backbone]


def _readers(context: Context, candidate: Candidate) -> list[HeadCard]:
    """The heads that can read a backbone; of the others it is said why they are not tried."""
    found = []
    for head in context.heads:
        if candidate.read_by(head) is not None:
            found.append(head)
        elif context.request.heads:  # else nobody has asked for it
            reason = "it reads the outputs of stages, and of this backbone none can be pooled"
            context.exclude(f"{head.id} on {candidate.card.id}", reason)
    return found


def _formula_seconds(context: Context, view: Candidate, head: HeadCard) -> float:
    """Seconds of a formula, by what the same one took on whatever it has read so far; 0 before.

    For n samples of d numbers, a product of n d min(n, d) operations and the decomposition of a
    square matrix of min(n, d) rows.
    """

    def work(width: int) -> float:
        samples = len(context.splits.train)
        small = min(samples, width)
        return float(samples * width * small + small**3)

    same = {card.id: card for card in context.heads if card.factory == head.factory}
    rates = [0.0]
    for row in context.outcomes:
        candidate = context.candidates.get(row.configuration.backbone)
        card = same.get(row.configuration.head)
        if row.stage != NAME or row.state != "finished" or candidate is None or card is None:
            continue
        seen = candidate.read_by(card)
        if seen is not None:
            rates.append(row.seconds / work(seen.width))
    return max(rates) * work(view.width)


def _by_formula(head: HeadCard) -> bool:
    """Whether the head has nothing to search over on a frozen backbone."""
    return head.closed_form and not head.space


def _space(context: Context, frozen: list[StrategyCard], backbones: tuple[str, ...]) -> JointSpace:
    targets = context.dataset.targets[context.splits.train]
    weights = class_weights.searched(targets, context.task.metric)
    return JointSpace(
        backbones=backbones,
        heads=head_spaces(context, context.heads),
        strategies={card.id: Space(card.space) for card in frozen},
        of_head={
            card.id: {class_weights.PREFIX: weights}
            for card in context.heads
            if weights.params and (card.weighs_classes or not card.closed_form)
        },
    )


def _answers(context: Context) -> bool:
    """Whether a trial has finished."""
    return any(row.state == "finished" for row in context.outcomes)


def _end(context: Context, reserve: float) -> float:
    """Seconds to leave: until a trial has finished, no more than an answer takes; when these are
    over as well, none: a late answer is worth more than none."""
    if _answers(context) or not context.watch.timed:
        return reserve
    least = min(reserve, closing_seconds())
    return least if context.watch.left > least else -math.inf


def _done(context: Context) -> int:
    return sum(1 for row in context.outcomes if row.stage == NAME)


def _packed(context: Context, candidate: Candidate) -> int:
    names = {head.id for head in context.heads if not _by_formula(head)}
    return sum(
        1
        for row in context.outcomes
        if row.stage == NAME
        and row.configuration.backbone == candidate.card.id
        and row.configuration.head in names
    )


def _wanting(context: Context) -> bool:
    """Whether a backbone has not had all its packs."""
    most = PACK * PACKS_ALONE
    return any(_packed(context, candidate) < most for candidate in context.candidates.values())


def _most(context: Context) -> float:
    """Trials of this stage at the most."""
    wanted = context.request.trials
    if wanted is None:
        return math.inf
    return math.ceil(wanted * TRIALS_SHARE) if context.tunes else wanted
