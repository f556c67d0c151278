"""What anyone would ask about beside the answer, scored on the same samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from automl_transfer.comparison import compare
from automl_transfer.contracts import RawRows
from automl_transfer.errors import staying
from automl_transfer.events import Event, Progress
from automl_transfer.kinds import Kind
from automl_transfer.metrics import is_share
from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import DEFAULT_FINE_TUNE, FROM_SCRATCH, Baseline, Interval
from automl_transfer.scoring import knn_predict, score
from automl_transfer.stages.closing import closing_seconds
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.frozen_features import features_of
from automl_transfer.stages.held_out import Scored
from automl_transfer.stages.plain_training import default_fine_tune, from_scratch
from automl_transfer.stages.yardstick import Made, Positions, Probabilities, Yardstick
from automl_transfer.target import totals

DEFAULT_BACKBONE = "bundled/efficientnet_lite0"
CONSTANT: dict[Kind, str] = {
    "single-label": "majority class",
    "multi-label": "label frequencies",
    "regression": "mean",
}
"""Names of the baseline that looks at no sample."""
RAW_LIMIT = 2000
"""Samples that the naive baseline learns from, so that it stays cheap."""
RAW_BLOCK = 256
"""Samples that it looks at together."""


def baselines(
    context: Context, yardstick: Yardstick, winner: Outcome, scored: Scored
) -> Iterator[Event | Baseline]:
    """Scores them all, the dear ones last; each is yielded when it is there.

    Args:
        context: Of the search.
        yardstick: What the winner was scored on.
        winner: The trial that is recommended.
        scored: What it predicted for the samples of ``yardstick``.
    """
    cheap: list[tuple[str, Callable[[], Made]]] = [
        (CONSTANT[context.task.target.kind], lambda: _majority(context, yardstick)),
        ("kNN on raw inputs", lambda: _raw(context, yardstick)),
        ("kNN on frozen features", lambda: _frozen(context, yardstick)),
    ]
    dear: list[tuple[str, Callable[[], Made]]] = [
        (
            DEFAULT_FINE_TUNE,
            lambda: default_fine_tune(context, yardstick, default(context), winner),
        ),
        (FROM_SCRATCH, lambda: from_scratch(context, yardstick, winner)),
    ]
    end = closing_seconds()
    for name, make in (*cheap, *dear):
        if context.watch.left <= end:
            text = "not run: the budget had ended; a larger --budget runs it"
            yield Baseline(name=name, description=text, value=None)
            continue
        yield Progress(what=f"baseline: {name}", done=0, total=1)
        try:
            with staying("A baseline"):
                made = make()
            yield _scored(context, made, yardstick, scored)
        except Exception as error:  # a yardstick must not cost the answer
            context.notes.append(f"The baseline {name!r} could not be scored: {error}")


def _scored(context: Context, made: Made, yardstick: Yardstick, scored: Scored) -> Baseline:
    if made.probabilities is None:
        return Baseline(name=made.name, description=made.description, value=None)
    positions = (made.on or yardstick).positions
    targets = context.dataset.targets[positions]
    places = np.searchsorted(yardstick.positions, positions)
    own = np.take(scored.probabilities, places, axis=-2)
    return Baseline(
        name=made.name,
        description=made.description,
        value=score(made.probabilities, targets, context.task.metric),
        gain=_gain(context, own, made.probabilities, positions, scored.optimism),
    )


def _gain(
    context: Context,
    own: Probabilities,
    others: Probabilities,
    positions: Positions,
    optimism: float,
) -> Interval:
    """By how much the winner is better, paired by sample, less what its choice is worth."""
    found = compare(
        [own, others],
        context.dataset.targets[positions],
        context.task.metric,
        seed=context.request.seed,
        groups=context.splits.units[positions],
    )
    ends = found.difference(0, 1)
    low, high = ends.low - optimism, ends.high - optimism
    if is_share(context.task.metric):
        # A share can be no more than 1 ahead of another, nor than the other leaves.
        value = found.contenders[1].value
        low, high = max(low, -value), min(high, 1 - value)
    return Interval(low=low, high=high)


def _majority(context: Context, yardstick: Yardstick) -> Made:
    """What can be said without a look at a sample."""
    target, targets = context.task.target, context.dataset.targets

    def means(learn: Positions) -> NDArray[np.float32]:
        found = totals(targets[learn], target.outputs) / len(learn)
        return np.asarray(found, dtype=np.float32)

    known = means(context.splits.development)
    name, text = CONSTANT[target.kind], f"always {target.names[int(known.argmax())]!r}"
    if target.kind == "multi-label":
        text = "each label as probable as it is frequent"
    elif target.kind == "regression":
        text = f"always {known[0]:.4g}"
    return Made(
        name=name,
        description=text,
        probabilities=yardstick.predicted(
            lambda learn, score: np.tile(means(learn), (len(score), 1))
        ),
    )


def _raw(context: Context, yardstick: Yardstick) -> Made:
    targets = context.dataset.targets
    used = 0

    def predict(learn: Positions, score: Positions) -> Probabilities:
        nonlocal used
        if len(learn) > RAW_LIMIT:
            generator = np.random.default_rng(context.request.seed)
            learn = np.sort(generator.choice(learn, RAW_LIMIT, replace=False))
        used = len(learn)
        known = _raw_features(context, learn)
        # In blocks: these are long vectors, and what is scored may be large.
        blocks = [score[start : start + RAW_BLOCK] for start in range(0, len(score), RAW_BLOCK)]
        shares = [
            knn_predict(
                known,
                targets[learn],
                _raw_features(context, block),
                context.task.target.outputs,
                # Of raw inputs the size says as much as the direction: how bright an image is.
                by_angle=False,
            )
            for block in blocks
        ]
        return np.concatenate(shares)

    predicted = yardstick.predicted(predict)
    return Made(
        name="kNN on raw inputs",
        description=f"5 nearest of {used} samples, no network at all",
        probabilities=predicted,
    )


def _raw_features(context: Context, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    modality = context.modality
    if not isinstance(modality, RawRows):
        return modality.raw_features(context.dataset, positions)
    encoder = modality.encoder(context.dataset.root, modality.raw_input, {})
    store = context.rows(encoder)
    blocks = [
        np.stack(store.rows(positions[start : start + RAW_BLOCK])).astype(np.float32)
        for start in range(0, len(positions), RAW_BLOCK)
    ]
    return np.concatenate(blocks).reshape(len(positions), -1)


def _frozen(context: Context, yardstick: Yardstick) -> Made:
    from automl_transfer.training.matrix import give_back

    candidate = default(context)

    def predict(learn: Positions, score: Positions) -> Probabilities:
        known = candidate.features_at(learn)
        development = np.isin(score, candidate.positions).all()
        asked = (
            candidate.features_at(score) if development else features_of(context, candidate, score)
        )

        def block_done() -> None:
            give_back(known)
            give_back(asked)

        return knn_predict(
            known,
            context.dataset.targets[learn],
            asked,
            context.task.target.outputs,
            block_done=block_done,
        )

    return Made(
        name="kNN on frozen features",
        description=f"5 nearest by the features of {candidate.card.id}, nothing trained",
        probabilities=yardstick.predicted(predict),
    )


def default(context: Context) -> Candidate:
    """The backbone of those who do not choose."""
    if DEFAULT_BACKBONE in context.candidates:
        return context.candidates[DEFAULT_BACKBONE]
    return next(iter(context.candidates.values()))
