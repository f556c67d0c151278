from __future__ import annotations

import numpy as np
import pytest

from automl_transfer.rankers import knn


def clusters(n: int = 60, classes: int = 3, spread: float = 0.1, seed: int = 0):
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = np.eye(classes, 8)
    values = centres[labels] + spread * generator.normal(size=(n, 8))
    return values.astype(np.float32), labels


def score(features, labels, classes: int = 3, seed: int = 0) -> float:
    return knn.score(features=features, labels=labels, classes=classes, seed=seed)


def test_separate_classes_score_one_and_noise_scores_chance() -> None:
    features, labels = clusters()
    assert score(features, labels) == 1.0
    noise = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    assert score(noise, np.arange(600) % 3) == pytest.approx(1 / 3, abs=0.08)


def test_clearer_classes_score_higher() -> None:
    found = [score(*clusters(n=300, spread=spread)) for spread in (0.2, 0.6, 2.0)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 3


def test_neither_scale_nor_place_counts() -> None:
    features, labels = clusters(n=120, spread=0.6)
    assert score(features, labels) == score(4 * features, labels)
    assert score(features, labels) == pytest.approx(score(features + 8, labels), abs=0.02)


def test_the_size_of_a_block_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = clusters(n=130, spread=0.6)
    whole = score(features, labels)
    monkeypatch.setattr(knn, "BLOCK", 7)
    assert score(features, labels) == pytest.approx(whole, abs=1 / 130)


def test_it_agrees_with_a_plain_loop() -> None:
    features, labels = clusters(n=50, spread=0.7)
    centred = features - features.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    hits = 0
    for place in range(50):
        similarity = unit @ unit[place]
        others = [other for other in np.argsort(-similarity) if other != place][:5]
        votes = np.zeros(3)
        for other in others:
            votes[labels[other]] += 1 + similarity[other]
        hits += int(votes.argmax() == labels[place])
    assert score(features, labels) == hits / 50


def test_many_samples_are_sampled_by_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knn, "MOST", 40)
    features, labels = clusters(n=400, spread=0.7)
    assert score(features, labels, seed=1) == score(features, labels, seed=1)
    assert len({score(features, labels, seed=seed) for seed in range(5)}) > 1


def test_a_single_sample_has_no_neighbours() -> None:
    assert score(np.ones((1, 4), np.float32), np.zeros(1, np.int64)) == 0.0


def test_samples_that_are_all_alike_score_a_number() -> None:
    found = score(np.ones((12, 4), np.float32), np.arange(12) % 3)
    assert 0.0 <= found <= 1.0
