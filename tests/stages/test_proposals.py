"""Proposals: every point is in the space, nothing is asked twice, rows rebuild the study."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_transfer.configuration import Configuration
from automl_transfer.contracts import BuildPruner, BuildSampler
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.outcome import CurvePoint, Outcome
from automl_transfer.pruners import hyperband, median, none, rungs
from automl_transfer.samplers import gp, random, tpe
from automl_transfer.space import Choice, Float, Int, Param, Space, When
from automl_transfer.stages.joint import JointSpace
from automl_transfer.stages.proposals import Proposals, frozen_trial, trial_seed

SPACE = JointSpace(
    backbones=("a/one", "b/two"),
    heads={
        "linear": Space((Float(name="lr", low=1e-4, high=1e-1, default=1e-2, log=True),)),
        "proto": Space(
            (
                Choice(name="distance", choices=("cosine", "euclidean"), default="cosine"),
                Float(
                    name="scale",
                    low=1,
                    high=8,
                    default=2,
                    when=When(parameter="distance", equals=("cosine",)),
                ),
            )
        ),
    },
    strategies={"last": Space((Int(name="k", low=1, high=3, default=1),)), "full": Space()},
    common={"training": Space((Choice(name="batch_size", choices=(16, 32), default=32),))},
)


def params() -> st.SearchStrategy[Param]:
    names = st.sampled_from(["alpha", "beta", "gamma", "delta"])
    floats = st.builds(
        lambda name, low, width, share: Float(
            name=name, low=low, high=low + width, default=low + share * width
        ),
        names,
        st.floats(-5, 5),
        st.floats(0.5, 5),
        st.sampled_from([0.0, 0.5]),
    )
    ints = st.builds(
        lambda name, low, width: Int(name=name, low=low, high=low + width, default=low),
        names,
        st.integers(-5, 5),
        st.integers(1, 9),
    )
    choices = st.builds(
        lambda name, values: Choice(name=name, choices=tuple(values), default=values[0]),
        names,
        st.lists(
            st.one_of(st.integers(0, 9), st.text("xyz", max_size=3)), min_size=1, unique=True
        ),
    )
    return st.one_of(floats, ints, choices)


def spaces() -> st.SearchStrategy[Space]:
    return st.lists(params(), max_size=3, unique_by=lambda param: param.name).map(
        lambda found: Space(tuple(found))
    )


@st.composite
def joint_spaces(draw: st.DrawFn) -> JointSpace:
    return JointSpace(
        backbones=tuple(sorted(draw(st.sets(st.sampled_from(["m/a", "m/b", "n/c"]), min_size=1)))),
        heads={name: draw(spaces()) for name in draw(st.sampled_from([["h"], ["h", "i"]]))},
        strategies={name: draw(spaces()) for name in draw(st.sampled_from([["s"], ["s", "t"]]))},
        common={"training": draw(spaces())},
    )


def outcome(
    configuration: Configuration, number: int, state: str = "finished", value: float = 0.5
) -> Outcome:
    curve = tuple(
        CurvePoint(epoch=epoch, value=value - 0.1 / epoch, loss=1.0, seconds=1.0)
        for epoch in (1, 2)
    )
    return Outcome(
        number=number,
        stage="tune",
        configuration=configuration,
        state=state,  # type: ignore[arg-type]
        value=None if state == "failed" else value,
        curve=curve,
        epochs=2,
    )


@settings(max_examples=15, deadline=None)
@given(space=joint_spaces(), seed=st.integers(0, 1000))
def test_every_proposal_is_a_point_of_the_space(space: JointSpace, seed: int) -> None:
    proposals = Proposals(space=space, seed=seed, past=[], sampler=tpe.build)
    for number in range(4):
        configuration = proposals.next(number)
        if configuration is None:
            break
        assert space.holds(configuration)
        assert set(space.distributions(configuration)) == {
            "backbone",
            "head",
            "strategy",
            *configuration.params,
        }
        assert from_json(Configuration, to_json(configuration)) == configuration
        proposals.tell(outcome(configuration, number))


@settings(max_examples=15, deadline=None)
@given(space=joint_spaces())
def test_defaults_are_points_of_the_space(space: JointSpace) -> None:
    for head in space.heads:
        for strategy in space.strategies:
            assert space.holds(space.default(space.backbones[0], head, strategy))


@settings(max_examples=10, deadline=None)
@given(space=joint_spaces(), seed=st.integers(0, 1000))
def test_rows_rebuild_the_study(space: JointSpace, seed: int) -> None:
    first = Proposals(space=space, seed=seed, past=[], sampler=tpe.build)
    rows = []
    for number in range(5):
        configuration = first.next(number)
        if configuration is None:
            break
        rows.append(outcome(configuration, number, value=0.1 * number))
        first.tell(rows[-1])
    again = Proposals(space=space, seed=seed, past=rows, sampler=tpe.build)
    assert first.next(len(rows)) == again.next(len(rows))


def test_nothing_is_proposed_twice_and_the_end_is_noticed() -> None:
    small = JointSpace(
        backbones=("a/one",),
        heads={"proto": Space((Choice(name="d", choices=("x", "y", "z"), default="x"),))},
        strategies={"frozen": Space()},
    )
    proposals = Proposals(space=small, seed=0, past=[], sampler=tpe.build)
    seen = []
    while (configuration := proposals.next(len(seen))) is not None:
        proposals.tell(outcome(configuration, len(seen)))
        seen.append(configuration)
        assert len(seen) <= 3
    assert len({row.digest for row in seen}) == len(seen) == 3


def test_a_given_configuration_is_taken_once() -> None:
    recipes = [SPACE.default(backbone, "linear", "last") for backbone in SPACE.backbones]
    proposals = Proposals(space=SPACE, seed=0, past=[outcome(recipes[0], 0)], sampler=tpe.build)
    assert not proposals.take(1, recipes[0])
    assert proposals.take(1, recipes[1]) and not proposals.take(2, recipes[1])
    proposals.tell(outcome(recipes[1], 1))
    assert proposals.next(2) not in recipes


def test_a_configuration_of_another_space_is_not_taken() -> None:
    other = replace(SPACE.default("a/one", "linear", "last"), backbone="z/gone")
    assert not Proposals(space=SPACE, seed=0, past=[], sampler=tpe.build).take(0, other)


def test_a_failed_configuration_is_not_tried_again() -> None:
    recipe = SPACE.default("a/one", "linear", "last")
    past = [outcome(recipe, 0, state="failed")]
    assert not Proposals(space=SPACE, seed=0, past=past, sampler=tpe.build).take(1, recipe)


def test_what_is_put_back_is_no_trial_and_not_asked_again() -> None:
    recipe = SPACE.default("a/one", "linear", "last")
    proposals = Proposals(space=SPACE, seed=0, past=[], sampler=tpe.build)
    proposals.take(0, recipe)
    proposals.put_back(0)
    assert not proposals.take(1, recipe)


@pytest.mark.parametrize("sampler", [tpe.build, random.build, gp.build])
def test_choices_that_are_made_are_kept_to(sampler: BuildSampler) -> None:
    proposals = Proposals(space=SPACE, seed=0, past=[], sampler=sampler, startup=2)
    fixed = {"backbone": "b/two", "strategy": "full"}
    for number in range(5):
        configuration = proposals.next(number, fixed)
        assert configuration is not None
        assert (configuration.backbone, configuration.strategy) == ("b/two", "full")
    for number in range(5):
        assert number in proposals._open


def test_many_open_trials_are_told_in_any_order() -> None:
    proposals = Proposals(space=SPACE, seed=0, past=[], sampler=tpe.build)
    asked = {number: proposals.next(number) for number in range(6)}
    for number in (4, 0, 5, 1, 3, 2):
        configuration = asked[number]
        assert configuration is not None
        proposals.tell(outcome(configuration, number))
    assert len({row.digest for row in asked.values() if row is not None}) == 6
    assert proposals.next(6) is not None


def test_trials_of_a_backbone_that_is_gone_are_kept_but_not_proposed() -> None:
    gone = replace(SPACE.default("b/two", "linear", "last"), backbone="z/gone")
    past = [outcome(gone, number, value=0.99) for number in range(1)]
    proposals = Proposals(space=SPACE, seed=0, past=past, sampler=tpe.build)
    assert len(proposals._study.trials) == 1
    for number in range(1, 15):
        configuration = proposals.next(number)
        assert configuration is not None and configuration.backbone in SPACE.backbones
        proposals.tell(outcome(configuration, number))


@pytest.mark.parametrize("build", [median.build, hyperband.build, none.build, rungs.build])
def test_a_pruner_of_optuna_sees_what_is_reported(build: BuildPruner) -> None:
    pruner = build(rungs=(10, 30, 90))
    proposals = Proposals(space=SPACE, seed=0, past=[], sampler=random.build, pruner=pruner)
    pruned = False
    for number in range(12):
        configuration = proposals.next(number)
        assert configuration is not None
        for step in (10, 30, 90):
            proposals.report(number, 0.9 - 0.07 * number, step)
            pruned |= proposals.should_prune(number)
        proposals.tell(outcome(configuration, number))
    assert pruned == (build in (median.build, hyperband.build))


@pytest.mark.parametrize("state", ["finished", "pruned", "failed"])
def test_a_row_is_an_optuna_trial(state: str) -> None:
    configuration = SPACE.default("a/one", "proto", "full")
    frozen = frozen_trial(outcome(configuration, 4, state=state), SPACE)
    assert frozen is not None
    study = optuna.create_study(direction="maximize")
    study.add_trial(frozen)
    assert study.trials[0].params["backbone"] == "a/one"
    assert study.trials[0].params["head/proto/scale"] == 2
    assert study.trials[0].user_attrs["number"] == 4


def test_a_row_that_no_longer_fits_the_space_is_left_out() -> None:
    configuration = replace(
        SPACE.default("a/one", "linear", "last"), params={"head/linear/lr": 99.0}
    )
    assert frozen_trial(outcome(configuration, 0), SPACE) is None


def test_trial_seeds_differ() -> None:
    assert len({trial_seed(0, number) for number in range(200)}) == 200
    assert trial_seed(0, 5) != trial_seed(1, 5)
    assert trial_seed(3, 5) == trial_seed(3, 5)
