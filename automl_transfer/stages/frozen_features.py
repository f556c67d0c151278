"""Frozen features of samples, as screening computes them for all later stages."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import Backbone, Encoder, LocalWeights
from automl_transfer.contracts import Progress as Told
from automl_transfer.events import Event
from automl_transfer.jsonable import digest
from automl_transfer.stages.context import Bench, Candidate, Context
from automl_transfer.stages.following import followed, usual_hang

if TYPE_CHECKING:
    from automl_transfer.training.features import FeatureKey
    from automl_transfer.training.stage_outputs import StageOutputs
    from automl_transfer.training.taps import Tap


ENOUGH, SOME = 64, 15
"""Samples whose pass tells how long others will take: well enough to be kept, and for now."""


def extracted(
    context: Context,
    card: BackboneCard,
    weights: LocalWeights | None,
    backbone: Backbone,
    positions: NDArray[np.int64],
    limit: float,
    tap: Tap | None = None,
) -> Generator[Event, None, tuple[NDArray[np.float32], int, float]]:
    """Frozen features, from the cache where they are there.

    Args:
        context: Of the search.
        card: Of the backbone.
        weights: Its weights; None: random ones.
        backbone: As it was built.
        positions: Samples, ascending, shape (n,).
        limit: Seconds of the study's clock at which to stop.
        tap: Keeps something else that the same passes compute.

    Returns:
        Features, shape (n, width), how many samples were computed now, and the seconds of a
        forward pass of one.

    Raises:
        StoppedError: The limit was reached; what was done is kept.
        HungError: A batch took longer than anything may.
    """
    from automl_transfer.training.device import give_back_freed
    from automl_transfer.training.features import extract
    from automl_transfer.training.probe import seconds_per_sample
    from automl_transfer.training.stage_outputs import what_is_read

    encoder = context.encoder(card)
    rows = context.rows(encoder)
    key = feature_key(context, card, weights, encoder, what_is_read(backbone))
    if context.fleet is not None and context.fleet.is_wanted:
        yield from context.fleet.extract(card, weights, backbone, positions, limit)
    started = context.watch.elapsed

    def compute(told: Told) -> tuple[NDArray[np.float32], int]:
        return extract(
            backbone=backbone,
            rows=rows,
            positions=positions,
            cache=context.cache,
            key=key,
            device=context.device,
            progress=told,
            should_stop=lambda: context.watch.elapsed >= limit,
            tap=tap,
        )

    matrix, computed = yield from followed(card.id, compute, usual_hang())
    own = (context.watch.elapsed - started) / max(1, computed)
    if computed >= ENOUGH:
        context.speeds.put(own, "forward", key.digest)
    speed = context.speeds.get("forward", key.digest)
    if speed is None and computed >= SOME:
        speed = own
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
    from automl_transfer.training.matrix import columns

    if candidate.staged is not None:
        # The passes that are kept are those that have both.
        return columns(features_of(context, candidate.staged, positions), candidate.width)

    encoder = context.encoder(candidate.card)
    found, _ = extract(
        backbone=candidate.build(),
        rows=context.rows(encoder),
        positions=positions,
        cache=context.cache,
        key=feature_key(context, candidate.card, candidate.weights, encoder, candidate.read),
        device=context.device,
    )
    return found


def feature_key(
    context: Bench,
    card: BackboneCard,
    weights: LocalWeights | None,
    encoder: Encoder,
    read: StageOutputs | None = None,
) -> FeatureKey:
    """Everything that the frozen features of a backbone depend on, but the sample.

    Args:
        context: Of the search, or of a worker.
        card: Of the backbone.
        weights: Its weights; None: random ones.
        encoder: Of its samples.
        read: What is read of the backbone beside its features.
    """
    from automl_transfer.training.features import FeatureKey

    return FeatureKey(
        pooling="own" if read is None else read.pooling,
        weights=weights.sha256 if weights else f"seed-{context.request.seed}",
        # Another version of a plugin may compute something else from the same card.
        card=digest([card.digest, context.registry.provider("backbone", card.id)]),
        encoder=encoder.digest,
        dtype="float32" if context.device.type == "cpu" else f"autocast-{context.device.type}",
    )
