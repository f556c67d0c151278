"""Checks of a ranker: what it says of features that are good, bad, or degenerate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from automl_transfer.testing.kit.checking import Subject, check, require
from automl_transfer.testing.kit.inputs import CLASSES

SAMPLES, WIDTH = 60, 16


@check("shape", "ranker")
def a_score_is_a_finite_number(subject: Subject) -> None:
    """Scores are finite numbers, for few samples and for features that hardly vary as well."""
    features, labels = _data(1.0)
    flat = features.copy()
    flat[:, 1:] = 1.0
    for what, given, known in (
        ("features that tell the classes apart", features, labels),
        ("features of which all but one are the same", flat, labels),
        ("six samples", features[:6], labels[:6]),
        ("fewer samples than features", features[:9], labels[:9]),
    ):
        found = _score(subject, given, known)
        require(
            isinstance(found, (int, float)) and bool(np.isfinite(found)),
            f"{subject.card.id!r} must return a finite number for {what}, but returned "
            f"{found!r:.80}.",
        )


@check("shape", "ranker")
def a_ranker_is_deterministic(subject: Subject) -> None:
    """The same features, labels and seed give the same score."""
    features, labels = _data(1.0)
    first, second = _score(subject, features, labels), _score(subject, features, labels)
    require(
        first == second,
        f"{subject.card.id!r} must give the same score for the same features and seed, but gave "
        f"{first!r} and {second!r}: draw from the seed that it is given.",
    )


@check("shape", "ranker")
def a_ranker_changes_nothing(subject: Subject) -> None:
    """Features and labels are left as they were: other rankers see them, too."""
    features, labels = _data(1.0)
    before = features.copy(), labels.copy()
    _score(subject, features, labels)
    require(
        np.array_equal(before[0], features) and np.array_equal(before[1], labels),
        f"{subject.card.id!r} must leave features and labels as they were, but changes them.",
    )


@check("train", "ranker")
def better_features_score_higher(subject: Subject) -> None:
    """Features that tell the classes apart score higher than noise."""
    good, labels = _data(2.0)
    noise, _ = _data(0.0)
    high, low = _score(subject, good, labels), _score(subject, noise, labels)
    require(
        high > low,
        f"{subject.card.id!r} must score features that tell the classes apart higher than noise, "
        f"but gave {high:.4g} and {low:.4g}: higher is better.",
    )


def _data(apart: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    generator = np.random.default_rng(0)
    labels = np.arange(SAMPLES) % CLASSES
    centres = apart * generator.normal(size=(CLASSES, WIDTH))
    features = centres[labels] + generator.normal(size=(SAMPLES, WIDTH))
    return features.astype(np.float32), labels.astype(np.int64)


def _score(subject: Subject, features: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    found: float = subject.factory(
        features=features, labels=labels, classes=CLASSES, seed=subject.seed
    )
    return found
