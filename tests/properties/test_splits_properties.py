from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_transfer.dataset import PARTS, Sample
from automl_transfer.folds import random_folds
from automl_transfer.splits import make_splits
from automl_transfer.units import units

seeds = st.integers(0, 2**32)
SETTINGS = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def data_sets(draw, parts=(None,), copies=True):
    """At least five different samples of each class, some of them several times."""
    data = []
    for label in range(draw(st.integers(2, 4))):
        count = draw(st.integers(5, 24))
        for place in range(count):
            # The first five of a class are in training, so that there is something to learn from.
            part = draw(st.sampled_from(parts)) if place >= 5 else parts[0]
            more = draw(st.sampled_from((0, 0, 0, 0, 1, 2))) if copies and place >= 5 else 0
            for copy in range(1 + more):
                other = draw(st.sampled_from(parts)) if copy else part
                data.append(
                    Sample(
                        id=f"{label}-{place}",
                        source=f"{label}/{place}-{copy}",
                        label=label,
                        part=other,
                    )
                )
    return data


def classes_of(data) -> list[str]:
    return [f"c{label}" for label in range(1 + max(sample.label for sample in data))]


def split(data, seed):
    return make_splits(data, classes_of(data), seed, hold_out="yes")


def by_source(data, splits) -> dict[str, str]:
    return {data[place].source: part for part in PARTS for place in splits.of(part).tolist()}


@given(data_sets(parts=(None, "train", "val", "test")), seeds)
@SETTINGS
def test_the_parts_are_a_partition(data, seed):
    splits = split(data, seed)
    every = np.concatenate([splits.of(part) for part in PARTS])
    assert sorted(every.tolist()) == list(range(len(data)))


@given(data_sets(parts=(None, "train", "val", "test")), seeds)
@SETTINGS
def test_identical_content_is_in_one_part(data, seed):
    where = by_source(data, split(data, seed))
    sides = defaultdict(set)
    for sample in data:
        sides[sample.id].add(where[sample.source])
    assert all(len(found) == 1 for found in sides.values())


@given(data_sets(parts=("train", "val", "test"), copies=False), seeds)
@SETTINGS
def test_given_parts_are_kept(data, seed):
    where = by_source(data, split(data, seed))
    given_parts = {sample.part for sample in data}
    for sample in data:
        drawn_from_train = sample.part == "train" and where[sample.source] not in given_parts
        assert where[sample.source] == sample.part or drawn_from_train


@given(data_sets(parts=(None, "test")), seeds, st.randoms(use_true_random=False))
@SETTINGS
def test_the_order_of_the_samples_changes_nothing(data, seed, random):
    shuffled = list(data)
    random.shuffle(shuffled)
    assert by_source(data, split(data, seed)) == by_source(shuffled, split(shuffled, seed))


@given(data_sets(), seeds)
@SETTINGS
def test_every_class_is_in_every_part(data, seed):
    splits = split(data, seed)
    for part in PARTS:
        present = {data[place].label for place in splits.of(part).tolist()}
        assert present == {sample.label for sample in data}


@given(data_sets(copies=False), seeds)
@SETTINGS
def test_classes_have_their_share(data, seed):
    splits = split(data, seed)
    totals = Counter(sample.label for sample in data)
    for part in ("val", "test"):
        found = Counter(data[place].label for place in splits.of(part).tolist())
        for label, total in totals.items():
            assert abs(found[label] - 0.2 * total) <= 1.5


@st.composite
def grouped(draw):
    """Data whose samples may belong to groups and to clusters."""
    data = draw(data_sets())
    names = [draw(st.sampled_from(("", "", "a", "b", "c", "d"))) for _ in data]
    kinds = [draw(st.integers(0, 2 * len(data))) for _ in data]
    return [
        replace(sample, group=name) for sample, name in zip(data, names, strict=True)
    ], np.array(kinds)


def folds_of(samples, count, seed, clusters=None):
    labels = np.array([sample.label for sample in samples])
    return random_folds(labels, count, seed, units(samples, clusters))


@given(grouped(), seeds, st.integers(2, 6))
@SETTINGS
def test_folds_are_a_partition_and_never_tear_a_unit(data, seed, count):
    samples, clusters = data
    linked = units(samples, clusters)
    folds = folds_of(samples, count, seed, clusters)
    assert folds.shape == (len(samples),)
    assert set(folds.tolist()) <= set(range(count))
    for unit in set(linked.tolist()):
        assert len(set(folds[linked == unit].tolist())) == 1
    for group in {sample.group for sample in samples} - {""}:
        assert len({folds[place] for place, one in enumerate(samples) if one.group == group}) == 1


@given(data_sets(), seeds, st.randoms(use_true_random=False))
@SETTINGS
def test_folds_depend_on_contents_alone(data, seed, random):
    shuffled = [replace(sample, source=f"elsewhere/{sample.source}") for sample in data]
    random.shuffle(shuffled)
    found = []
    for samples in (data, shuffled):
        pairs = zip(samples, folds_of(samples, 3, seed).tolist(), strict=True)
        found.append({sample.source.rpartition("elsewhere/")[2]: fold for sample, fold in pairs})
    assert found[0] == found[1]
