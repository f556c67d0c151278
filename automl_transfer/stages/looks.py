"""Looks at one backbone: at a first share of the development part, and at the rest of it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import Backbone, LocalWeights, Stage
from automl_transfer.errors import EmptySpaceError, PluginError, StudyError
from automl_transfer.events import BackboneScreened, Event, StageStarted, StandingRow
from automl_transfer.jsonable import to_json
from automl_transfer.metrics import merits
from automl_transfer.scoring import interval, score
from automl_transfer.stages.closing import answer_seconds
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.costs import too_slow
from automl_transfer.stages.frozen_features import extracted, feature_key
from automl_transfer.stages.verdicts import FirstLook
from automl_transfer.target import Targets

if TYPE_CHECKING:
    from automl_transfer.training.features import FeatureKey
    from automl_transfer.training.stage_outputs import StageOutputs
    from automl_transfer.training.taps import Tap

_LOG = logging.getLogger(__name__)

FIRST_LOOK = 0.25
"""Of the development part, looked at first."""
AT_LEAST = 200
"""Samples of the first look, and :data:`OF_A_CLASS` of each class, if there are so many."""
OF_A_CLASS = 5
MOST_OF_THEM = 0.7
"""A first look at a larger share is one at all of them."""
OF_THE_ROOM = 0.5
"""Of the time that is left when the first backbone is looked at, for that; the rest is for its
pass over the test part."""

READ = "read"
"""Document of the study: what is read of each backbone beside its features."""
PASS_SHARE = 0.2
"""Of the time that is left, for a pass that gives what is read beside features that are kept."""
_NOT_OF_STAGES = ("out-of-time", "out-of-memory", "hung")

WORTH_A_TAP = 2.0
"""Times of the pass that gives the features; with less time left nothing is fine-tuned."""


@dataclass(kw_only=True)
class Look:
    """A backbone between its first look and its last."""

    card: BackboneCard
    weights: LocalWeights | None
    build: Callable[[], Backbone]
    backbone: Backbone | None
    stages: Sequence[Stage]
    parameters: int
    event: BackboneScreened
    places: NDArray[np.int64]
    """Of the samples of the first look within the development part, ascending."""
    first: FirstLook
    standing: StandingRow
    seconds_per_sample: float
    read: StageOutputs | None = None
    """What is read of it beside its features."""


def first_places(context: Context, most: float = math.inf) -> NDArray[np.int64]:
    """Places of the samples of the first look within the development part, ascending.

    A quarter of each class, of training and validation samples alike.

    Args:
        context: With the data loaded.
        most: Samples that there is time for; :data:`OF_A_CLASS` of each class are taken anyway.

    Returns:
        All places when the share would be most of them.
    """
    count = len(context.splits.development)
    share = max(FIRST_LOOK, AT_LEAST / max(1, count))
    if share >= MOST_OF_THEM and most >= count:
        return np.arange(count)
    return development_places(context, min(share, most / max(1, count)))


def development_places(context: Context, share: float) -> NDArray[np.int64]:
    """Places of a share of the development part; see :func:`shared_positions`."""
    splits = context.splits
    return shared_positions(
        context.dataset.labels[splits.development],
        context.request.seed,
        share,
        np.isin(splits.development, splits.val),
    )


def shared_positions(
    labels: NDArray[np.int64],
    seed: int,
    share: float,
    parts: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:
    """Places of a share of each class, ascending; those of a smaller share are among them.

    Args:
        labels: Shape (n,).
        seed: Decides the draw.
        share: From 0 to 1; :data:`OF_A_CLASS` of each class are taken in any case.
        parts: Two parts, shape (n,), of which each is to have its share, and one of each class at
            least; None: there is one part only.
    """
    order = np.random.default_rng([seed, 25]).permutation(len(labels))
    chosen = []
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        if parts is not None:
            of_class = _spread(of_class, parts[of_class])
        chosen.append(of_class[: max(OF_A_CLASS, math.ceil(share * len(of_class)))])
    found: NDArray[np.int64] = np.sort(np.concatenate(chosen))
    return found


def _spread(places: NDArray[np.int64], parts: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The places in an order in which both parts are spread evenly, one of each at the front."""
    rank = np.empty(len(places))
    for part in (False, True):
        own = parts == part
        rank[own] = np.arange(own.sum()) / max(1, own.sum())
    return places[np.lexsort((parts, rank))]


def first_look(
    context: Context,
    card: BackboneCard,
    weights: LocalWeights | None,
    limit: float,
    places: NDArray[np.int64] | None,
) -> Generator[Event, None, Look]:
    """Builds one backbone, extracts and scores its features of the first share.

    Args:
        context: With the data loaded.
        card: Of the backbone.
        weights: Its weights; None: random ones.
        limit: Seconds of the study's clock at which to stop.
        places: Of the samples to look at within the development part; None: as many as there is
            time for, and some of each class even if there is none.

    Raises:
        EmptySpaceError: It is larger or slower than the user allows.
        StoppedError: The limit was reached.
    """
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
    slow = too_slow(context, card, backbone)
    if slow:
        raise EmptySpaceError(slow)
    stages = stages_of(backbone, card)
    read = read_of(context, card, weights, backbone, stages)
    if places is None:
        places = yield from _affordable(context, card, weights, backbone, read)
    positions = context.splits.development[places]
    targets = context.dataset.targets[positions]
    found = yield from _all_that_is_read(context, card, weights, backbone, read, positions, limit)
    matrix, speed, read = found.features, found.speed, found.read
    path = ridge_path(matrix, targets, context.task.target.outputs)
    rankers = {name: _ranked(context, name, matrix, targets) for name in context.registry.rankers}
    event = BackboneScreened(
        backbone=card.id,
        score=rankers[context.request.ranker],
        ranker=context.request.ranker,
        seconds=time.monotonic() - started,
        samples=len(positions),
        cached=found.computed == 0,
        scores={name: score for name, score in rankers.items() if np.isfinite(score)},
    )
    return Look(
        card=card,
        weights=weights,
        build=build,
        backbone=backbone,
        stages=stages,
        parameters=parameters,
        event=event,
        places=places,
        first=FirstLook(card=card, score=event.score, hits=merits(path.predictions, targets)),
        standing=StandingRow(
            backbone=card.id,
            value=score(path.predictions, targets, context.task.metric),
            interval=interval(
                path.predictions, targets, context.task.metric, context.request.seed
            ),
            samples=len(targets),
        ),
        seconds_per_sample=speed,
        read=read,
    )


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What a pass over samples gave. n samples, d numbers of the features."""

    features: NDArray[np.float32]
    """Shape (n, d)."""
    whole: NDArray[np.float32]
    """Shape (n, d and more): with what is read beside them."""
    read: StageOutputs | None
    computed: int
    """Samples that were not kept yet."""
    speed: float
    """Seconds of a pass for a sample."""


def _all_that_is_read(
    context: Context,
    card: BackboneCard,
    weights: LocalWeights | None,
    backbone: Backbone,
    read: StageOutputs | None,
    positions: NDArray[np.int64],
    limit: float,
    tap: Tap | None = None,
) -> Generator[Event, None, _Seen]:
    """Features and what is read beside them; the features alone where that goes wrong."""
    from automl_transfer.training.matrix import columns
    from automl_transfer.training.stage_outputs import reading

    if read is not None:
        try:
            both, computed, speed = yield from extracted(
                context, card, weights, reading(backbone, read), positions, limit, tap
            )
            own = columns(both, read.width)
            return _Seen(features=own, whole=both, read=read, computed=computed, speed=speed)
        except StudyError:
            raise
        except Exception as error:  # of a hook or a stage, perhaps: the network may be sound
            if getattr(error, "kind", "") in _NOT_OF_STAGES:
                raise
            _LOG.debug("Outputs of the stages of %s are not read: %s", card.id, error)
            tap = None  # it was told of batches that do not count
            _remember_read(context, card, None)
    own, computed, speed = yield from extracted(
        context, card, weights, backbone, positions, limit, tap
    )
    return _Seen(features=own, whole=own, read=None, computed=computed, speed=speed)


def read_of(
    context: Context,
    card: BackboneCard,
    weights: LocalWeights | None,
    backbone: Backbone,
    stages: Sequence[Stage],
) -> StageOutputs | None:
    """What is read of a backbone beside its features, where a head asks for it.

    It is found once in a study, so that a search that goes on reads the same. Features that are
    kept are not computed again for its sake unless screening has time for that.
    """
    if not any(head.reads == "stages" for head in context.heads):
        return None
    if all(strategy.trains_backbone for strategy in context.strategies):
        return None
    from automl_transfer.training.stage_outputs import StageOutputs

    known = context.store.get(READ, {})
    if card.id in known:
        found = StageOutputs.stored(known[card.id])
    else:
        found = _found_read(context, card, backbone, stages)
        _remember_read(context, card, found)
    if found is None or _is_worth_a_pass(context, card, weights, found):
        return found
    return None


def _found_read(
    context: Context, card: BackboneCard, backbone: Backbone, stages: Sequence[Stage]
) -> StageOutputs | None:
    from automl_transfer.training.stage_outputs import TRIED, stage_outputs

    rows = context.rows(context.encoder(card))
    few = rows.rows(context.splits.development[:TRIED])
    try:
        batch, fewer = rows.encoder.batch(few), rows.encoder.batch(few[: TRIED // 2])
        return stage_outputs(backbone, stages, batch, fewer)
    except (Exception, SystemExit) as error:  # what goes wrong with the network itself will show
        _LOG.debug("No outputs of the stages of %s can be read: %s", card.id, error)
        return None


def _remember_read(context: Context, card: BackboneCard, read: StageOutputs | None) -> None:
    known = context.store.get(READ, {})
    context.store.put(READ, {**known, card.id: None if read is None else to_json(read)})


def _is_worth_a_pass(
    context: Context,
    card: BackboneCard,
    weights: LocalWeights | None,
    read: StageOutputs,
) -> bool:
    """False where the features are all kept, but not what would be read beside them, and a pass
    for that would take more of the time than screening may."""
    if not context.watch.timed:
        return True
    development = context.splits.development

    def missing(read: StageOutputs | None) -> tuple[int, float | None]:
        key = feature_key(context, card, weights, context.encoder(card), read)
        count = _missing(context, key, development)
        return count, context.speeds.get("forward", key.digest)

    lacking, speed = missing(read)
    own, own_speed = missing(None)
    if own or not lacking:
        return True
    each = speed or own_speed
    return each is not None and lacking * each <= PASS_SHARE * context.watch.left


def _affordable(
    context: Context,
    card: BackboneCard,
    weights: LocalWeights | None,
    backbone: Backbone,
    read: StageOutputs | None,
) -> Generator[Event, None, NDArray[np.int64]]:
    """Which samples there is time to look at, by the time that a few of each class take."""
    development = context.splits.development
    wanted = first_places(context)
    if not context.watch.timed:
        return wanted
    few = first_places(context, 0)
    seen = yield from _all_that_is_read(
        context, card, weights, backbone, read, development[few], math.inf
    )
    key = feature_key(context, card, weights, context.encoder(card), seen.read)
    missing = _missing(context, key, development[wanted])
    room = OF_THE_ROOM * (context.watch.left - answer_seconds()) / seen.speed
    return wanted if missing <= room else first_places(context, len(few) + room)


def is_kept(context: Context, look: Look) -> bool:
    """Whether all that is read of a backbone is in the cache."""
    key = feature_key(context, look.card, look.weights, context.encoder(look.card), look.read)
    return not _missing(context, key, context.splits.development)


def _missing(context: Context, key: FeatureKey, positions: NDArray[np.int64]) -> int:
    """Of samples, how many have nothing under a key in the cache."""
    ids = [context.dataset.samples[int(place)].id for place in positions]
    return len(context.cache.group(key.digest).missing(ids))


def remaining(context: Context, look: Look) -> float:
    """Seconds that the features will take that a first look has not computed."""
    return (len(context.splits.development) - len(look.places)) * look.seconds_per_sample


def last_look(context: Context, look: Look, limit: float) -> Generator[Event, None, Candidate]:
    """The rest of the features of a backbone that goes on."""
    from automl_transfer.training.stage_outputs import reading
    from automl_transfer.training.stages import stage_views

    if len(context.splits.development) > look.event.samples:
        yield StageStarted(stage="screen", detail=f"{look.card.id}, all of the data")
    started = time.monotonic()
    backbone, look.backbone = look.backbone or look.build(), None
    positions = context.splits.development
    seen = yield from _all_that_is_read(
        context,
        look.card,
        look.weights,
        backbone,
        look.read,
        positions,
        limit,
        _tap(context, look, backbone),
    )
    matrix, speed, read = seen.features, seen.speed, seen.read
    score = look.event.score
    if len(positions) > look.event.samples:
        targets = context.dataset.targets[positions]
        score = _ranked(context, context.request.ranker, matrix, targets)
        look.event = replace(
            look.event,
            score=score,
            samples=len(positions),
            seconds=look.event.seconds + time.monotonic() - started,
            cached=look.event.cached and seen.computed == 0,
        )
        yield keep(context, look.event)
    found = Candidate(
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
        stage_seconds=_stage_seconds(context, look, backbone),
    )
    if read is None:
        return found
    staged = replace(
        found,
        build=lambda: reading(look.build(), read),
        width=seen.whole.shape[1],
        features=seen.whole,
        read=read,
    )
    return replace(found, staged=staged)


def keep(context: Context, event: BackboneScreened) -> BackboneScreened:
    """Writes down what has been seen of a backbone, and returns it."""
    others = [row for row in context.store.get("screen", []) if row["backbone"] != event.backbone]
    context.store.put("screen", [*others, to_json(event)])
    return event


def _stage_seconds(context: Context, look: Look, backbone: Backbone) -> Mapping[str, float]:
    """Where a pass spends its time, for a search by the clock that will fine-tune."""
    if not context.watch.timed or not _is_time_to_tune(context, look):
        return {}
    from automl_transfer.training.stage_times import SAMPLES, stage_seconds

    rows = context.rows(context.encoder(look.card))
    few = context.splits.development[:SAMPLES]
    try:
        batch = rows.encoder.batch(rows.rows(few))
        return stage_seconds(backbone, look.stages, batch, len(few), context.device)
    except (Exception, SystemExit) as error:  # a forecast may be worse for it, no more
        _LOG.debug("The stages of %s could not be timed: %s", look.card.id, error)
        return {}


def _is_time_to_tune(context: Context, look: Look) -> bool:
    return context.tunes and context.watch.left >= WORTH_A_TAP * remaining(context, look)


def _tap(context: Context, look: Look, backbone: Backbone) -> Tap | None:
    """Keeps what fine-tuning of the last stages will ask for, if it will be tried.

    The same passes compute it; without it the frozen part would see each sample again.
    """
    if not _is_time_to_tune(context, look):
        return None  # to find where to listen takes passes, too, and none will ask for it
    from automl_transfer.space import Space
    from automl_transfer.training.stages import stage_views
    from automl_transfer.training.taps import tap_for

    views = stage_views(backbone.module, look.stages)
    encoder = context.encoder(look.card)
    if is_kept(context, look):
        return None  # no pass is left to listen to
    key = feature_key(context, look.card, look.weights, context.encoder(look.card))
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
        except (Exception, SystemExit) as error:  # a plugin's bug: its own trial will say so
            _LOG.debug("Nothing is kept for %s: %s", card.id, error)
            continue
        if tap is not None:
            context.tapped.add((look.card.id, next(v.name for v in views if v.name in first)))
            return tap
    return None


def _ranked(context: Context, name: str, matrix: NDArray[np.float32], targets: Targets) -> float:
    """What a ranker says. A failure of one that was not asked for is not-a-number."""
    if context.task.target.kind not in context.registry.ranker(name).kinds:
        return float("nan")
    try:
        score = float(
            context.registry.load(context.registry.ranker(name))(
                features=matrix,
                labels=targets,
                classes=context.task.target.outputs,
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
