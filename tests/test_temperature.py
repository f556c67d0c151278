"""Temperature scaling finds the temperature, and never runs away."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_transfer.metrics import prepare
from automl_transfer.temperature import COLDEST, HOTTEST, temperature
from automl_transfer.tempering import tempered


def softmax(logits):
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def calibrated(n: int, seed: int):
    """Logits, and labels drawn from their softmax."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(n, 4)) * 2
    draws = generator.random((n, 1))
    return logits, (softmax(logits).cumsum(axis=1) < draws).sum(axis=1)


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_it_finds_the_temperature_that_was_applied(true: float) -> None:
    logits, labels = calibrated(6000, 0)
    found = temperature(softmax(logits * true), labels)
    assert found == pytest.approx(true, rel=0.1)


@pytest.mark.parametrize("true", [0.3, 4.0])
def test_log_loss_and_calibration_are_better_on_new_samples(true: float) -> None:
    logits, labels = calibrated(400, 1)
    found = temperature(softmax(logits * true), labels)
    logits, labels = calibrated(4000, 2)
    raw = softmax(logits * true)
    for metric in ("neg_log_loss", "neg_ece"):
        before, after = (
            prepare(metric, each, labels)(np.ones((1, len(labels))))[0]
            for each in (raw, tempered(raw, found))
        )
        assert after > before + 0.01


def test_predictions_without_a_mistake_stay_finite() -> None:
    labels = np.arange(60) % 3
    sure = np.eye(3)[labels].astype(np.float32)
    found = temperature(sure, labels)
    assert COLDEST <= found <= HOTTEST
    assert np.isfinite(tempered(sure, found)).all()
    hesitant = (0.6 * np.eye(3) + 0.4 / 3)[labels].astype(np.float32)
    assert 0.1 < temperature(hesitant, labels) < 1


def test_predictions_that_are_always_wrong_become_even() -> None:
    labels = np.arange(60) % 3
    wrong = np.eye(3)[(labels + 1) % 3].astype(np.float32)
    found = temperature(wrong, labels)
    assert found == pytest.approx(HOTTEST, rel=0.01)


def test_repeats_count_together() -> None:
    logits, labels = calibrated(200, 3)
    one, other = softmax(logits), softmax(logits * 3)
    both = temperature(np.stack([one, other]), labels)
    assert temperature(one, labels) < both < temperature(other, labels)
    assert temperature(np.stack([one, one]), labels) == pytest.approx(temperature(one, labels))


@settings(deadline=None, max_examples=50)
@given(st.floats(COLDEST, HOTTEST), st.integers(0, 2**32 - 1))
def test_the_order_of_the_classes_stays(value: float, seed: int) -> None:
    before = np.random.default_rng(seed).dirichlet([1, 1, 1], size=20).astype(np.float32)
    after = tempered(before, value)
    np.testing.assert_allclose(after.sum(axis=1), 1, rtol=1e-5)
    largest = np.take_along_axis(after, before.argmax(axis=1)[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(largest, after.max(axis=1))


def test_temperature_one_changes_nothing() -> None:
    before = np.random.default_rng(0).dirichlet([1, 1, 1], size=20).astype(np.float32)
    np.testing.assert_allclose(tempered(before, 1.0), before, rtol=1e-5)
