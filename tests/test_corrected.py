"""The choice among finalists no longer flatters the winner."""

from __future__ import annotations

import numpy as np
import pytest

from automl_transfer.comparison import compare
from automl_transfer.corrected import chosen, corrected, highest, of_choices
from automl_transfer.scoring import score
from automl_transfer.stages.choose import Rule
from automl_transfer.task import MAXIMISED, METRICS


def contender(labels, right: float, generator):
    guess = np.where(generator.random(len(labels)) < right, labels, 1 - labels)
    return (0.8 * np.eye(2)[guess] + 0.1).astype(np.float32)


@pytest.mark.parametrize("rights", [(0.8,) * 5, (0.85, 0.7, 0.7)])
def test_the_estimate_is_right_on_average_and_the_interval_holds_the_truth(rights) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(80) % 2
    naive, ours, covered = [], [], []
    for trial in range(120):
        each = [contender(labels, right, generator) for right in rights]
        found = compare(each, labels, "accuracy", trial, resamples=200)
        result = corrected(each, labels, "accuracy", trial, found, resamples=200)
        truth = rights[chosen(found, highest)]
        naive.append(found.contenders[found.best].value - truth)
        ours.append(result.value - truth)
        covered.append(result.interval.low <= truth <= result.interval.high)
        assert result.optimism == pytest.approx(found.contenders[found.best].value - result.value)
    error = np.std(ours) / np.sqrt(len(ours))
    assert abs(np.mean(ours)) < 0.005 + 2 * error
    if len(set(rights)) == 1:
        assert np.mean(naive) > 0.03
    assert np.mean(covered) >= 0.9


def test_pools_are_compared_without_the_luck_of_the_many() -> None:
    generator = np.random.default_rng(3)
    labels = np.arange(120) % 2
    many, one, lucky = [], [], []
    for trial in range(80):
        pool = [contender(labels, 0.78, generator) for _ in range(20)]
        alone = contender(labels, 0.82, generator)
        found = of_choices([pool, [alone]], labels, "accuracy", trial, resamples=200)
        assert found is not None
        many.append(found[0])
        one.append(found[1])
        assert found[1] == pytest.approx(score(alone, labels, "accuracy"))
        lucky.append(max(score(each, labels, "accuracy") for each in pool) - 0.82)
    assert np.mean(lucky) > 0.01
    assert np.mean(many) == pytest.approx(0.78, abs=0.01)
    assert np.mean(one) == pytest.approx(0.82, abs=0.012)


@pytest.mark.parametrize("metric", ["macro_f1", "roc_auc", "neg_log_loss"])
def test_a_pool_of_one_keeps_its_value_whatever_the_metric(metric: str) -> None:
    generator = np.random.default_rng(4)
    labels = (np.arange(90) % 3 == 0).astype(np.int64)
    alone = [contender(labels, right, generator) for right in (0.6, 0.7, 0.9)]
    found = of_choices([[one] for one in alone], labels, metric, 0, resamples=100)
    assert found == pytest.approx([score(one, labels, metric) for one in alone])


def test_where_the_metric_is_never_defined_nothing_is_said() -> None:
    only = np.zeros(30, dtype=np.int64)
    one = np.full((30, 2), 0.5, dtype=np.float32)
    assert of_choices([[one], [one, one]], only, "roc_auc", 0, resamples=20) is None


def test_what_does_not_choose_by_the_score_needs_no_correction() -> None:
    generator = np.random.default_rng(1)
    labels = np.arange(80) % 2
    each = [contender(labels, 0.8, generator) for _ in range(4)]
    found = compare(each, labels, "accuracy", 0)
    cheapest = Rule(margins=found.margins, costs=np.array([3.0, 9.0, 1.0, 27.0]), tolerance=1.0)
    assert chosen(found, cheapest) == 2
    result = corrected(each, labels, "accuracy", 0, found, rule=cheapest)
    assert result.value == pytest.approx(found.contenders[2].value, abs=0.01)


@pytest.mark.parametrize("metric", MAXIMISED["regression"])
def test_of_numbers_too_one_alone_keeps_its_score(metric: str) -> None:
    generator = np.random.default_rng(5)
    numbers = generator.normal(size=90)
    one = (numbers + 0.5 * generator.normal(size=90)).astype(np.float32)[:, np.newaxis]
    found = compare([one], numbers, metric, 0)
    result = corrected([one], numbers, metric, 0, found)
    assert result.value == pytest.approx(score(one, numbers, metric), abs=0.02)
    assert result.interval.low < result.value < result.interval.high


@pytest.mark.parametrize("metric", METRICS)
def test_one_alone_keeps_its_score(metric: str) -> None:
    generator = np.random.default_rng(2)
    labels = np.arange(90) % 2
    one = contender(labels, 0.8, generator)
    found = compare([one], labels, metric, 0)
    result = corrected([one], labels, metric, 0, found)
    assert result.value == pytest.approx(score(one, labels, metric), abs=0.01)
    own = found.contenders[0].interval
    assert result.interval.high - result.interval.low == pytest.approx(own.high - own.low, rel=0.1)


def test_a_handful_of_samples_still_gives_an_answer() -> None:
    labels = np.array([0, 1, 1])
    each = [np.eye(2, dtype=np.float32)[labels], np.full((3, 2), 0.5, dtype=np.float32)]
    for metric in METRICS:
        found = compare(each, labels, metric, 0)
        result = corrected(each, labels, metric, 0, found)
        assert np.isfinite(result.value)
        assert result.interval.low <= result.interval.high
