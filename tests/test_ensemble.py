from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_transfer.ensemble import greedy_ensemble
from automl_transfer.errors import UsageError
from automl_transfer.scoring import scores
from automl_transfer.task import METRICS


def made(seed: int, models: int = 5, n: int = 60, classes: int = 3) -> tuple[list, np.ndarray]:
    """Models that each know something, and err independently."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, n)
    skill = generator.uniform(0, 1.5, size=models)
    found = []
    for own in skill:
        logits = generator.normal(size=(n, classes)) + own * np.eye(classes)[labels]
        powers = np.exp(logits)
        found.append((powers / powers.sum(axis=1, keepdims=True)).astype(np.float32))
    return found, labels


def value(weights: np.ndarray, models: list, labels: np.ndarray, metric: str) -> float:
    return scores(np.tensordot(weights, np.stack(models), axes=1), labels)[metric]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(METRICS), st.integers(1, 12))
def test_it_is_never_worse_than_the_best_model_on_its_own_samples(
    seed: int, metric: str, rounds: int
) -> None:
    models, labels = made(seed)
    weights = greedy_ensemble(models, labels, metric, rounds)
    assert weights.shape == (5,)
    assert (weights >= 0).all() and weights.sum() == pytest.approx(1)
    best = max(scores(one, labels)[metric] for one in models)
    assert value(weights, models, labels, metric) >= best - 1e-6


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.permutations(range(5)), st.sampled_from(METRICS))
def test_the_order_of_the_models_does_not_matter(seed: int, order: list, metric: str) -> None:
    models, labels = made(seed)
    weights = greedy_ensemble(models, labels, metric)
    shuffled = greedy_ensemble([models[place] for place in order], labels, metric)
    np.testing.assert_allclose(shuffled, weights[order])


def test_models_that_err_independently_are_better_together_on_new_samples() -> None:
    gains = []
    for seed in range(10):
        models, labels = made(seed, models=8, n=2000)
        known, new = [one[:1000] for one in models], [one[1000:] for one in models]
        weights = greedy_ensemble(known, labels[:1000], "accuracy")
        best = max(range(8), key=lambda i: scores(known[i], labels[:1000])["accuracy"])
        single = scores(new[best], labels[1000:])["accuracy"]
        gains.append(value(weights, new, labels[1000:], "accuracy") - single)
    assert np.mean(gains) > 0.01


def test_what_adds_nothing_is_left_out() -> None:
    labels = np.arange(30) % 3
    right = (0.9 * np.eye(3)[labels] + 0.1 / 3).astype(np.float32)
    noise = np.random.default_rng(0).dirichlet(np.ones(3), size=30).astype(np.float32)
    np.testing.assert_array_equal(greedy_ensemble([noise, right], labels, "accuracy"), [0, 1])


def test_of_equal_models_the_likelier_alone() -> None:
    labels = np.arange(30) % 3
    sure = (0.9 * np.eye(3)[labels] + 0.1 / 3).astype(np.float32)
    unsure = (0.4 * np.eye(3)[labels] + 0.6 / 3).astype(np.float32)
    np.testing.assert_array_equal(greedy_ensemble([unsure, sure], labels, "accuracy"), [0, 1])


def test_repeats_of_the_folds_are_averaged_in_the_metric() -> None:
    models, labels = made(3)
    twice = [np.stack([one, one]) for one in models]
    np.testing.assert_array_equal(
        greedy_ensemble(twice, labels, "accuracy"), greedy_ensemble(models, labels, "accuracy")
    )


@pytest.mark.parametrize(
    ("shapes", "rounds"), [([], 5), ([(4, 2), (4, 3)], 5), ([(5, 2)], 5), ([(4, 2)], 0)]
)
def test_what_cannot_be_averaged_is_refused(shapes: list, rounds: int) -> None:
    models = [np.full(shape, 1 / shape[1]) for shape in shapes]
    with pytest.raises(UsageError, match="An ensemble needs"):
        greedy_ensemble(models, np.array([0, 1, 0, 1]), "accuracy", rounds)
