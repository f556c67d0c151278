from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from automl_transfer.tempering import tempered

SCORES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(2, 5)),
    elements=st.floats(-150, 150, width=32),
)


def softmax(scores: np.ndarray) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: np.ndarray = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return found


@settings(deadline=None)
@given(SCORES, st.floats(0.05, 20))
def test_the_most_likely_class_stays_and_rows_add_up(scores: np.ndarray, t: float) -> None:
    before = softmax(scores)
    after = tempered(before, t)
    assert after.dtype == np.float32 and after.shape == before.shape
    np.testing.assert_array_equal(after.argmax(axis=1), before.argmax(axis=1))
    np.testing.assert_allclose(after.sum(axis=1), 1, atol=1e-5)


def test_neighbouring_numbers_keep_their_order() -> None:
    high = np.float32(0.5)
    row = np.array([[np.nextafter(high, np.float32(0)), high, 0.0]], dtype=np.float32)
    for t in (1.5, 5.0, 50.0):
        assert tempered(row, t).argmax() == 1


@pytest.mark.parametrize("t", [0.5, 2.0, 7.0])
def test_it_is_the_softmax_of_scores_divided_by_the_temperature(t: float) -> None:
    scores = np.random.default_rng(0).normal(size=(20, 4)) * 3
    np.testing.assert_allclose(tempered(softmax(scores), t), softmax(scores / t), atol=1e-6)


def test_one_changes_nothing_and_softer_is_less_sure() -> None:
    p = softmax(np.random.default_rng(1).normal(size=(5, 3)))
    assert tempered(p, 1.0) is p
    assert (tempered(p, 3.0).max(axis=1) < p.max(axis=1)).all()
    assert (tempered(p, 0.3).max(axis=1) > p.max(axis=1)).all()


def test_what_is_impossible_stays_so() -> None:
    row = np.array([[0.0, 0.25, 0.75]], dtype=np.float32)
    assert tempered(row, 2.0)[0, 0] == 0
