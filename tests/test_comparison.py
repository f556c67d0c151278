"""What may be said of predictions side by side."""

from __future__ import annotations

import numpy as np
import pytest

from automl_transfer.comparison import compare
from automl_transfer.scoring import score
from automl_transfer.task import METRICS


def contender(labels, right: float, seed: int, classes: int = 3):
    """Predictions of which each is right with this chance, independently."""
    generator = np.random.default_rng(seed)
    wrong = (labels + generator.integers(1, classes, size=len(labels))) % classes
    guess = np.where(generator.random(len(labels)) < right, labels, wrong)
    probabilities = 0.3 * generator.dirichlet(np.ones(classes), size=len(labels))
    probabilities[np.arange(len(labels)), guess] += 0.7
    return probabilities.astype(np.float32)


def labels_of(n: int, classes: int = 3):
    return np.arange(n) % classes


@pytest.mark.parametrize("metric", METRICS)
def test_a_clear_difference_is_said_and_a_small_one_is_not(metric: str) -> None:
    labels = labels_of(200)
    good, alike, bad = (
        contender(labels, right, seed) for seed, right in enumerate((0.9, 0.9, 0.5))
    )
    found = compare([bad, good, alike], labels, metric, seed=0)
    assert found.best in (1, 2)
    assert [one.tied for one in found.contenders] == [False, True, True]
    assert found.beats(1, 0)
    assert found.beats(2, 0)
    assert not found.beats(1, 2) and not found.beats(2, 1)
    assert not found.beats(0, 1)
    behind = found.contenders[0].behind
    assert behind is not None and 0 < behind.low < behind.high
    assert behind == found.difference(found.best, 0)
    mirrored = found.difference(0, found.best)
    assert (mirrored.low, mirrored.high) == pytest.approx((-behind.high, -behind.low))
    assert found.contenders[found.best].behind is None
    assert sum(one.p_best for one in found.contenders) == pytest.approx(1)
    assert found.contenders[0].p_best < 0.01
    for one, predicted in zip(found.contenders, (bad, good, alike), strict=True):
        assert one.value == score(predicted, labels, metric)
        assert one.interval.low < one.value < one.interval.high


@pytest.mark.parametrize("metric", METRICS)
def test_the_same_predictions_are_tied_and_equally_likely_the_best(metric: str) -> None:
    labels = labels_of(60)
    same = contender(labels, 0.8, 0)
    found = compare([same, same.copy(), same], labels, metric, seed=0)
    assert all(one.tied for one in found.contenders)
    assert [one.p_best for one in found.contenders] == pytest.approx([1 / 3] * 3)
    assert found.minimum_detectable is None
    assert found.contenders[1].behind is not None
    assert found.contenders[1].behind.low == found.contenders[1].behind.high == 0


def test_one_alone_is_the_best() -> None:
    labels = labels_of(30)
    found = compare([contender(labels, 0.8, 0)], labels, "accuracy", seed=0)
    assert found.contenders[0].p_best == 1
    assert found.contenders[0].tied
    assert found.minimum_detectable is None


@pytest.mark.parametrize("count", [2, 5])
def test_equals_are_rarely_told_apart_although_the_best_is_picked_from_the_data(
    count: int,
) -> None:
    """At most 5 %; of 150 comparisons, 13 or fewer in 98 of 100 such tests."""
    labels = labels_of(80)
    claimed = 0
    for trial in range(150):
        each = [contender(labels, 0.8, 1000 * trial + place) for place in range(count)]
        found = compare(each, labels, "accuracy", seed=trial, resamples=300)
        claimed += any(found.beats(i, j) for i in range(count) for j in range(count))
    assert claimed <= 13


def test_four_samples_show_nothing() -> None:
    """All four samples on which two differ speak for the first: p is one in eight."""
    labels = np.zeros(100, dtype=np.int64)
    first = np.tile(np.array([[0.9, 0.1]], dtype=np.float32), (100, 1))
    for differing, shown in ((4, False), (8, True)):
        second = first.copy()
        second[:differing] = [0.1, 0.9]
        assert compare([first, second], labels, "accuracy", seed=0).beats(0, 1) is shown


def test_two_samples_of_a_rare_class_show_nothing() -> None:
    labels = np.repeat([0, 1], [98, 2])
    first = np.eye(2, dtype=np.float32)[labels]
    second = first.copy()
    second[98:] = [1, 0]
    found = compare([first, second], labels, "balanced_accuracy", seed=0)
    assert found.differences[0, 1] == 0.5
    assert not found.beats(0, 1)


def test_what_is_detectable_is_detected_about_as_often_as_said() -> None:
    labels = labels_of(300)

    def found(right: float, trial: int):
        pair = [contender(labels, 0.9, 2 * trial), contender(labels, right, 2 * trial + 1)]
        return compare(pair, labels, "accuracy", seed=trial, resamples=300)

    least = np.mean([found(0.83, trial).minimum_detectable for trial in range(10)])
    shown = np.mean([found(0.9 - least, trial).beats(0, 1) for trial in range(100)])
    assert 0.65 <= shown <= 0.95


def test_samples_of_one_group_count_as_one() -> None:
    few = labels_of(40)
    labels, groups = np.repeat(few, 10), np.repeat(np.arange(40), 10)
    each = [np.repeat(contender(few, right, 7), 10, axis=0) for right in (0.9, 0.75)]
    assert compare(each, labels, "accuracy", seed=0).beats(0, 1)
    assert not compare(each, labels, "accuracy", seed=0, groups=groups).beats(0, 1)


def test_repeats_are_averaged_within_a_resample() -> None:
    labels = labels_of(50)
    one, other = contender(labels, 0.8, 0), contender(labels, 0.7, 1)
    once = compare([one, other], labels, "accuracy", seed=0)
    twice = compare([np.stack([one, one]), np.stack([other, other])], labels, "accuracy", seed=0)
    assert once.contenders == twice.contenders
    mixed = compare([np.stack([one, other]), other], labels, "accuracy", seed=0)
    both = (score(one, labels, "accuracy") + score(other, labels, "accuracy")) / 2
    assert mixed.contenders[0].value == pytest.approx(both)
