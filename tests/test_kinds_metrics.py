"""Metrics of labels and numbers are scikit-learn's, with and without weights."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from sklearn import metrics

from automl_transfer.comparison import compare
from automl_transfer.kinds import Kind
from automl_transfer.metrics import best_possible, is_share, prepare, reported
from automl_transfer.scoring import interval, score, scores
from automl_transfer.task import MAXIMISED, choose_metric

KINDS: tuple[Kind, ...] = ("multi-label", "regression")


@st.composite
def drawn(draw, kind: Kind):
    """Predictions, coarse ones with ties among them; targets; whole-number weights."""
    n = draw(st.integers(2, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    weights = generator.integers(0, 4, size=n)
    weights[generator.integers(n)] += 1
    if kind == "regression":
        numbers = generator.normal(draw(st.sampled_from([0.0, 1e4])), 3, size=n)
        predictions = (numbers + generator.normal(0, draw(st.floats(0, 5)), size=n))[:, None]
        return predictions.astype(np.float32), numbers, weights.astype(np.float64)
    labels = draw(st.integers(1, 5))
    sets = (generator.random((n, labels)) < draw(st.floats(0.1, 0.9))).astype(np.uint8)
    probabilities = generator.random((n, labels))
    if draw(st.booleans()):
        probabilities = np.round(4 * probabilities) / 4
    return probabilities.astype(np.float32), sets, weights.astype(np.float64)


def of_labels(probabilities, sets, weights) -> dict[str, float]:
    predicted = (probabilities >= 0.5).astype(int)
    seen = [at for at in range(sets.shape[1]) if weights[sets[:, at] > 0].sum() > 0]
    mixed = [at for at in seen if weights[sets[:, at] == 0].sum() > 0]
    occurring = [
        at for at in range(sets.shape[1]) if at in seen or weights[predicted[:, at] > 0].sum() > 0
    ]
    chance = np.clip(probabilities.astype(float), 1e-7, 1 - 1e-7)
    likely = np.log(np.where(sets > 0, chance, 1 - chance)).mean(axis=1)

    def f1(column: int) -> float:
        return float(
            metrics.f1_score(
                sets[:, column], predicted[:, column], sample_weight=weights, zero_division=0
            )
        )

    def mean(found: list[float], nothing: float) -> float:
        return float(np.mean(found)) if found else nothing

    return {
        "mean_average_precision": mean(
            [
                metrics.average_precision_score(
                    sets[:, at], probabilities[:, at], sample_weight=weights
                )
                for at in seen
            ],
            np.nan,
        ),
        "macro_f1": mean([f1(at) for at in occurring], np.nan),
        "micro_f1": metrics.f1_score(
            sets.ravel(),
            predicted.ravel(),
            sample_weight=np.repeat(weights, sets.shape[1]),
            zero_division=0,
        ),
        "subset_accuracy": np.average((predicted == sets).all(axis=1), weights=weights),
        "roc_auc": mean(
            [
                metrics.roc_auc_score(sets[:, at], probabilities[:, at], sample_weight=weights)
                for at in mixed
            ],
            np.nan,
        ),
        "neg_log_loss": np.average(likely, weights=weights),
    }


def of_numbers(predictions, numbers, weights) -> dict[str, float]:
    found = predictions[:, 0].astype(float)
    kept = weights > 0
    return {
        "r2": metrics.r2_score(numbers, found, sample_weight=weights)
        if len(np.unique(numbers[kept])) > 1
        else np.nan,
        "neg_mae": -metrics.mean_absolute_error(numbers, found, sample_weight=weights),
        "neg_rmse": -np.sqrt(metrics.mean_squared_error(numbers, found, sample_weight=weights)),
    }


@settings(deadline=None, max_examples=60)
@given(drawn("multi-label"))
def test_metrics_of_labels_are_scikit_learns(found) -> None:
    for name, expected in of_labels(*found).items():
        predictions, targets, weights = found
        value = prepare(name, predictions, targets)(weights[None])[0]
        assert value == pytest.approx(expected, abs=1e-6, nan_ok=True), name


@settings(deadline=None, max_examples=60)
@given(drawn("regression"))
def test_metrics_of_numbers_are_scikit_learns(found) -> None:
    for name, expected in of_numbers(*found).items():
        predictions, targets, weights = found
        value = prepare(name, predictions, targets)(weights[None])[0]
        assert value == pytest.approx(expected, rel=1e-5, abs=1e-5, nan_ok=True), name


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_an_interval_holds_the_score_and_stays_in_range(kind: Kind, data) -> None:
    predictions, targets, _ = data.draw(drawn(kind))
    for name in reported(kind, predictions.shape[1]):
        value = score(predictions, targets, name)
        ends = interval(predictions, targets, name, seed=0, resamples=200)
        assert ends.low <= ends.high <= best_possible(name) + 1e-12
        if is_share(name):
            assert 0 <= ends.low <= value + 1e-9 and value - 1e-9 <= ends.high


@pytest.mark.parametrize("kind", KINDS)
def test_every_metric_that_can_be_maximised_compares_predictions(kind: Kind) -> None:
    generator = np.random.default_rng(0)
    if kind == "regression":
        targets = generator.normal(size=200)
        good, bad = (
            (targets + generator.normal(0, spread, size=200))[:, None] for spread in (0.1, 1.0)
        )
    else:
        targets = (generator.random((200, 3)) < 0.4).astype(np.uint8)
        good, bad = (
            np.clip(targets * 0.6 + 0.2 + generator.normal(0, spread, size=targets.shape), 0, 1)
            for spread in (0.1, 0.6)
        )
    for name in MAXIMISED[kind]:
        found = compare([bad, good], targets, name, seed=0)
        assert found.best == 1 and found.beats(1, 0) and not found.beats(0, 1), name
        same = compare([good, good], targets, name, seed=0)
        assert same.contenders[0].tied and same.minimum_detectable is None, name


@pytest.mark.parametrize(
    ("kind", "metric"), [("multi-label", "mean_average_precision"), ("regression", "r2")]
)
def test_equals_are_seldom_told_apart_and_better_ones_often(kind: Kind, metric: str) -> None:
    generator = np.random.default_rng(0)
    claims = found = 0
    for seed in range(60):
        if kind == "regression":
            targets = generator.normal(size=120)
            one, other, worse = (
                (targets + generator.normal(0, spread, size=120))[:, None]
                for spread in (1.0, 1.0, 1.6)
            )
        else:
            targets = (generator.random((120, 3)) < (0.5, 0.3, 0.15)).astype(np.uint8)
            one, other, worse = (
                special.expit(2.0 * targets - 1 + generator.normal(0, spread, targets.shape))
                for spread in (1.0, 1.0, 1.6)
            )
        equals = compare([one, other], targets, metric, seed=seed, resamples=400)
        claims += equals.beats(0, 1) or equals.beats(1, 0)
        found += compare([one, worse], targets, metric, seed=seed, resamples=400).beats(0, 1)
    assert claims <= 6 and found >= 40


@pytest.mark.parametrize("kind", KINDS)
def test_the_metric_of_a_search_is_among_those_that_are_told(kind: Kind) -> None:
    predictions = np.full((10, 1), 0.25)
    targets = np.linspace(0, 1, 10) if kind == "regression" else np.eye(10, 1, dtype=np.uint8)
    chosen, reason = choose_metric(targets)
    assert chosen in scores(predictions, targets) and reason
    assert set(MAXIMISED[kind]) <= set(reported(kind, 1))
