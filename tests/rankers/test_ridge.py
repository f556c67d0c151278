from __future__ import annotations

import numpy as np
import pytest

from automl_transfer.rankers import ridge
from tests.rankers.test_knn import clusters


def score(features, labels, classes: int = 3) -> float:
    return ridge.score(features=features, labels=labels, classes=classes, seed=0)


def test_separate_classes_score_nearly_one_and_noise_no_more_than_a_guess() -> None:
    assert score(*clusters(n=600)) > 0.95
    noise = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    # Even less: without a sample, its class is the rarest of classes else of one size.
    assert score(noise, np.arange(600) % 3) < 1 / 3 - 1 + 0.08


def test_clearer_classes_score_higher() -> None:
    found = [score(*clusters(n=300, spread=spread)) for spread in (0.2, 0.6, 2.0)]
    assert found == sorted(found, reverse=True)


def test_the_log_loss_decides_between_backbones_without_a_mistake() -> None:
    assert score(*clusters(n=60, spread=0.12)) < score(*clusters(n=60, spread=0.02)) < 1.0


def test_neither_scale_nor_place_counts() -> None:
    features, labels = clusters(n=120, spread=0.6)
    assert score(features, labels) == pytest.approx(score(4 * features + 8, labels), abs=1e-4)


def test_more_features_than_samples_do_not_feign_success() -> None:
    noise = np.random.default_rng(0).normal(size=(90, 400)).astype(np.float32)
    assert score(noise, np.arange(90) % 3) < 1 / 3 - 1 + 0.15
