"""The forms of targets, and what is drawn from in proportion."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from automl_transfer.dataset import Dataset, Sample
from automl_transfer.errors import DataError
from automl_transfer.kinds import Kind
from automl_transfer.splits import make_splits
from automl_transfer.target import columns, kind_of, strata_of, totals, unit_of

NUMBERS = arrays.arrays(np.float64, st.integers(1, 80), elements=st.floats(-1e6, 1e6))
SETS = arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 5)),
                     elements=st.integers(0, 1))  # fmt: skip


def test_targets_carry_their_kind_in_their_form() -> None:
    assert kind_of(np.array([0, 2, 1])) == "single-label"
    assert kind_of(np.zeros((3, 2), dtype=np.uint8)) == "multi-label"
    assert kind_of(np.array([0.5, 2.0])) == "regression"
    np.testing.assert_array_equal(columns(np.array([0, 2]), 3), [[1, 0, 0], [0, 0, 1]])
    np.testing.assert_array_equal(columns(np.array([0.5, 2.0]), 1), [[0.5], [2.0]])


@pytest.mark.parametrize(
    "targets", [np.array([0, 2, 0]), np.array([[1, 0, 1], [1, 0, 0]], dtype=np.uint8)]
)
def test_totals_are_sums_of_the_columns(targets: np.ndarray) -> None:
    np.testing.assert_array_equal(totals(targets, 3), columns(targets, 3).sum(axis=0))
    numbers = np.array([0.5, 2.0])
    np.testing.assert_array_equal(totals(numbers, 1), [2.5])


@given(SETS)
def test_the_stratum_of_labels_is_the_rarest_that_holds(sets: np.ndarray) -> None:
    counts = sets.sum(axis=0, dtype=int)
    for row, stratum in zip(sets, strata_of(sets), strict=True):
        held = np.flatnonzero(row)
        if len(held):
            assert row[stratum] and counts[stratum] == counts[held].min()
        else:
            assert stratum == sets.shape[1]


@given(NUMBERS)
def test_strata_of_numbers_keep_their_order(numbers: np.ndarray) -> None:
    strata = strata_of(numbers)
    order = np.argsort(numbers, kind="stable")
    assert (np.diff(strata[order]) >= 0).all() and strata.min() >= 0
    assert strata.max() <= 9
    for number in np.unique(numbers):
        assert len(np.unique(strata[numbers == number])) == 1


@given(NUMBERS)
def test_equal_numbers_have_a_unit(numbers: np.ndarray) -> None:
    mean, scale = unit_of(numbers)
    assert scale > 0 and np.isfinite([mean, scale]).all()
    assert unit_of(np.full(3, 7.0)) == (7.0, 1.0)


def dataset(kind, values, labels, classes) -> Dataset:
    samples = tuple(
        Sample(id=f"{place:04d}", source=f"{place}", label=int(label), values=tuple(value))
        for place, (label, value) in enumerate(zip(labels, values, strict=True))
    )
    return Dataset(
        modality="any", root="", classes=classes, kind=kind, samples=samples, layout="made"
    )


def test_parts_of_numbers_are_alike() -> None:
    numbers = np.random.default_rng(0).gamma(1.0, size=600)
    found = dataset("regression", numbers[:, None], strata_of(numbers), ("size",))
    np.testing.assert_array_equal(found.targets, numbers)
    splits = make_splits(found.samples, found.strata, seed=0)
    tops = [(numbers[splits.of(part)] > np.quantile(numbers, 0.9)).mean()
            for part in ("train", "val", "test")]  # fmt: skip
    assert all(0.08 <= top <= 0.12 for top in tops), tops


def test_a_rare_label_is_in_every_part() -> None:
    sets = np.zeros((600, 3), dtype=np.uint8)
    sets[:, 0] = 1
    sets[:15, 1] = 1
    sets[300:, 2] = 1
    values = [np.flatnonzero(row).astype(float) for row in sets]
    found = dataset("multi-label", values, strata_of(sets), ("a", "b", "c"))
    np.testing.assert_array_equal(found.targets, sets)
    splits = make_splits(found.samples, found.strata, seed=0)
    for part in ("train", "val", "test"):
        assert int(sets[splits.of(part), 1].sum()) >= 2


def test_the_fingerprint_tells_numbers_apart() -> None:
    one = dataset("regression", [(1.0,), (2.0,)], [0, 0], ("y",))
    other = dataset("regression", [(1.0,), (2.5,)], [0, 0], ("y",))
    assert one.fingerprint != other.fingerprint
    assert one.label_text(one.samples[1]) == "2"


@pytest.mark.parametrize("kind", ["multi-label", "regression"])
def test_strata_have_names_for_all_labels(kind: str) -> None:
    targets = np.linspace(0, 1, 50) if kind == "regression" else np.eye(50, 2, dtype=np.uint8)
    found = dataset(kind, [(0.0,)] * 50, strata_of(targets), ("y",) * targets.ndim)
    assert len(found.strata) > max(found.labels)


def in_parts(kind: Kind, parts: str, values: list[tuple[float, ...]]) -> Dataset:
    """Samples in given parts: a letter each, of train, val and test."""
    names = {"t": "train", "v": "val", "x": "test"}
    if kind == "regression":
        strata = strata_of(np.array([value[0] for value in values]))
    else:
        sets = np.zeros((len(values), 2), dtype=np.uint8)
        for place, value in enumerate(values):
            sets[place, [int(label) for label in value]] = 1
        strata = strata_of(sets)
    return Dataset(
        modality="any",
        root=".",
        classes=("number",) if kind == "regression" else ("one", "two"),
        samples=tuple(
            Sample(
                id=f"{place:04}",
                source=str(place),
                label=int(stratum),
                values=value,
                part=names[part],  # type: ignore[arg-type]
            )
            for place, (stratum, value, part) in enumerate(zip(strata, values, parts, strict=True))
        ),
        layout="manifest with parts",
        kind=kind,
    )


@pytest.mark.parametrize(
    ("kind", "test", "values"),
    [
        # Only the test part has a sample without a label, and one with nothing but the first.
        ("multi-label", 4, [(0, 1)] * 6 + [(1,)] * 2 + [(0, 1), (1,), (), (0,)]),
        # It has larger numbers than the training part.
        ("regression", 16, [(float(number),) for number in (*range(8), *range(50, 66))]),
    ],
)
def test_given_parts_need_no_stratum_to_learn_from(kind: Kind, test: int, values: list) -> None:
    dataset = in_parts(kind, "ttttttvv" + test * "x", values)
    splits = make_splits(dataset.samples, dataset.strata, 0, kind=kind)
    assert [len(splits.of(part)) for part in ("train", "val", "test")] == [6, 2, test]


def test_given_parts_need_every_label_to_learn_from() -> None:
    dataset = in_parts("multi-label", "ttttvvxx", [(0,)] * 4 + [(1,), (0,)] * 2)
    with pytest.raises(DataError, match=r"Every label must have samples.*'two' has none"):
        make_splits(dataset.samples, dataset.strata, 0, kind="multi-label")
