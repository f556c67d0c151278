"""Folds by chance."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_transfer.folds import random_folds


@st.composite
def samples(draw):
    n = draw(st.integers(10, 80))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = generator.integers(0, draw(st.integers(1, 5)), n)
    # Each group is of one class, as the copies of one sample are.
    groups = 5 * generator.integers(0, n // 4, n) + labels if draw(st.booleans()) else None
    return labels, groups


@settings(deadline=None, max_examples=60)
@given(samples(), st.integers(2, 5), st.integers(0, 1000))
def test_groups_stay_whole_and_each_class_can_be_learned(case, count, seed) -> None:
    labels, groups = case
    found = random_folds(labels, count, seed, groups)
    np.testing.assert_array_equal(found, random_folds(labels, count, seed, groups))
    assert set(found) <= set(range(count))
    own = np.arange(len(labels)) if groups is None else groups
    for group in np.unique(own):
        assert len(set(found[own == group])) == 1
    for label in np.unique(labels):
        if len(set(own[labels == label])) > 1:
            assert len(set(found[labels == label])) > 1


def test_folds_are_of_the_same_size_and_depend_on_the_seed() -> None:
    labels = np.arange(103) % 3
    sizes = np.bincount(random_folds(labels, 10, 0))
    assert sizes.min() >= 9
    assert sizes.max() <= 12
    assert (random_folds(labels, 10, 0) != random_folds(labels, 10, 1)).any()


def test_the_luck_of_a_draw_is_not_counted_twice() -> None:
    """A model that knows only the shares of the classes is right as often as the largest one is.

    Both classes are equally frequent, so that the truth is one half, whatever was drawn; folds
    that keep the shares of the draw say more.
    """
    found, kept = [], []
    for seed in range(400):
        labels = np.random.default_rng(seed).integers(0, 2, 40)
        fold = random_folds(labels, 10, seed + 10_000)
        right = [
            np.mean(labels[fold == each] == np.bincount(labels[fold != each]).argmax())
            for each in range(10)
        ]
        found.append(np.mean(right))
        kept.append(max(labels.mean(), 1 - labels.mean()))
    assert np.mean(kept) > 0.55
    assert np.mean(found) == pytest.approx(0.5, abs=0.02)
