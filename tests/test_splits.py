from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from automl_transfer.dataset import PARTS, Sample
from automl_transfer.errors import DataError
from automl_transfer.splits import make_splits
from automl_transfer.units import units


def samples(*counts: int, part=None, start: str = "s") -> list[Sample]:
    return [
        Sample(id=f"{start}{label}-{place}", source=f"{label}/{place}", label=label, part=part)
        for label, count in enumerate(counts)
        for place in range(count)
    ]


def sizes(splits) -> tuple[int, ...]:
    return tuple(len(splits.of(part)) for part in PARTS)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((5, 5), (6, 2, 2)),
        ((50, 50), (60, 20, 20)),
        ((250, 250), (225, 75, 200)),
        ((400, 400), (450, 150, 200)),
        ((1000, 1000), (1200, 400, 400)),
    ],
)
def test_sizes(counts, expected):
    assert sizes(make_splits(samples(*counts), ["a", "b"], 0, hold_out="yes")) == expected


def test_five_of_each_class_are_enough_for_every_part():
    data = samples(5, 5, 300, 7)
    splits = make_splits(data, list("abcd"), 3, hold_out="yes")
    for part in PARTS:
        assert {data[place].label for place in splits.of(part)} == {0, 1, 2, 3}


def test_seeds_decide_the_draw():
    data = samples(40, 40)
    first, again, other = (
        make_splits(data, ["a", "b"], seed, hold_out="yes") for seed in (0, 0, 1)
    )
    assert first.test.tolist() == again.test.tolist()
    assert first.test.tolist() != other.test.tolist()
    assert "with seed 1" in other.description


def test_a_new_file_hardly_moves_the_others():
    data = samples(100, 100)
    before = make_splits(data, ["a", "b"], 0, hold_out="yes")
    after = make_splits(
        [*data, Sample(id="new", source="new", label=0)], ["a", "b"], 0, hold_out="yes"
    )
    moved = sum(
        len(set(before.of(part).tolist()) - set(after.of(part).tolist())) for part in PARTS
    )
    assert moved <= 4


def test_given_test_is_kept_and_only_val_is_drawn():
    data = [*samples(40, 40, part="train"), *samples(9, 9, part="test", start="t")]
    splits = make_splits(data, ["a", "b"], 0, hold_out="yes")
    assert splits.test.tolist() == list(range(80, 98))
    assert sizes(splits) == (60, 20, 18)
    assert "test as given; val drawn from train" in splits.description


def test_given_val_is_kept_and_only_test_is_drawn():
    data = [*samples(40, 40, part="train"), *samples(9, 9, part="val", start="v")]
    splits = make_splits(data, ["a", "b"], 0, hold_out="yes")
    assert splits.val.tolist() == list(range(80, 98))
    assert sizes(splits) == (64, 18, 16)
    assert "val as given; test drawn from train" in splits.description


def test_nothing_is_drawn_when_all_parts_are_given():
    data = [
        *samples(6, 6, part="train"),
        *samples(2, 2, part="val", start="v"),
        *samples(3, 3, part="test", start="t"),
    ]
    splits = make_splits(data, ["a", "b"], 5, hold_out="yes")
    assert sizes(splits) == (12, 4, 6)
    assert "as given; identical files stay together" in splits.description


def test_samples_without_a_part_count_as_train_beside_given_ones():
    data = [*samples(10, 10), *samples(3, 3, part="test", start="t")]
    assert make_splits(data, ["a", "b"], 0, hold_out="yes").test.tolist() == list(range(20, 26))


def test_training_copies_of_test_files_are_not_trained_on():
    test = samples(5, 5, part="test", start="t")
    leak = [Sample(id=test[0].id, source="leak", label=0, part="train")]
    data = [*samples(20, 20, part="train"), *leak, *test]
    splits = make_splits(data, ["a", "b"], 0, hold_out="yes")
    assert 40 in splits.test
    assert "1 sample(s) moved to where an identical file was held out" in splits.description


def test_a_test_part_that_holds_all_of_a_class_is_an_error():
    test = samples(5, 5, part="test")
    copies = [Sample(id=s.id, source="copy", label=s.label, part="train") for s in test[:5]]
    with pytest.raises(DataError, match=r"training part, but 'a' has none\. 5 given ones are not"):
        make_splits(
            [*samples(0, 9, part="train", start="x"), *copies, *test],
            ["a", "b"],
            0,
            hold_out="yes",
        )


def test_many_copies_of_one_file_do_not_fill_a_part():
    data = [
        *(Sample(id="same", source=str(place), label=0) for place in range(50)),
        *samples(20, 70),
    ]
    splits = make_splits(data, ["a", "b"], 0, hold_out="yes")
    same = {PARTS[place] for place in range(3) if 0 in splits.of(PARTS[place])}
    assert same == {"train"}
    assert Counter(data[place].label for place in splits.test) == {0: 14, 1: 14}


def test_positions_ascend():
    splits = make_splits(samples(30, 30), ["a", "b"], 0, hold_out="yes")
    for part in PARTS:
        assert (np.diff(splits.of(part)) > 0).all()


def test_few_samples_are_not_divided_further_by_a_test_part():
    few, enough = samples(240, 240), samples(250, 250)
    assert sizes(make_splits(few, ["a", "b"], 0)) == (360, 120, 0)
    assert "no test part" in make_splits(few, ["a", "b"], 0).description
    assert sizes(make_splits(enough, ["a", "b"], 0)) == (225, 75, 200)
    assert sizes(make_splits(enough, ["a", "b"], 0, hold_out="no")) == (375, 125, 0)


def test_near_copies_are_drawn_together():
    data = samples(60, 60)
    clusters = np.arange(120) // 3
    splits = make_splits(data, ["a", "b"], 0, clusters=clusters, hold_out="yes")
    for cluster in range(40):
        assert sum(cluster in clusters[splits.of(part)] for part in PARTS) == 1
    assert "near copies" in splits.description


def test_groups_are_drawn_together_also_across_classes():
    data = [
        replace(sample, group=f"patient {place % 12}")
        for place, sample in enumerate(samples(60, 60))
    ]
    splits = make_splits(data, ["a", "b"], 1, hold_out="yes")
    sides = [{data[place].group for place in splits.of(part)} for part in PARTS]
    assert all(sides)
    assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]


def test_what_is_linked_through_others_is_one_unit():
    data = [
        replace(sample, group=group)
        for sample, group in zip(samples(6), ["a", "a", "b", "", "b", ""], strict=True)
    ]
    # 1 and 2 look alike, so the groups a and b hang together.
    assert units(data, np.array([0, 1, 1, 3, 4, 5])).tolist() == [0, 0, 0, 1, 0, 2]


def of_patients(data: list[Sample], patients: int) -> list[Sample]:
    return [
        replace(sample, group=f"patient {place % patients}") for place, sample in enumerate(data)
    ]


def test_groups_that_given_parts_divide_are_not_said_to_stay_together():
    parts = [*samples(40, 40, part="train"), *samples(10, 10, part="test", start="t")]
    crossing = make_splits(of_patients(parts, 20), ["a", "b"], 0)
    assert sizes(crossing)[2] == 20
    assert "identical files stay together" in crossing.description
    assert "given parts are kept, though groups are in several of them" in crossing.description
    whole = [replace(one, group=f"{one.part} {one.id[-1]}") for one in parts]
    description = make_splits(whole, ["a", "b"], 0).description
    assert "identical files and groups stay together" in description
    assert "several" not in description


def test_near_copies_that_given_parts_divide_are_not_said_to_stay_together():
    data = [*samples(40, 40, part="train"), *samples(10, 10, part="test", start="t")]
    description = make_splits(data, ["a", "b"], 0, clusters=np.arange(100) % 50).description
    assert "identical files stay together" in description
    assert "though near copies are in several of them" in description


def test_a_drawn_test_part_shares_no_group_with_a_given_validation_part():
    data = of_patients(
        [*samples(100, 100, part="train"), *samples(10, 10, part="val", start="v")], 50
    )
    splits = make_splits(data, ["a", "b"], 0, hold_out="yes")
    groups = {part: {data[place].group for place in splits.of(part)} for part in PARTS}
    assert groups["test"] and not groups["test"] & (groups["val"] | groups["train"])


@pytest.mark.parametrize("hold_out", ["auto", "yes", "no"])
def test_one_group_a_class_leaves_nothing_to_validate_on(hold_out):
    data = [replace(sample, group=f"g{sample.label}") for sample in samples(300, 300)]
    with pytest.raises(DataError, match=r"at least two groups.*'a' has 1.*'b' has 1"):
        make_splits(data, ["a", "b"], 0, hold_out=hold_out)


def test_two_groups_a_class_are_enough_to_validate_but_not_for_a_test_part():
    data = [
        replace(sample, group=f"{sample.label} {place % 2}")
        for place, sample in enumerate(samples(300, 300))
    ]
    for hold_out in ("auto", "yes"):
        splits = make_splits(data, ["a", "b"], 0, hold_out=hold_out)
        assert sizes(splits) == (300, 300, 0)
        assert "; val drawn from train" in splits.description
        assert (
            "no test part, since no class has three groups to draw from "
            "(one each for train, val and test)" in splits.description
        )
    plain = make_splits(data, ["a", "b"], 0, hold_out="no").description
    assert "no test part: the score is by cross-validation" in plain


def test_a_validation_part_that_is_in_the_test_part_as_well_is_an_error():
    test = samples(5, 5, part="test", start="t")
    copies = [replace(sample, part="val", source="copy") for sample in test[:3]]
    with pytest.raises(DataError, match=r"validation part must have samples.*identical"):
        make_splits([*samples(20, 20, part="train"), *copies, *test], ["a", "b"], 0)
