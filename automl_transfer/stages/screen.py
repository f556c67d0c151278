"""Screen: find the backbones that can run, look at a quarter of the data, then at all of it.

Frozen features of a share of the development part come first, cheapest network first, and a ridge
regression with each sample left out tells how they compare: from the first backbone on there is
an answer to show. The worse half stops there; only the others see the rest of the data.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.cards import BackboneCard
from automl_transfer.constraints import license_obstacle
from automl_transfer.contracts import Backbone, Encoder, LocalWeights, Stage
from automl_transfer.errors import (
    AutomlTransferError,
    EmptySpaceError,
    PluginError,
    WeightsUnavailableError,
)
from automl_transfer.events import (
    BackboneExcluded,
    BackboneScreened,
    Event,
    Note,
    Progress,
    StageStarted,
    Standing,
    StandingRow,
)
from automl_transfer.jsonable import digest, to_json
from automl_transfer.scoring import interval, score
from automl_transfer.stages.context import Bench, Candidate, Context
from automl_transfer.stages.costs import too_slow
from automl_transfer.stages.verdicts import FirstLook, judge, weight

if TYPE_CHECKING:
    from automl_transfer.training.features import FeatureKey
    from automl_transfer.training.taps import Tap

_LOG = logging.getLogger(__name__)

SHARE = 0.35
"""Of the time budget, spent when screening must be over."""
FIRST_SHARE = 0.75
"""The first backbone may take longer: without it there is no answer at all."""
FIRST_LOOK = 0.25
"""Of the development part, looked at first."""
AT_LEAST = 200
"""Samples of the first look, and :data:`OF_A_CLASS` of each class, if there are so many."""
OF_A_CLASS = 5
HELD_PARAMETERS = 60_000_000
"""Of built networks that wait in memory between the two looks; others are built again."""

NOT_REACHED = "the time for screening was used up before it"
LATE_MARGIN = 1.3
"""A late look is begun only if this many times its predicted time is left."""

Answer = Callable[[Context, Candidate], Iterator[Event]]


@dataclass(kw_only=True)
class _Look:
    """A backbone between its first look and its last."""

    card: BackboneCard
    weights: LocalWeights | None
    build: Callable[[], Backbone]
    backbone: Backbone | None
    stages: Sequence[Stage]
    parameters: int
    event: BackboneScreened
    first: FirstLook
    standing: StandingRow
    seconds_per_sample: float
    scores: dict[str, float] = field(default_factory=dict)


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
        yield _keep(context, look.event)
        if not verdict.kept:
            look.backbone = None
            context.exclude(look.card.id, f"screened on {look.event.samples} samples and stopped: "
                            f"{verdict.reason}")  # fmt: skip
    kept = [look for look in looks if verdicts[look.card.id].kept]
    kept.sort(key=lambda look: (-look.first.score, look.card.id))
    begun, left = context.watch.elapsed, context.watch.left

    def rest(look: _Look) -> float:
        """Seconds that the features that are not there yet will take."""
        whole = len(context.splits.development)
        known = earlier.get(look.card.id, 0) >= whole
        return 0.0 if known else (whole - look.event.samples) * look.seconds_per_sample

    late: list[tuple[_Look, Exception]] = []
    for place, look in enumerate(kept):
        share = SHARE if context.candidates else FIRST_SHARE
        # A resumed search has spent its share already, but has a share of what is left.
        limit = max(context.watch.share(share), begun + share * left)
        needed, now = rest(look), context.watch.elapsed
        # What does not fit is begun only if nothing that does would be left.
        others = context.candidates or any(now + rest(o) <= limit for o in kept[place + 1 :])
        if others and needed and now + needed > limit:
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


def _make_do(context: Context, looks: list[_Look], answer: Answer) -> Iterator[Event]:
    """No backbone gets through all of the data: the search goes on with what has been looked at.

    A small answer to the question that was asked is worth more than none; the user is told.
    """
    seed, labels, splits = context.request.seed, context.dataset.labels, context.splits
    looked = splits.development[first_positions(labels[splits.development], seed)]
    whole = len(splits.development), len(splits.test)
    context.narrow(
        replace(
            splits,
            train=np.intersect1d(splits.train, looked),
            val=np.intersect1d(splits.val, looked),
            test=splits.test[first_positions(labels[splits.test], seed)],
        )
    )
    text = (
        "No backbone gets through all of the data within this budget: "
        f"{len(looked)} of {whole[0]} development samples and {len(context.splits.test)} of "
        f"{whole[1]} test samples are used. A larger --budget uses all of them."
    )
    context.notes.append(text)
    yield Note(text=text, level="warning")
    for look in sorted(looks, key=lambda look: (-look.first.score, look.card.id)):
        if context.candidates and context.watch.left <= 0:
            yield _excluded(context, look.card.id, NOT_REACHED)
            continue
        error = yield from _admit(context, look, float("inf"), answer)
        if error is not None:
            yield _excluded(context, look.card.id, _words(error))


def screen_late(context: Context, answer: Answer, reserve: float) -> Iterator[Event]:
    """Looks at backbones that screening had no time for, when other stages have left some.

    Args:
        context: After all other stages.
        answer: As for :func:`screen`.
        reserve: Seconds to leave for the end of the search.
    """
    waiting, context.waiting = context.waiting, []
    for look in waiting:
        more = len(context.splits.development) - look.event.samples
        needed = LATE_MARGIN * more * look.seconds_per_sample
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


def first_positions(labels: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Places of the samples of the first look, ascending: a share of each class.

    Args:
        labels: Of a part, shape (n,).
        seed: Decides the draw.

    Returns:
        All places when the share would be most of them.
    """
    share = max(FIRST_LOOK, AT_LEAST / max(1, len(labels)))
    if share >= 0.7:
        return np.arange(len(labels))
    order = np.random.default_rng([seed, 25]).permutation(len(labels))
    chosen = []
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        chosen.append(of_class[: max(OF_A_CLASS, int(np.ceil(share * len(of_class))))])
    found: NDArray[np.int64] = np.sort(np.concatenate(chosen))
    return found


def _first_looks(context: Context) -> Generator[Event, None, list[_Look]]:
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
    begun, left = context.watch.elapsed, context.watch.left
    looks: list[_Look] = []
    for card in cards:
        share = SHARE if looks else FIRST_SHARE
        limit = max(context.watch.share(share), begun + share * left)
        if looks and card.id not in known and context.watch.elapsed >= limit:
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
            look = yield from _first_look(context, card, weights, limit)
        except Exception as error:  # a broken backbone must not end the search
            yield _excluded(context, card.id, _words(error))
            continue
        if held + look.parameters > HELD_PARAMETERS:
            look.backbone = None
        looks.append(look)
        yield _keep(context, look.event)
        rows = sorted((look.standing for look in looks), key=lambda row: -row.value)
        standing = Standing(metric=context.task.metric, rows=tuple(rows))
        context.store.put("standing", to_json(standing))
        yield standing
    return looks


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


def _keep(context: Context, event: BackboneScreened) -> BackboneScreened:
    others = [row for row in context.store.get("screen", []) if row["backbone"] != event.backbone]
    context.store.put("screen", [*others, to_json(event)])
    return event


def _obstacle(
    context: Context, card: BackboneCard, hub: Any, *, offline: bool
) -> tuple[str | None, LocalWeights | None]:
    """Why a backbone cannot be tried, or None and its weights."""
    from automl_transfer.weights import locate

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
    own = context.registry.locate_weights(card.weights, offline)
    if own is not None:
        return None, own
    try:
        return None, locate(card.weights, offline=offline, hub=hub)
    except WeightsUnavailableError as error:
        return str(error), None


def _first_look(
    context: Context, card: BackboneCard, weights: LocalWeights | None, limit: float
) -> Generator[Event, None, _Look]:
    """Builds one backbone, extracts and scores its features of the first share."""
    from automl_transfer.training.ridge import ridge_path
    from automl_transfer.training.stages import stages_of

    factory = context.registry.load(card)

    def build() -> Backbone:
        backbone: Backbone = factory(card=card, weights=weights, seed=context.request.seed)
        return backbone

    started = time.monotonic()
    backbone = build()
    parameters = sum(tensor.numel() for tensor in backbone.module.parameters())
    most = context.request.max_params
    if most is not None and parameters > most:
        raise EmptySpaceError(f"{parameters:,} parameters, more than --max-params {most:,}")
    development = context.splits.development
    chosen = first_positions(context.dataset.labels[development], context.request.seed)
    positions = development[chosen]
    slow = too_slow(context, card, backbone)
    if slow:
        raise EmptySpaceError(slow)
    labels = context.dataset.labels[positions]
    matrix, computed, speed = yield from _features(
        context, card, weights, backbone, positions, limit
    )
    path = ridge_path(matrix, labels, len(context.task.classes))
    rankers = {name: _ranked(context, name, matrix, labels) for name in context.registry.rankers}
    event = BackboneScreened(
        backbone=card.id,
        score=rankers[context.request.ranker],
        ranker=context.request.ranker,
        seconds=time.monotonic() - started,
        samples=len(positions),
        cached=computed == 0,
        scores={name: score for name, score in rankers.items() if np.isfinite(score)},
    )
    return _Look(
        card=card,
        weights=weights,
        build=build,
        backbone=backbone,
        stages=stages_of(backbone, card),
        parameters=parameters,
        event=event,
        first=FirstLook(
            card=card, score=event.score, hits=path.probabilities.argmax(axis=1) == labels
        ),
        standing=StandingRow(
            backbone=card.id,
            value=score(path.probabilities, labels, context.task.metric),
            interval=interval(
                path.probabilities, labels, context.task.metric, context.request.seed
            ),
            samples=len(labels),
        ),
        seconds_per_sample=speed,
    )


def _admit(
    context: Context, look: _Look, limit: float, answer: Answer
) -> Generator[Event, None, Exception | None]:
    """Makes a candidate of a backbone and answers with it; returns what stopped it, if any."""
    try:
        candidate = yield from _last_look(context, look, limit)
    except Exception as error:  # a broken backbone must not end the search
        return error
    context.candidates[look.card.id] = candidate
    yield from answer(context, candidate)
    return None


def _last_look(context: Context, look: _Look, limit: float) -> Generator[Event, None, Candidate]:
    """The rest of the features of a backbone that goes on."""
    from automl_transfer.training.stages import stage_views

    if len(context.splits.development) > look.event.samples:
        yield StageStarted(stage="screen", detail=f"{look.card.id}, all of the data")
    started = time.monotonic()
    backbone, look.backbone = look.backbone or look.build(), None
    positions = context.splits.development
    matrix, computed, speed = yield from _features(
        context, look.card, look.weights, backbone, positions, limit, _tap(context, look, backbone)
    )
    score = look.event.score
    if len(positions) > look.event.samples:
        labels = context.dataset.labels[positions]
        score = _ranked(context, context.request.ranker, matrix, labels)
        look.event = replace(
            look.event,
            score=score,
            samples=len(positions),
            seconds=look.event.seconds + time.monotonic() - started,
            cached=look.event.cached and computed == 0,
        )
        yield _keep(context, look.event)
    return Candidate(
        card=look.card,
        weights=look.weights,
        build=look.build,
        stages=look.stages,
        views=stage_views(backbone.module, look.stages),
        parameters=look.parameters,
        width=matrix.shape[1],
        features=matrix,
        positions=positions,
        score=score,
        seconds_per_sample=speed or look.seconds_per_sample,
    )


def _tap(context: Context, look: _Look, backbone: Backbone) -> Tap | None:
    """Keeps what fine-tuning of the last stages will ask for, if it will be tried.

    The same passes compute it; without it the frozen part would see each sample again.
    """
    from automl_transfer.space import Space
    from automl_transfer.training.stages import stage_views
    from automl_transfer.training.taps import tap_for

    views = stage_views(backbone.module, look.stages)
    encoder = context.encoder(look.card)
    key = feature_key(context, look.card, look.weights, encoder)
    ids = [context.dataset.samples[int(place)].id for place in context.splits.development]
    if not context.cache.group(key.digest).missing(ids):
        return None  # no pass is left to listen to
    store = context.activations.of_backbone(key)
    for card in context.strategies:
        if not card.trains_backbone:
            continue
        try:
            plan = context.registry.load(card)(stages=views, params=Space(card.space).defaults())
            first: set[str] = next((set(p.trains) for p in plan.phases if p.trains), set())
            if not first or views[0].name in first:
                continue
            tap = tap_for(
                backbone=backbone,
                stages=look.stages,
                plan=plan,
                rows=context.rows(encoder),
                positions=context.splits.development,
                store=store,
                device=context.device,
            )
        except Exception as error:  # a plugin's bug: its own trial will say so
            _LOG.debug("Nothing is kept for %s: %s", card.id, error)
            continue
        if tap is not None:
            context.tapped.add((look.card.id, next(v.name for v in views if v.name in first)))
            return tap
    return None


def _ranked(
    context: Context, name: str, matrix: NDArray[np.float32], labels: NDArray[np.int64]
) -> float:
    """What a ranker says. A failure of one that was not asked for is not-a-number."""
    try:
        score = float(
            context.registry.load(context.registry.ranker(name))(
                features=matrix,
                labels=labels,
                classes=len(context.task.classes),
                seed=context.request.seed,
            )
        )
        if not np.isfinite(score):
            raise PluginError(
                f"A ranker must return a finite number, but {name!r} returned {score}. Choose "
                "another one with --ranker."
            )
        return score
    except Exception:
        if name == context.request.ranker:
            raise
        return float("nan")


def _features(
    context: Context,
    card: BackboneCard,
    weights: LocalWeights | None,
    backbone: Backbone,
    positions: NDArray[np.int64],
    limit: float,
    tap: Tap | None = None,
) -> Generator[Event, None, tuple[NDArray[np.float32], int, float]]:
    """Features, how many were computed now, and the seconds of a forward pass of one sample."""
    from automl_transfer.training.device import give_back_freed
    from automl_transfer.training.features import extracting
    from automl_transfer.training.probe import seconds_per_sample

    encoder = context.encoder(card)
    rows = context.rows(encoder)
    key = feature_key(context, card, weights, encoder)
    started = time.monotonic()
    steps = extracting(
        backbone=backbone,
        rows=rows,
        positions=positions,
        cache=context.cache,
        key=key,
        device=context.device,
        should_stop=lambda: context.watch.elapsed >= limit,
        tap=tap,
    )
    while True:
        try:
            done, total = next(steps)
        except StopIteration as stop:
            matrix, computed = stop.value
            break
        yield Progress(what=card.id, done=done, total=total)
    if computed >= 64:
        context.speeds.put((time.monotonic() - started) / computed, "forward", key.digest)
    speed = context.speeds.get("forward", key.digest)
    if speed is None:
        speed = seconds_per_sample(backbone, rows, positions, context.device)
        context.speeds.put(speed, "forward", key.digest)
    give_back_freed()
    return matrix, computed, speed


def features_of(
    context: Context, candidate: Candidate, positions: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Frozen features of any samples, shape (n, width), as screening computes them."""
    from automl_transfer.training.features import extract

    encoder = context.encoder(candidate.card)
    found, _ = extract(
        backbone=candidate.build(),
        rows=context.rows(encoder),
        positions=positions,
        cache=context.cache,
        key=feature_key(context, candidate.card, candidate.weights, encoder),
        device=context.device,
    )
    return found


def feature_key(
    context: Bench, card: BackboneCard, weights: LocalWeights | None, encoder: Encoder
) -> FeatureKey:
    """Everything that the frozen features of a backbone depend on, but the sample."""
    from automl_transfer.training.features import FeatureKey

    return FeatureKey(
        weights=weights.sha256 if weights else f"seed-{context.request.seed}",
        # Another version of a plugin may compute something else from the same card.
        card=digest([card.digest, context.registry.provider("backbone", card.id)]),
        encoder=encoder.digest,
        dtype="float32" if context.device.type == "cpu" else f"autocast-{context.device.type}",
    )
