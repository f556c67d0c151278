"""Screen: find the backbones that can run, compute their frozen features once, score them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import Backbone, LocalWeights
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
from automl_transfer.jsonable import to_json
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.select import select_backbones

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
    ready: list[tuple[BackboneCard, LocalWeights | None]] = []
    yield StageStarted(stage="screen", detail="looking for weights")
    for found in select_backbones(context.request, context.registry, context.task.modality):
        if isinstance(found, tuple):
            yield _excluded(context, *found)
            continue
        reason, weights = _obstacle(context, found, hub)
        if reason:
            yield _excluded(context, found.id, reason)
        else:
            ready.append((found, weights))
    # Cheapest first: an answer early, and an early measure of this machine's speed.
    ready.sort(key=lambda item: (_cost(item[0]), item[0].id))
    screened: list[Candidate] = []
    for card, weights in ready:
        limit = context.watch.share(SHARE if screened else FIRST_SHARE)
        if context.watch.elapsed >= limit:
            yield _excluded(context, card.id, "the time for screening was used up before it")
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
    context: Context, card: BackboneCard, hub: Any
) -> tuple[str | None, LocalWeights | None]:
    """Why a backbone cannot be tried, or None and its weights."""
    from automl_transfer.weights import locate

    limit = context.request.max_params
    if limit is not None and card.cost is not None and card.cost.params > limit:
        return f"{card.cost.params:,} parameters, more than --max-params {limit:,}", None
    veto = context.registry.veto(card, context.task)
    if veto:
        return veto, None
    own = context.registry.locate_weights(card.weights, context.request.offline)
    if own is not None:
        return None, own
    try:
        return None, locate(card.weights, offline=context.request.offline, hub=hub)
    except WeightsUnavailableError as error:
        return str(error), None


def _screen_one(
    context: Context, card: BackboneCard, weights: LocalWeights | None, limit: float
) -> Any:
    """Builds one backbone, extracts and scores its features. Returns candidate and event."""
    from automl_transfer.training.features import FeatureKey, extract
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
    key = FeatureKey(
        weights=_weights_key(context, weights),
        card=card.digest,
        encoder=encoder.digest,
    )
    ticks: list[Progress] = []
    positions = context.splits.development
    forward = time.monotonic()
    matrix, computed = extract(
        backbone=backbone,
        rows=context.rows(encoder),
        positions=positions,
        cache=context.cache,
        key=key,
        device=context.device,
        progress=lambda done, total: ticks.append(Progress(what=card.id, done=done, total=total)),
        should_stop=lambda: context.watch.elapsed >= limit,
    )
    spent = time.monotonic() - forward
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
        seconds_per_sample=spent / computed if computed else 0.0,
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
    from automl_transfer.training.features import FeatureKey, extract

    encoder = context.encoder(candidate.card)
    found, _ = extract(
        backbone=candidate.build(),
        rows=context.rows(encoder),
        positions=positions,
        cache=context.cache,
        key=FeatureKey(
            weights=_weights_key(context, candidate.weights),
            card=candidate.card.digest,
            encoder=encoder.digest,
        ),
        device=context.device,
    )
    return found


def _weights_key(context: Context, weights: LocalWeights | None) -> str:
    return weights.sha256 if weights else f"seed-{context.request.seed}"
