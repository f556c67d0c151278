"""Nested subsets: each class in its share, whole units, nothing scored that was learnt from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_transfer.scoring import resampled, scores
from automl_transfer.training.curve_points import curve_points, recalls
from automl_transfer.training.nested import (
    Fit,
    Look,
    looks,
    nested_order,
    planned,
    subset_sizes,
)
from automl_transfer.training.ridge import ridge_path

ALONE = 1e15


def clusters(n: int = 120, classes: int = 3, width: int = 6, seed: int = 0) -> tuple:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = generator.normal(size=(classes, width))
    values = centres[labels] + generator.normal(size=(n, width))
    return values.astype(np.float32), labels.astype(np.int64)


def looked(features, labels, units=None, **options) -> list[Look]:
    usual = {"seed": 0, "repeats": 2, "work": ALONE}
    units = np.arange(len(labels)) if units is None else units
    return list(looks(features, labels, int(labels.max()) + 1, units, **(usual | options)))


@settings(deadline=None)
@given(
    labels=st.lists(st.integers(0, 3), min_size=8, max_size=80),
    units=st.integers(1, 80),
    seed=st.integers(0, 99),
)
def test_every_beginning_has_each_class_in_its_share(
    labels: list[int], units: int, seed: int
) -> None:
    own = np.array(labels, dtype=np.int64)
    order = nested_order(own, np.arange(len(own)), np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(len(own)))
    counts = np.bincount(own)
    for size in range(1, len(own) + 1):
        so_far = np.bincount(own[order[:size]], minlength=len(counts))
        assert (abs(so_far - size * counts / len(own)) <= len(counts)).all()
    assert set(own[order[: (counts > 0).sum()]]) == set(np.flatnonzero(counts))
    # With units: none is torn.
    of = np.arange(len(own)) % min(units, len(own))
    changes = np.flatnonzero(np.diff(of[nested_order(own, of, np.random.default_rng(seed))]))
    assert len(changes) + 1 == len(np.unique(of))


def test_a_look_at_everything_is_leave_one_out() -> None:
    features, labels = clusters()
    found = looked(features, labels)
    whole = [look for look in found if look.size == len(labels)]
    assert len(whole) == 1, "there is but one subset with all samples"
    expected = ridge_path(features, labels, 3).predictions
    np.testing.assert_allclose(whole[0].predictions, expected, atol=1e-6)
    assert [look.step for look in found] == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4]
    assert all(np.array_equal(look.places, np.arange(120)) for look in found)


def test_no_sample_is_scored_by_a_model_that_has_seen_it() -> None:
    # Labels are noise and features tell samples apart: whoever has seen one gets it right.
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, size=150).astype(np.int64)
    features = generator.normal(size=(150, 400)).astype(np.float32)
    for look in looked(features, labels):
        right = (look.predictions.argmax(axis=1) == labels[look.places]).mean()
        assert 0.3 < right < 0.7


def test_copies_are_not_scored_by_each_other() -> None:
    # Each sample is there twice, as one unit; labels are noise.
    generator = np.random.default_rng(2)
    labels = np.repeat(generator.integers(0, 2, size=80), 2).astype(np.int64)
    features = np.repeat(generator.normal(size=(80, 300)), 2, axis=0).astype(np.float32)
    units = np.repeat(np.arange(80), 2)
    found = looked(features, labels, units, repeats=3)
    for look in found:
        assert look.size % 2 == 0 and look.size <= 0.8 * 160
        right = (look.predictions.argmax(axis=1) == labels[look.places]).mean()
        assert len(look.places) == 160 - look.size
        assert 0.25 < right < 0.75
    # A few copies among many samples: only samples that stand for themselves are scored.
    units = np.where(np.arange(160) < 10, 0, np.arange(160))
    for look in looked(features, labels, units):
        assert look.places.min() == 10


def test_work_is_bounded_and_the_smallest_subsets_come_first() -> None:
    features, labels = clusters()
    sizes = subset_sizes(120, 3)
    enough = sum(Fit(width=6, outputs=3).operations(size) for size in sizes[:4])
    assert [look.size for look in looked(features, labels, work=enough)] == list(sizes[:4])
    assert looked(features, labels, work=0) == []


def test_a_matrix_in_a_file_gives_the_same(tmp_path: Path) -> None:
    features, labels = clusters()
    mapped = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=features.shape)
    mapped[:] = features
    for one, other in zip(looked(features, labels), looked(mapped, labels), strict=True):
        np.testing.assert_array_equal(one.predictions, other.predictions)


def test_points_are_means_over_subsets() -> None:
    features, labels = clusters()
    found = looked(features, labels, repeats=3)
    points = curve_points(
        found, labels, np.arange(120), lambda p, own, w: resampled(p, own, "macro_f1", w), 0
    )
    assert points.sizes.tolist() == list(subset_sizes(120, 3))
    assert points.counts == (3, 3, 3, 3, 3, 1)
    for step in (0, 5):
        expected = [
            scores(look.predictions, labels[look.places])["macro_f1"]
            for look in found
            if look.step == step
        ]
        assert points.values[step] == pytest.approx(np.mean(expected))
    assert points.draws.shape == (200, 6)
    assert abs(points.draws.mean(axis=0) - points.values).max() < 0.02


def test_units_make_a_curve_less_sure() -> None:
    features, labels = clusters(n=240)
    found = looked(features, labels)

    def spread(units: np.ndarray) -> float:
        points = curve_points(
            found, labels, units, lambda p, own, w: resampled(p, own, "accuracy", w), 0
        )
        return float(points.draws[:, -1].std())

    # All errors of a kind in one unit, against each by itself.
    right = found[5].predictions.argmax(axis=1) == labels
    blocks = np.argsort(np.argsort(right, kind="stable"), kind="stable") // 20
    assert spread(blocks) > 2 * spread(np.arange(240))


def test_recalls_are_of_each_class() -> None:
    probabilities = np.eye(3, dtype=np.float32)[[0, 0, 1, 2, 2]]
    labels = np.array([0, 1, 1, 2, 2])
    weights = np.array([[1.0, 1, 1, 1, 1], [1, 3, 1, 0, 0]])
    found = recalls(probabilities, labels, weights)
    np.testing.assert_allclose(found[0], [1, 0.5, 1])
    np.testing.assert_allclose(found[1], [1, 0.25, np.nan])


@given(
    samples=st.integers(40, 20_000),
    classes=st.integers(2, 300),
    width=st.integers(2, 2000),
    work=st.floats(0, 1e12),
)
def test_what_is_planned_fits_into_the_work(
    samples: int, classes: int, width: int, work: float
) -> None:
    fit = Fit(width=width, outputs=classes)
    sizes = subset_sizes(samples, classes)
    assert sizes[-1] == samples and list(sizes) == sorted(set(sizes))
    chosen, spent = planned(sizes, samples, fit, 3, work)
    assert spent <= work
    assert spent == pytest.approx(sum(fit.operations(sizes[step]) for _, step in chosen))
    assert len(set(chosen)) == len(chosen)
    assert chosen.count((1, len(sizes) - 1)) == 0
