"""Yardsticks on the test part: what anyone would ask about."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_transfer.contracts import RawRows
from automl_transfer.recommendation import Baseline
from automl_transfer.scoring import knn_predict, scores
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.screen import features_of

DEFAULT_BACKBONE = "bundled/efficientnet_lite0"
RAW_LIMIT = 2000
"""Development samples that the naive baseline looks at, so that it stays cheap, and test samples
that it looks at together."""


def baselines(context: Context) -> tuple[Baseline, ...]:
    """Majority class, nearest neighbours on raw inputs, nearest neighbours on frozen features."""
    found = []
    for make in (_majority, _raw, _frozen):
        try:
            found.append(make(context))
        except Exception as error:  # a yardstick must not cost the answer
            name = make.__name__.strip("_")
            context.notes.append(f"The baseline {name!r} could not be scored: {error}")
    return tuple(found)


def _score(context: Context, probabilities: NDArray[np.float32]) -> float:
    labels = context.dataset.labels[context.splits.test]
    return scores(probabilities, labels)[context.task.metric]


def _majority(context: Context) -> Baseline:
    counts = np.bincount(
        context.dataset.labels[context.splits.development], minlength=len(context.task.classes)
    )
    shares = (counts / counts.sum()).astype(np.float32)
    return Baseline(
        name="majority class",
        description=f"always {context.task.classes[int(counts.argmax())]!r}",
        value=_score(context, np.tile(shares, (len(context.splits.test), 1))),
    )


def _raw(context: Context) -> Baseline:
    development = context.splits.development
    if len(development) > RAW_LIMIT:
        generator = np.random.default_rng(context.request.seed)
        development = np.sort(generator.choice(development, RAW_LIMIT, replace=False))
    known = _raw_features(context, development)
    labels = context.dataset.labels[development]
    test = context.splits.test
    # In blocks: these are long vectors, and the test part may be large.
    blocks = [test[start : start + RAW_LIMIT] for start in range(0, len(test), RAW_LIMIT)]
    shares = [
        knn_predict(known, labels, _raw_features(context, block), len(context.task.classes))
        for block in blocks
    ]
    return Baseline(
        name="kNN on raw inputs",
        description=f"5 nearest of {len(development)} samples, no network at all",
        value=_score(context, np.concatenate(shares)),
    )


def _raw_features(context: Context, positions: NDArray[np.int64]) -> NDArray[np.float32]:
    modality = context.modality
    if not isinstance(modality, RawRows):
        return modality.raw_features(context.dataset, positions)
    encoder = modality.encoder(context.dataset.root, modality.raw_input, {})
    rows = np.stack(context.rows(encoder).rows(positions))
    return rows.reshape(len(rows), -1).astype(np.float32)


def _frozen(context: Context) -> Baseline:
    from automl_transfer.training.matrix import give_back

    candidate = _default(context)
    known = candidate.features_at(context.splits.development)
    development, test = context.splits.development, context.splits.test
    shares = knn_predict(
        known,
        context.dataset.labels[development],
        features_of(context, candidate, test),
        len(context.task.classes),
        block_done=lambda: give_back(known),
    )
    return Baseline(
        name="kNN on frozen features",
        description=f"5 nearest by the features of {candidate.card.id}, nothing trained",
        value=_score(context, shares),
    )


def _default(context: Context) -> Candidate:
    if DEFAULT_BACKBONE in context.candidates:
        return context.candidates[DEFAULT_BACKBONE]
    return next(iter(context.candidates.values()))
