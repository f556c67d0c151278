"""Groups of the user's that given parts divide: kept as given, and told."""

from __future__ import annotations

from dataclasses import replace

from automl_transfer.audit import Finding
from automl_transfer.dataset import Dataset
from tests.auditing.test_findings import audited, data, many


def grouped(dataset: Dataset, patients: int) -> Dataset:
    """Sample i is of patient i modulo ``patients``, whatever its part."""
    return replace(
        dataset,
        samples=tuple(
            replace(sample, group=f"p{place % patients}")
            for place, sample in enumerate(dataset.samples)
        ),
    )


def found(dataset: Dataset) -> dict[str, Finding]:
    return {one.kind: one for one in audited(dataset).audit.findings}


def test_groups_in_train_and_in_the_given_test_part_are_told():
    # 100 samples of train are of all 25 patients, and so are those of test.
    finding = found(grouped(data(many((50, 50), ("train", "test"))), 25))["groups-test-in-train"]
    assert finding.severity == "warning"
    assert finding.count == 100
    assert "100 of 100" in finding.title and "25 groups" in finding.title
    assert finding.examples[0].sources == ("s100", "s0")
    assert finding.examples[0].words == "'p0' is in test and in train"
    assert "as given" in finding.action and "100.0 points" in finding.action


def test_a_test_part_may_not_share_groups_with_the_validation_part_either():
    rows = many((30, 30), ("train", "val", "test"))
    dataset = data(rows)
    groups = {"train": "a", "val": "b", "test": "b"}
    dataset = replace(
        dataset,
        samples=tuple(
            replace(sample, group=f"{groups[sample.part]}{place % 60}")
            for place, sample in enumerate(dataset.samples)
        ),
    )
    kinds = found(dataset)
    assert "groups-val-in-train" not in kinds
    assert kinds["groups-test-in-train"].examples[0].words == "'b0' is in test and in val"


def test_groups_that_no_given_part_divides_are_looked_for_and_not_found():
    whole = data(many((50, 50), ("train", "test")))
    whole = replace(
        whole,
        samples=tuple(replace(one, group=f"{one.part}{one.label}") for one in whole.samples),
    )
    assert not [kind for kind in found(whole) if kind.startswith("groups-")]
    assert any("groups" in text for text in audited(whole).audit.looked_for)
    drawn = grouped(data(many((50, 50))), 5)
    assert not [kind for kind in found(drawn) if kind.startswith("groups-")]
    assert not any("groups" in text for text in audited(drawn).audit.looked_for)


def test_what_moves_to_its_copy_in_the_test_part_is_no_leak_of_its_group():
    rows = [*many((30, 30), ("train",)), *many((5, 5), ("test",)), ("test00", 0, "train")]
    dataset = data(rows)
    places = (60, 70)
    dataset = replace(
        dataset,
        samples=tuple(
            replace(one, group="p") if place in places else one
            for place, one in enumerate(dataset.samples)
        ),
    )
    assert "groups-test-in-train" not in found(dataset)
