from __future__ import annotations

import numpy as np
import pytest

from automl_transfer.rankers import logme
from tests.rankers.test_knn import clusters


def score(features, labels, classes: int = 3) -> float:
    return logme.score(features=features, labels=labels, classes=classes, seed=0)


def evidence(x: np.ndarray, y: np.ndarray, alpha: float, beta: float) -> float:
    """Logarithm of the normal density of y with the weights integrated out, for each sample."""
    covariance = np.eye(len(y)) / beta + x @ x.T / alpha
    _, size = np.linalg.slogdet(2 * np.pi * covariance)
    return -0.5 * (size + y @ np.linalg.solve(covariance, y)) / len(y)


@pytest.mark.parametrize("width", [8, 40])
def test_it_is_the_highest_evidence_on_a_fine_grid(width: int) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(30) % 3
    x = generator.normal(size=(3, width))[labels] + 2 * generator.normal(size=(30, width))
    exponents = np.linspace(-3, 3, 41)
    best = [
        max(
            evidence(x, (labels == k).astype(float), 4.0**a * width, 4.0**b)
            for a in exponents
            for b in exponents
        )
        for k in range(3)
    ]
    found = score(x.astype(np.float32), labels)
    assert found == pytest.approx(np.mean(best), abs=0.01)
    assert found >= np.mean(best) - 1e-4


def test_clearer_classes_score_higher() -> None:
    found = [score(*clusters(n=300, spread=spread)) for spread in (0.05, 0.2, 0.6, 2.0)]
    assert found == sorted(found, reverse=True)


def test_scale_does_not_count() -> None:
    features, labels = clusters(n=120, spread=0.6)
    assert score(features, labels) == pytest.approx(score(40 * features, labels), abs=1e-3)


def test_a_class_without_samples_does_not_count() -> None:
    features, labels = clusters(n=60, spread=0.6)
    assert score(features, labels, classes=5) == pytest.approx(score(features, labels))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_samples_that_are_all_alike_score_a_number(value: float) -> None:
    assert np.isfinite(score(np.full((12, 4), value, np.float32), np.arange(12) % 3))
    assert np.isfinite(score(np.full((3, 400), value, np.float32), np.arange(3)))
