"""The conformance kit, and what holds of the plans for networks of any depth."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from automl_transfer_gradual import surgical, unfreezing
from automl_transfer_gradual.grouping import grouped
from automl_transfer_gradual.plugin import SURGICAL, UNFREEZING
from hypothesis import given
from hypothesis import strategies as st

from automl_transfer.plan import FreezePlan, StageView
from automl_transfer.space import Choice, Int, Space
from automl_transfer.testing.suites import Conformance


class TestUnfreezing(Conformance):
    id = "gradual/unfreezing"


class TestSurgical(Conformance):
    id = "gradual/surgical"


def views(count: int) -> tuple[StageView, ...]:
    return tuple(
        StageView(
            name=f"stage{place}",
            depth=place / (count - 1) if count > 1 else 1.0,
            parameters=100 + place,
        )
        for place in range(count)
    )


def points(card) -> st.SearchStrategy[dict]:
    """Any point of the space of a card."""

    def values(param) -> st.SearchStrategy:
        if isinstance(param, Choice):
            return st.sampled_from(param.choices)
        if isinstance(param, Int):
            return st.integers(param.low, param.high)
        return st.floats(param.low, param.high)

    return st.fixed_dictionaries({param.name: values(param) for param in card.space})


COUNTS = st.integers(1, 60)


def made(module, card, count: int, params: dict) -> FreezePlan:
    assert Space(card.space).problems(params) == []
    stages = views(count)
    found = module.plan(stages=stages, params=params)
    assert found == module.plan(stages=list(stages), params=dict(params))
    assert found.trains_backbone
    head, *training = found.phases
    assert (head.share, head.trains) == (0.0, {})
    assert math.isclose(sum(phase.share for phase in training), 1.0)
    assert len({phase.name for phase in found.phases}) == len(found.phases)
    assert found.lr == params["lr"]
    assert found.weight_decay == params["weight_decay"]
    assert found.head_lr > found.lr
    names = [stage.name for stage in stages]
    for phase in training:
        # Consecutive, from input to output: whatever is frozen before them can be kept.
        first = names.index(next(iter(phase.trains)))
        assert list(phase.trains) == names[first : first + len(phase.trains)]
        assert all(0 < multiplier <= 1 for multiplier in phase.trains.values())
    return found


@given(count=COUNTS, params=points(UNFREEZING))
def test_unfreezing_goes_from_the_output_to_the_input(count: int, params: dict) -> None:
    names = [stage.name for stage in views(count)]
    _, *phases = made(unfreezing, UNFREEZING, count, params).phases
    assert len(phases) == min(params["groups"], count)
    for before, after in pairwise(phases):
        assert before.trains.items() < after.trains.items()
        assert list(after.trains)[-len(before.trains) :] == list(before.trains)
        assert before.share == phases[0].share
    assert list(phases[-1].trains) == names
    assert len(phases) == 1 or phases[-1].share == pytest.approx(2 * phases[0].share)
    assert phases[-1].share > 0.3


@given(count=COUNTS, params=points(UNFREEZING))
def test_learning_rates_fall_towards_the_input_by_the_factor(count: int, params: dict) -> None:
    multipliers = list(made(unfreezing, UNFREEZING, count, params).phases[-1].trains.values())
    assert multipliers[-1] == 1.0
    steps = [later / earlier for earlier, later in pairwise(multipliers)]
    falls = [step for step in steps if step != 1.0]
    assert len(falls) == min(params["groups"], count) - 1
    assert all(math.isclose(step, params["factor"], rel_tol=1e-9) for step in falls)


def test_as_the_paper_has_it() -> None:
    params = Space(UNFREEZING.space).defaults() | {"groups": 3}
    found = unfreezing.plan(stages=views(3), params=params)
    assert [dict(phase.trains) for phase in found.phases] == [
        {},
        {"stage2": 1.0},
        {"stage1": 2.6**-1, "stage2": 1.0},
        {"stage0": 2.6**-2, "stage1": 2.6**-1, "stage2": 1.0},
    ]
    assert [phase.share for phase in found.phases] == [0.0, 0.25, 0.25, 0.5]


@given(count=COUNTS, params=points(SURGICAL))
def test_surgical_trains_one_block_and_the_head(count: int, params: dict) -> None:
    _, phase = made(surgical, SURGICAL, count, params).phases
    assert set(phase.trains.values()) == {1.0}
    assert len(phase.trains) in (count // 5, count // 5 + 1)
    assert count == 1 or len(phase.trains) < count


@given(count=COUNTS)
def test_the_depths_name_every_block_from_input_to_output(count: int) -> None:
    params = Space(SURGICAL.space).defaults()
    choices = SURGICAL.space[0].choices
    trained = [
        list(surgical.plan(stages=views(count), params=params | {"depth": depth}).phases[1].trains)
        for depth in choices
    ]
    names = [stage.name for stage in views(count)]
    firsts = [names.index(one[0]) for one in trained]
    assert firsts == sorted(firsts)
    assert {name for one in trained for name in one} == set(names)
    if count >= len(choices):
        assert sum(len(one) for one in trained) == count


@given(count=COUNTS, groups=st.integers(1, 70))
def test_groups_hold_every_stage_once_and_are_about_equal(count: int, groups: int) -> None:
    stages = views(count)
    found = grouped(stages, groups)
    assert [stage for group in found for stage in group] == list(stages)
    assert len(found) == min(groups, count)
    sizes = [len(group) for group in found]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1


@given(
    sizes=st.lists(st.sampled_from([0, 7]), min_size=1, max_size=60),
    unfreezes=points(UNFREEZING),
    operates=points(SURGICAL),
)
def test_every_phase_has_something_to_train_if_there_is_anything(
    sizes: list[int], unfreezes: dict, operates: dict
) -> None:
    stages = [
        replace(view, parameters=n) for view, n in zip(views(len(sizes)), sizes, strict=True)
    ]
    having = {stage.name for stage in stages if stage.parameters}
    for made in (
        unfreezing.plan(stages=stages, params=unfreezes),
        surgical.plan(stages=stages, params=operates),
    ):
        for phase in made.phases[1:]:
            assert phase.trains
            assert not having or set(phase.trains) <= having
