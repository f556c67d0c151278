"""Metrics are scikit-learn's, and the intervals cover what they should."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics
from sklearn.neighbors import KNeighborsRegressor

from automl_transfer import scoring
from automl_transfer.resampling import resampled_weights
from automl_transfer.scoring import interval, intervals, knn_predict, scores
from automl_transfer.task import METRICS


def test_the_log_loss_is_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([1, 1, 1], size=30).astype(np.float32)
    labels = np.arange(30) % 3
    wide = probabilities.astype(np.float64)
    expected = metrics.log_loss(labels, wide / wide.sum(axis=1, keepdims=True))
    assert scores(probabilities, labels)["neg_log_loss"] == pytest.approx(-expected, rel=1e-5)


def test_a_confident_error_costs_a_finite_amount() -> None:
    certain = np.array([[1.0, 0.0]], dtype=np.float32)
    assert np.isfinite(scores(certain, np.array([1]))["neg_log_loss"])


@pytest.mark.parametrize("metric", METRICS)
def test_an_interval_holds_the_score_and_shrinks_with_the_samples(metric: str) -> None:
    def width(n: int) -> float:
        generator = np.random.default_rng(1)
        labels = np.arange(n) % 3
        probabilities = generator.dirichlet([1, 1, 1], size=n).astype(np.float32)
        probabilities[np.arange(n), labels] += 0.3
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        found = interval(probabilities, labels, metric, seed=0)
        assert found.low <= scores(probabilities, labels)[metric] <= found.high
        return found.high - found.low

    assert width(400) < 0.6 * width(60)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(2)
    covered = 0
    for trial in range(200):
        hit = generator.random(100) < 0.7
        probabilities = np.where(hit[:, None], [0.9, 0.1], [0.1, 0.9]).astype(np.float32)
        found = interval(probabilities, np.zeros(100, int), "accuracy", seed=trial, resamples=300)
        covered += found.low <= 0.7 <= found.high
    assert 0.89 <= covered / 200 <= 0.99


def test_the_seed_decides_the_interval() -> None:
    probabilities = np.random.default_rng(0).dirichlet([1, 1], size=30).astype(np.float32)
    labels = np.arange(30) % 2
    first = interval(probabilities, labels, "neg_log_loss", seed=3)
    assert first == interval(probabilities, labels, "neg_log_loss", seed=3)
    assert first != interval(probabilities, labels, "neg_log_loss", seed=4)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("at_once", [1, 150, 1 << 22])
def test_intervals_of_many_predictions_are_those_of_each(
    metric: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "_PREDICTIONS_AT_ONCE", at_once)
    generator = np.random.default_rng(5)
    # Some resamples hold no sample of the third class.
    labels = np.repeat([0, 1, 2], [14, 14, 2])
    many = [generator.dirichlet(np.ones(3), size=30) for _ in range(5)]
    together = list(intervals(iter(many), labels, metric, seed=2))
    assert together == [interval(one, labels, metric, seed=2) for one in many]


def test_an_interval_survives_resamples_without_some_class() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], dtype=np.float32)
    found = interval(probabilities, np.array([0, 0, 1]), "balanced_accuracy", seed=0)
    assert found.low < 0.5
    assert found.high == 1.0


def test_no_mistake_among_few_is_not_certainty() -> None:
    """Exact (Clopper and Pearson): 30 of 30 show no more than 88 %."""
    right = np.tile(np.array([[0.9, 0.1]], dtype=np.float32), (30, 1))
    found = interval(right, np.zeros(30, int), "accuracy", seed=0)
    assert found.low == pytest.approx(0.88, abs=0.01)
    assert found.high == 1.0


def test_samples_of_one_group_are_one_piece_of_evidence() -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    few = generator.dirichlet([1, 1], size=60).astype(np.float32)
    groups = np.repeat(np.arange(60), 5)
    many, repeated = np.repeat(few, 5, axis=0), np.repeat(labels, 5)
    for metric in METRICS:
        alone = interval(few, labels, metric, seed=0)
        grouped = interval(many, repeated, metric, seed=0, groups=groups)
        blind = interval(many, repeated, metric, seed=0)
        assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high), abs=1e-6)
        assert blind.high - blind.low < 0.6 * (grouped.high - grouped.low)


def test_repeats_are_averaged() -> None:
    probabilities = np.random.default_rng(0).dirichlet([1, 1], size=(2, 40)).astype(np.float32)
    labels = np.arange(40) % 2
    both = scores(probabilities, labels)
    for name, value in both.items():
        each = [scores(one, labels)[name] for one in probabilities]
        assert value == pytest.approx(np.mean(each))


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy"])
def test_a_metric_survives_a_truth_of_one_class(metric: str) -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    assert scores(probabilities, np.array([0, 0]))[metric] == 0.5
    found = interval(probabilities, np.array([0, 0]), metric, seed=0)
    assert 0 <= found.low < found.high <= 1


def test_neighbours_vote_for_the_classes_they_have() -> None:
    train = np.array([[1, 0], [0.9, 0.1], [0, 1]], dtype=np.float32)
    found = knn_predict(train, np.array([0, 0, 3]), np.array([[1, 0.05]]), 4, neighbours=2)
    assert found.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    few = knn_predict(train, np.array([0, 0, 3]), np.array([[0.0, 1.0]]), 4, neighbours=5)
    np.testing.assert_allclose(few, [[2 / 3, 0, 0, 1 / 3]], rtol=1e-5)


def test_neighbours_are_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    train = generator.normal(size=(50, 6)).astype(np.float32)
    queries = generator.normal(size=(20, 6)).astype(np.float32)
    labels = generator.integers(0, 3, 50)
    whole = knn_predict(train, labels, queries, 3)
    by_hand = train / np.linalg.norm(train, axis=1, keepdims=True) @ queries.T
    for query, column in enumerate(by_hand.T):
        votes = np.bincount(labels[np.argsort(-column)[:5]], minlength=3)
        np.testing.assert_allclose(whole[query], votes / 5, atol=1e-6)
    blocks: list[None] = []
    for known, asked in ((3, 7), (50, 1), (49, 20)):
        monkeypatch.setattr("automl_transfer.scoring._NEIGHBOURS_AT_ONCE", known)
        monkeypatch.setattr("automl_transfer.scoring._QUERIES_AT_ONCE", asked)
        blocks.clear()
        found = knn_predict(train, labels, queries, 3, block_done=lambda: blocks.append(None))
        np.testing.assert_array_equal(found, whole)
        assert len(blocks) == -(-50 // known) * -(-20 // asked)


def test_many_samples_are_resampled_less_often() -> None:
    """So that samples times resamples stay bounded, for one prediction as for several."""
    n = 50_000
    clusters = np.arange(n) % 50
    assert sum(len(block) for block in resampled_weights(clusters, 1000, 0)) == 800
    assert sum(len(block) for block in resampled_weights(clusters[:20_000], 2000, 0)) == 2000
    assert sum(len(block) for block in resampled_weights(clusters, 30, 0)) == 30
    many = np.arange(400_000) % 50
    assert sum(len(block) for block in resampled_weights(many, 1000, 0)) == 200


def test_neighbours_by_distance_are_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    train = generator.uniform(0, 255, size=(1500, 6)).astype(np.float32)
    numbers = train.mean(axis=1).astype(np.float64)
    queries = generator.uniform(0, 255, size=(40, 6)).astype(np.float32)
    found = knn_predict(train, numbers, queries, 1, by_angle=False)
    expected = KNeighborsRegressor(5).fit(train, numbers).predict(queries)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)
