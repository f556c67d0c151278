"""Metrics are scikit-learn's, with and without weights."""

from __future__ import annotations

import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from automl_transfer.metrics import prepare, reported
from automl_transfer.scoring import scores
from automl_transfer.task import METRICS


@st.composite
def predictions(draw):
    """Probabilities, coarse ones with ties among them; labels; whole-number weights."""
    classes = draw(st.integers(2, 8))
    n = draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = generator.integers(0, draw(st.integers(1, classes)), size=n)
    probabilities = generator.dirichlet(np.full(classes, draw(st.floats(0.1, 3))), size=n)
    if draw(st.booleans()):
        probabilities = np.round(4 * probabilities) / 4
    weights = generator.integers(0, 4, size=n)
    weights[generator.integers(n)] += 1
    return probabilities.astype(np.float32), labels, weights.astype(np.float64)


def by_scikit_learn(probabilities, labels, weights) -> dict[str, float]:
    predicted = probabilities.argmax(axis=1)
    classes = probabilities.shape[1]
    places = np.arange(len(labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        balanced = metrics.balanced_accuracy_score(labels, predicted, sample_weight=weights)
        present = [label for label in range(classes) if weights[labels == label].sum() > 0]
        areas = [
            metrics.roc_auc_score(labels == label, probabilities[:, label], sample_weight=weights)
            for label in present
            if len(present) > 1
        ]
    occurring = sorted({*present, *predicted[weights > 0]})
    # scikit-learn prefers the last of classes that are alike, argmax the first: turn them round.
    turned = probabilities[:, ::-1].astype(np.float64)
    top = (
        metrics.top_k_accuracy_score(
            classes - 1 - labels, turned, k=5, labels=np.arange(classes), sample_weight=weights
        )
        if classes > 5
        else 1.0
    )
    return {
        "accuracy": metrics.accuracy_score(labels, predicted, sample_weight=weights),
        "balanced_accuracy": balanced,
        "macro_f1": metrics.f1_score(
            labels,
            predicted,
            average="macro",
            labels=occurring,
            zero_division=0,
            sample_weight=weights,
        ),
        "neg_log_loss": np.average(
            np.log(np.clip(probabilities[places, labels].astype(float), 1e-7, 1)), weights=weights
        ),
        "roc_auc": np.mean(areas) if areas else np.nan,
        "top5_accuracy": top,
    }


@settings(deadline=None, max_examples=80)
@given(predictions())
def test_each_metric_is_that_of_scikit_learn_under_weights(case) -> None:
    probabilities, labels, weights = case
    expected = by_scikit_learn(*case)
    for name, value in expected.items():
        found = prepare(name, probabilities, labels)(weights[None])[0]
        assert found == pytest.approx(value, nan_ok=True), name


@settings(deadline=None, max_examples=40)
@given(predictions(), st.integers(0, 2**32 - 1))
def test_a_weight_is_a_sample_so_often(case, seed: int) -> None:
    """Also many rows of weights at once give what each gives alone."""
    probabilities, labels, weights = case
    shuffled = np.random.default_rng(seed).permutation(weights)
    rows = np.stack([weights, shuffled, np.ones_like(weights)])
    for name in ("roc_auc", "neg_ece", *METRICS):
        together = prepare(name, probabilities, labels)(rows)
        for row, value in zip(rows, together, strict=True):
            often = np.repeat(np.arange(len(labels)), row.astype(int))
            written_out = prepare(name, probabilities[often], labels[often])
            alone = written_out(np.ones((1, len(often))))[0]
            assert value == pytest.approx(alone, nan_ok=True), name


def test_top_five_is_reported_where_it_can_fail() -> None:
    assert "top5_accuracy" not in reported("single-label", 5)
    assert set(reported("single-label", 6)) - set(reported("single-label", 5)) == {"top5_accuracy"}
    probabilities = np.linspace(0.1, 0.2, 7)[None].astype(np.float32)
    assert [scores(probabilities, np.array([label]))["top5_accuracy"] for label in (1, 2)] == [
        0,
        1,
    ]


def test_calibration_error_by_hand() -> None:
    """Two bins: .9 sure and right in one of two; .6 sure and right."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]], dtype=np.float32)
    found = scores(probabilities, np.array([0, 1, 1]))["neg_ece"]
    assert found == pytest.approx(-(2 / 3 * 0.4 + 1 / 3 * 0.4))


@pytest.mark.parametrize("name", ["balanced_accuracy", "macro_f1"])
def test_many_classes_take_no_table_of_samples_and_classes(name: str) -> None:
    """What is kept of a prediction grows with its samples, not with samples times classes."""
    n, classes = 4000, 500
    generator = np.random.default_rng(0)
    labels = np.arange(n) % classes
    probabilities = generator.random((n, classes), dtype=np.float32)
    tracemalloc.start()
    try:
        evaluate = prepare(name, probabilities, labels)
        assert tracemalloc.get_traced_memory()[1] < n * classes * 8 / 4
    finally:
        tracemalloc.stop()
    assert np.isfinite(evaluate(np.ones((2, n)))).all()


def test_every_metric_that_can_be_optimised_is_reported() -> None:
    assert set(METRICS) <= set(reported("single-label", 2))
