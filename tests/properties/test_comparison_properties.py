"""Ranking and ties depend on neither the order of the contenders, nor on that of the samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_transfer.comparison import compare
from automl_transfer.corrected import chosen, corrected, highest
from automl_transfer.stages.choose import Rule
from automl_transfer.task import METRICS


@st.composite
def contenders(draw):
    n = draw(st.integers(6, 60))
    classes = draw(st.integers(2, 4))
    count = draw(st.integers(2, 5))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    labels = np.concatenate([np.arange(classes), generator.integers(0, classes, n - classes)])
    repeats = draw(st.integers(1, 2))
    each = []
    for _ in range(count):
        rows = generator.dirichlet(np.ones(classes), size=(repeats, n))
        rows[:, np.arange(n), labels] += generator.random()
        each.append((rows / rows.sum(axis=2, keepdims=True)).astype(np.float32))
    groups = generator.integers(0, n // 2, n) if draw(st.booleans()) else None
    return each, labels, groups


@settings(deadline=None, max_examples=30)
@given(contenders(), st.sampled_from(METRICS), st.randoms(use_true_random=False))
def test_the_order_of_the_contenders_changes_nothing(case, metric, shuffler) -> None:
    each, labels, groups = case
    order = list(range(len(each)))
    shuffler.shuffle(order)
    costs = 2.0 ** np.arange(len(each))
    one = compare(each, labels, metric, 0, groups, resamples=200)
    other = compare([each[place] for place in order], labels, metric, 0, groups, resamples=200)
    assert order[other.best] == one.best
    assert other.contenders == tuple(one.contenders[place] for place in order)
    assert other.minimum_detectable == pytest.approx(one.minimum_detectable)
    cheapest = Rule(margins=one.margins, costs=costs, tolerance=0.1)
    moved = Rule(margins=other.margins, costs=costs[order], tolerance=0.1)
    assert order[chosen(other, moved)] == chosen(one, cheapest)
    for rule, turned in ((highest, highest), (cheapest, moved)):
        first = corrected(each, labels, metric, 0, one, rule=rule, groups=groups, resamples=200)
        second = corrected(
            [each[place] for place in order],
            labels,
            metric,
            0,
            other,
            rule=turned,
            groups=groups,
            resamples=200,
        )
        assert first.value == pytest.approx(second.value)


@settings(deadline=None, max_examples=30)
@given(contenders(), st.sampled_from(METRICS))
def test_a_copy_is_always_tied_with_its_original(case, metric: str) -> None:
    each, labels, groups = case
    found = compare([*each, each[0].copy()], labels, metric, 0, groups, resamples=200)
    first, copy = found.contenders[0], found.contenders[-1]
    assert (first.value, first.p_best, first.tied) == (copy.value, copy.p_best, copy.tied)
    assert not found.beats(0, len(each)) and not found.beats(len(each), 0)


@settings(deadline=None, max_examples=30)
@given(contenders(), st.sampled_from(METRICS))
def test_the_winner_is_tied_with_the_best_and_claims_follow_the_ties(case, metric: str) -> None:
    each, labels, groups = case
    found = compare(each, labels, metric, 0, groups, resamples=200)
    values = [one.value for one in found.contenders]
    assert values[found.best] == max(values)
    assert found.contenders[found.best].tied
    for place, one in enumerate(found.contenders):
        assert one.tied is not found.beats(found.best, place)
        assert 0 <= one.p_best <= 1
    costs = 2.0 ** -np.arange(len(each))
    cheapest = Rule(margins=found.margins, costs=costs, tolerance=1.0)
    assert found.contenders[chosen(found, cheapest)].tied


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(METRICS), st.integers(0, 2**32 - 1))
def test_intervals_shrink_with_the_samples(metric: str, seed: int) -> None:
    def widths(n: int) -> tuple[float, float]:
        generator = np.random.default_rng(seed)
        labels = np.arange(n) % 2
        each = []
        for sharp in (0.4, 0.2):  # scores near 1 have narrow intervals anyway
            rows = generator.dirichlet([1, 1], size=n)
            rows[np.arange(n), labels] += sharp
            each.append((rows / rows.sum(axis=1, keepdims=True)).astype(np.float32))
        found = compare(each, labels, metric, 0, resamples=300)
        alone = found.contenders[0].interval
        return alone.high - alone.low, float(found.margins[0, 1])

    few, many = widths(60), widths(600)
    assert many[0] < 0.7 * few[0]
    assert many[1] < 0.7 * few[1]
