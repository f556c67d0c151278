"""Screen: find the backbones that can run, compute their frozen features once, score them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import Backbone, Encoder, LocalWeights
from automl_transfer.errors import (
    AutomlTransferError,
    EmptySpaceError,
    WeightsUnavailableError,
)
from automl_transfer.events import (
    BackboneExcluded,
    BackboneScreened,
    Event,
    Progress,
    StageStarted,
)
from automl_transfer.jsonable import digest, to_json
from automl_transfer.stages.context import Candidate, Context

if TYPE_CHECKING:
    from automl_transfer.training.features import FeatureKey

SHARE = 0.35
"""Of the time budget, spent when screening must be over."""
FIRST_SHARE = 0.75
"""The first backbone may take longer: without it there is no answer at all."""


def screen(context: Context) -> Iterator[Event]:
    """Fills ``context.candidates``, best score first.

    Raises:
        EmptySpaceError: No backbone can run.
    """
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
    cards.sort(key=lambda card: (_cost(card), card.id))
    known = {row["backbone"] for row in context.store.get("screen", [])}
    begun, left = context.watch.elapsed, context.watch.left
    screened: list[Candidate] = []
    for card in cards:
        share = SHARE if screened else FIRST_SHARE
        # A resumed search has spent its share already, but has a share of what is left.
        limit = max(context.watch.share(share), begun + share * left)
        if screened and card.id not in known and context.watch.elapsed >= limit:
            # Without a download: only to say so if the weights would not have been there anyway.
            reason, _ = _obstacle(context, card, hub, offline=True)
            late = "the time for screening was used up before it"
            yield _excluded(context, card.id, reason or late)
            continue
        reason, weights = _obstacle(context, card, hub, offline=context.request.offline)
        if reason:
            yield _excluded(context, card.id, reason)
            continue
        yield StageStarted(stage="screen", detail=card.id)
        try:
            candidate, event = yield from _screen_one(context, card, weights, limit)
        except Exception as error:  # a broken backbone must not end the search
            yield _excluded(context, card.id, _words(error))
            continue
        screened.append(candidate)
        yield event
    screened.sort(key=lambda candidate: (-candidate.score, candidate.card.id))
    context.candidates = {candidate.card.id: candidate for candidate in screened}
    context.store.put("why_not", to_json(context.why_not))
    if not screened:
        reasons = "\n".join(f"  {row.what}: {row.reason}" for row in context.why_not)
        raise EmptySpaceError(
            "At least one backbone must be able to run, but none is. Why not:\n"
            + (reasons or "  no backbone is offered for this kind of data")
        )


def _cost(card: BackboneCard) -> float:
    """Billions of multiplications, or a guess from the parameters; 0 when nothing is known."""
    if card.cost is None:
        return 0.0
    return card.cost.gmacs if card.cost.gmacs is not None else card.cost.params / 1e7


def _excluded(context: Context, id: str, reason: str) -> BackboneExcluded:
    context.exclude(id, reason)
    return BackboneExcluded(backbone=id, reason=reason)


def _words(error: Exception) -> str:
    if isinstance(error, AutomlTransferError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _obstacle(
    context: Context, card: BackboneCard, hub: Any, *, offline: bool
) -> tuple[str | None, LocalWeights | None]:
    """Why a backbone cannot be tried, or None and its weights."""
    from automl_transfer.weights import locate

    limit = context.request.max_params
    if limit is not None and card.cost is not None and card.cost.params > limit:
        return f"{card.cost.params:,} parameters, more than --max-params {limit:,}", None
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


def _screen_one(
    context: Context, card: BackboneCard, weights: LocalWeights | None, limit: float
) -> Any:
    """Builds one backbone, extracts and scores its features. Returns candidate and event."""
    from automl_transfer.training.features import extract
    from automl_transfer.training.probe import seconds_per_sample
    from automl_transfer.training.stages import stage_views, stages_of

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
    stages = stages_of(backbone, card)
    encoder = context.encoder(card)
    rows = context.rows(encoder)
    ticks: list[Progress] = []
    positions = context.splits.development
    matrix, computed = extract(
        backbone=backbone,
        rows=rows,
        positions=positions,
        cache=context.cache,
        key=_feature_key(context, card, weights, encoder),
        device=context.device,
        progress=lambda done, total: ticks.append(Progress(what=card.id, done=done, total=total)),
        should_stop=lambda: context.watch.elapsed >= limit,
    )
    yield from ticks[-1:]
    features = np.full((len(context.dataset.samples), matrix.shape[1]), np.nan, dtype=np.float32)
    features[positions] = matrix
    ranker = next(iter(context.registry.rankers.values())).card
    train = context.splits.train
    score = float(
        context.registry.load(ranker)(
            features=features[train],
            labels=context.dataset.labels[train],
            classes=len(context.task.classes),
            seed=context.request.seed,
        )
    )
    candidate = Candidate(
        card=card,
        weights=weights,
        build=build,
        stages=stages,
        views=stage_views(backbone.module, stages),
        parameters=parameters,
        width=matrix.shape[1],
        features=features,
        score=score,
        seconds_per_sample=seconds_per_sample(backbone, rows, positions, context.device),
    )
    event = BackboneScreened(
        backbone=card.id,
        score=score,
        ranker=ranker.id,
        seconds=time.monotonic() - started,
        samples=len(positions),
        cached=computed == 0,
    )
    kept = [row for row in context.store.get("screen", []) if row["backbone"] != card.id]
    context.store.put("screen", [*kept, to_json(event)])
    return candidate, event


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
        key=_feature_key(context, candidate.card, candidate.weights, encoder),
        device=context.device,
    )
    return found


def _feature_key(
    context: Context, card: BackboneCard, weights: LocalWeights | None, encoder: Encoder
) -> FeatureKey:
    from automl_transfer.training.features import FeatureKey

    return FeatureKey(
        weights=weights.sha256 if weights else f"seed-{context.request.seed}",
        # Another version of a plugin may compute something else from the same card.
        card=digest([card.digest, context.registry.provider("backbone", card.id)]),
        encoder=encoder.digest,
        dtype="float32" if context.device.type == "cpu" else f"autocast-{context.device.type}",
    )
