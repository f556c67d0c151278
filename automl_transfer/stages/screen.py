"""Screen: find the backbones that can run, look at a quarter of the data, then at all of it.

Frozen features of a share of the development part come first, cheapest network first, and a ridge
regression with each sample left out tells how they compare: from the first backbone on there is
an answer to show. The worse half stops there; only the others see the rest of the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from automl_transfer.cards import BackboneCard
from automl_transfer.constraints import license_obstacle
from automl_transfer.contracts import LocalWeights
from automl_transfer.errors import (
    AutomlTransferError,
    EmptySpaceError,
    StudyError,
    WeightsUnavailableError,
)
from automl_transfer.events import (
    BackboneExcluded,
    Event,
    Note,
    StageStarted,
    Standing,
)
from automl_transfer.jsonable import to_json
from automl_transfer.stages.closing import answer_seconds
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.looks import (
    Look,
    development_places,
    first_look,
    is_kept,
    keep,
    last_look,
    remaining,
    shared_positions,
)
from automl_transfer.stages.verdicts import judge, weight

SHARE = 0.35
"""Of the time budget, spent when screening must be over, but for the first backbone: without it
there is no answer at all."""
HELD_PARAMETERS = 60_000_000
"""Of built networks that wait in memory between the two looks; others are built again."""

NOT_REACHED = "the time for screening was used up before it"
MARGIN = 1.3
"""A look is begun only if this many times its predicted time is left."""
POWER = 0.75
"""Of the ratio of two networks' sizes, the ratio of their times: small ones have more overhead
(1.8 ms at 0.015 GMAC, 4.7 at 0.08, 20 at 0.3 to 0.6, 42 at 0.9, 94 at 5.5, on one core)."""
MEASURED_MARGIN = 1.1
"""Likewise of a network whose first look was timed."""

Answer = Callable[[Context, Candidate], Iterator[Event]]


def screen(context: Context, answer: Answer) -> Iterator[Event]:
    """Fills ``context.candidates``, best score first.

    Args:
        context: With the data loaded.
        answer: Called with each candidate as soon as all its features are there, the most
            promising first; what it yields is part of the search.

    Raises:
        EmptySpaceError: No backbone can run.
    """
    earlier = {row["backbone"]: row["samples"] for row in context.store.get("screen", [])}
    looks = yield from _first_looks(context)
    verdicts = judge([look.first for look in looks])
    for look in looks:
        verdict = verdicts[look.card.id]
        look.event = replace(look.event, verdict=verdict.text)
        yield keep(context, look.event)
        if not verdict.kept:
            look.backbone = None
            context.exclude(look.card.id, f"screened on {look.event.samples} samples and stopped: "
                            f"{verdict.reason}")  # fmt: skip
    kept = [look for look in looks if verdicts[look.card.id].kept]
    kept.sort(key=lambda look: (-look.first.score, look.card.id))
    share = _limit(context)

    def rest(look: Look) -> float:
        """Seconds that the features that are not there yet will take."""
        known = earlier.get(look.card.id, 0) >= len(context.splits.development)
        return 0.0 if known and is_kept(context, look) else remaining(context, look)

    late: list[tuple[Look, Exception]] = []
    for look in kept:
        limit = share if context.candidates else _last_moment(context, look)
        needed = rest(look)
        if needed and context.watch.elapsed + MEASURED_MARGIN * needed > limit:
            context.waiting.append(look)
            continue
        error = yield from _admit(context, look, limit, answer)
        if error is not None and _out_of_time(error):
            late.append((look, error))
        elif error is not None:
            yield _excluded(context, look.card.id, _words(error))
    if not context.candidates and (late or context.waiting):
        yield from _make_do(context, [*(look for look, _ in late), *context.waiting], answer)
        context.waiting = []
    else:
        for look, error in late:
            yield _excluded(context, look.card.id, _words(error))
    ranked = sorted(context.candidates.values(), key=lambda one: (-one.score, one.card.id))
    context.candidates = {candidate.card.id: candidate for candidate in ranked}
    context.store.put("why_not", to_json(context.why_not))
    if not ranked:
        reasons = "\n".join(f"  {row.what}: {row.reason}" for row in context.why_not)
        raise EmptySpaceError(
            "At least one backbone must be able to run, but none is. Why not:\n"
            + (reasons or "  no backbone is offered for this kind of data")
        )


def _make_do(context: Context, looks: list[Look], answer: Answer) -> Iterator[Event]:
    """No backbone gets through all of the data: the search goes on with what has been looked at.

    A small answer to the question that was asked is worth more than none; the user is told.
    """
    looks = sorted(looks, key=lambda look: (-look.first.score, look.card.id))
    before = context.splits
    _narrow(context, looks[0])
    now = context.splits
    used = f"{len(now.development)} of {len(before.development)} development samples"
    if len(before.test):
        used += f" and {len(now.test)} of {len(before.test)} test samples"
    text = (
        f"No backbone gets through all of the data within this budget: {used} are used. A larger "
        "--budget uses all of them."
    )
    context.notes.append(text)
    yield Note(text=text, level="warning")
    for look in looks:
        limit = _last_moment(context, look)
        if context.candidates and context.watch.elapsed + remaining(context, look) > limit:
            yield _excluded(context, look.card.id, NOT_REACHED)
            continue
        # Once the limit is past, what has been looked at must do.
        first = not context.candidates
        error = yield from _admit(context, look, math.inf if first else limit, answer)
        if error is not None:
            yield _excluded(context, look.card.id, _words(error))


def _narrow(context: Context, look: Look) -> None:
    """Leaves as much of the data as there is time for to pass through a network.

    At least what it has seen in its first look; of the test part some of each class.
    """
    seed, labels, splits = context.request.seed, context.dataset.labels, context.splits
    development, test = splits.development, splits.test
    each = MEASURED_MARGIN * look.seconds_per_sample
    room = (context.watch.left - answer_seconds()) / each
    seen = len(look.places)
    share = min(1.0, max(0.0, seen + room) / (len(development) + len(test)))
    places = look.places
    if share * len(development) > seen:
        places = np.union1d(places, development_places(context, share))
    room -= len(places) - seen
    if len(test):
        share = min(1.0, max(0.0, room / len(test)))
        test = test[shared_positions(labels[test], seed, share)]
    context.narrow(
        replace(
            splits,
            train=np.intersect1d(splits.train, development[places]),
            val=np.intersect1d(splits.val, development[places]),
            test=test,
        )
    )


def _limit(context: Context) -> float:
    """Seconds of the study's clock at which screening is over.

    A resumed search has spent its share already, but has a share of what is left.
    """
    watch = context.watch
    return max(watch.share(SHARE), watch.elapsed + SHARE * watch.left)


def _last_moment(context: Context, look: Look) -> float:
    """Seconds of the study's clock that leave time for no more than an answer with a backbone."""
    watch = context.watch
    if not watch.timed:
        return math.inf
    after = answer_seconds() + look.seconds_per_sample * len(context.splits.test)
    return watch.elapsed + watch.left - after


def screen_late(context: Context, answer: Answer, reserve: float) -> Iterator[Event]:
    """Looks at backbones that screening had no time for, when other stages have left some.

    Args:
        context: After all other stages.
        answer: As for :func:`screen`.
        reserve: Seconds to leave for the end of the search.
    """
    waiting, context.waiting = context.waiting, []
    for look in waiting:
        needed = MEASURED_MARGIN * remaining(context, look)
        # The reserve does not know of this network: if it wins, it sees the test part.
        left = context.watch.left - reserve - look.seconds_per_sample * len(context.splits.test)
        if needed > left:
            late = f"the {needed:.0f} s that the rest of its features need were not left"
            yield _excluded(context, look.card.id, f"{late}; it was {look.event.verdict}")
            continue
        error = yield from _admit(context, look, context.watch.elapsed + left, answer)
        if error is not None:
            yield _excluded(context, look.card.id, _words(error))
    context.store.put("why_not", to_json(context.why_not))


def _first_looks(context: Context) -> Generator[Event, None, list[Look]]:
    from automl_transfer.weights import shared_probe

    hub = shared_probe()
    yield StageStarted(stage="screen", detail=f"{len(context.selected)} backbones")
    cards = []
    for found in context.selected:
        if isinstance(found, tuple):
            yield _excluded(context, *found)
        else:
            cards.append(found)
    # Cheapest first: an answer early, before anything is downloaded for a larger one.
    cards.sort(key=lambda card: (weight(card), card.id))
    known = {row["backbone"] for row in context.store.get("screen", [])}
    limit = _limit(context)
    looks: list[Look] = []
    while cards:
        card = cards.pop(_following(context, looks, cards, limit))
        if looks and card.id not in known and not _fits(context, looks, card, limit):
            # Without a download: only to say so if the weights would not have been there anyway.
            reason, _ = _obstacle(context, card, hub, offline=True)
            yield _excluded(context, card.id, reason or NOT_REACHED)
            continue
        reason, weights = _obstacle(context, card, hub, offline=context.request.offline)
        if reason:
            yield _excluded(context, card.id, reason)
            continue
        yield StageStarted(stage="screen", detail=card.id)
        held = sum(look.parameters for look in looks if look.backbone is not None)
        try:
            look = yield from first_look(
                context,
                card,
                weights,
                _before_an_answer(context, looks) if looks else math.inf,
                looks[0].places if looks else None,
            )
        except StudyError:
            raise  # of the database: no backbone is to blame for it
        except Exception as error:  # a broken backbone must not end the search
            yield _excluded(context, card.id, _words(error))
            continue
        if held + look.parameters > HELD_PARAMETERS:
            look.backbone = None
        looks.append(look)
        yield keep(context, look.event)
        rows = sorted((look.standing for look in looks), key=lambda row: -row.value)
        standing = Standing(metric=context.task.metric, rows=tuple(rows))
        context.store.put("standing", to_json(standing))
        yield standing
    return looks


def _following(
    context: Context, looks: Sequence[Look], cards: Sequence[BackboneCard], limit: float
) -> int:
    """Which backbone is looked at next: the cheapest, of which an answer is there first.

    Where there is no time for all of them, the second is the largest of those that there is time
    to look at wholly: the favourite of the static prior, which would otherwise come last.
    """
    if len(looks) != 1 or not context.watch.timed:
        return 0
    all_of_them = sum(_first_seconds(looks, card) for card in cards)
    if context.watch.elapsed + all_of_them <= limit:
        return 0
    room = context.watch.left - answer_seconds()
    samples = len(context.splits.development) + len(context.splits.test)
    for place in reversed(range(len(cards))):
        whole = MARGIN * samples * _seconds_per_sample(looks, cards[place])
        if whole <= room and _fits(context, looks, cards[place], limit):
            return place
    return 0


def _fits(context: Context, looks: Sequence[Look], card: BackboneCard, limit: float) -> bool:
    """Whether the first look at a backbone may be begun: before the limit, and only if one of
    those before it still gets to an answer."""
    ends = context.watch.elapsed + _first_seconds(looks, card)
    return context.watch.elapsed < limit and ends <= _before_an_answer(context, looks)


def _before_an_answer(context: Context, looks: Sequence[Look]) -> float:
    """Seconds of the study's clock that leave time for an answer with the cheapest of the
    backbones that have been looked at."""
    return max(_last_moment(context, look) - remaining(context, look) for look in looks)


def _first_seconds(looks: Sequence[Look], card: BackboneCard) -> float:
    """Seconds of the first look at a backbone, as far as the others tell."""
    return MARGIN * len(looks[0].places) * _seconds_per_sample(looks, card)


def _seconds_per_sample(looks: Sequence[Look], card: BackboneCard) -> float:
    """Of a network that has not been timed: by that of the one that is nearest to it in size."""
    nearest = min(looks, key=lambda look: abs(weight(look.card) - weight(card)))
    known, asked = weight(nearest.card), weight(card)
    return nearest.seconds_per_sample * ((asked / known) ** POWER if known and asked else 1.0)


def _excluded(context: Context, id: str, reason: str) -> BackboneExcluded:
    context.exclude(id, reason)
    return BackboneExcluded(backbone=id, reason=reason)


def _out_of_time(error: Exception) -> bool:
    return getattr(error, "kind", "") == "out-of-time"


def _words(error: Exception) -> str:
    if _out_of_time(error):
        return f"the time for screening was used up: {error}"
    if isinstance(error, AutomlTransferError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _obstacle(
    context: Context, card: BackboneCard, hub: Any, *, offline: bool
) -> tuple[str | None, LocalWeights | None]:
    """Why a backbone cannot be tried, or None and its weights."""
    limit = context.request.max_params
    if limit is not None and card.cost is not None and card.cost.params > limit:
        return f"{card.cost.params:,} parameters, more than --max-params {limit:,}", None
    if context.request.license == "permissive":
        refused = license_obstacle(card.weights.license)
        if refused:
            return refused, None
    veto = context.registry.veto(card, context.task)
    if veto:
        return veto, None
    try:
        return None, context.registry.find_weights(card.weights, offline=offline, hub=hub)
    except WeightsUnavailableError as error:
        return str(error), None


def _admit(
    context: Context, look: Look, limit: float, answer: Answer
) -> Generator[Event, None, Exception | None]:
    """Makes a candidate of a backbone and answers with it; returns what stopped it, if any."""
    try:
        candidate = yield from last_look(context, look, limit)
    except StudyError:
        raise
    except Exception as error:  # a broken backbone must not end the search
        return error
    context.candidates[look.card.id] = candidate
    yield from answer(context, candidate)
    return None
