"""Which arm is tried next, which backbone goes on, how long a trial is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_transfer.cards import BackboneCard, CostCard, WeightsCard
from automl_transfer.space import Choice, Float, Int, Space
from automl_transfer.stages.arms import Arm, expected_improvement, ranked
from automl_transfer.stages.joint import JointSpace
from automl_transfer.stages.ladder import FACTOR, FIRST, ladder, shortened
from automl_transfer.stages.looks import OF_A_CLASS, shared_positions
from automl_transfer.stages.tune import neighbours
from automl_transfer.stages.verdicts import FirstLook, judge


def arm(name: str, cost: float, frozen: float = 0.8, values: tuple[float, ...] = ()) -> Arm:
    return Arm(backbone=name, strategy="last-stages", cost=cost, frozen=frozen, values=values)


def names(arms: list[Arm]) -> list[str]:
    return [one.backbone for one in arms]


def test_of_equal_promise_the_cheaper_arm_comes_first() -> None:
    assert names(ranked([arm("dear", 20), arm("cheap", 5)], 0.8, 0.0)) == ["cheap", "dear"]


def test_at_the_end_a_better_arm_may_cost_more() -> None:
    arms = [arm("good", 4, frozen=0.81), arm("cheap", 1, frozen=0.79)]
    assert names(ranked(arms, 0.8, 0.0))[0] == "cheap"
    assert names(ranked(arms, 0.8, 1.0))[0] == "good"


def test_hopeless_arms_are_left_out() -> None:
    arms = [arm("good", 1), arm("bad", 1, frozen=0.5)]
    assert names(ranked(arms, 0.82, 0.5)) == ["good"]


def test_an_arm_that_disappointed_is_passed_over() -> None:
    arms = [arm("tried", 1, frozen=0.8, values=(0.78, 0.77, 0.76)), arm("new", 1, frozen=0.8)]
    assert names(ranked(arms, 0.8, 0.5))[0] == "new"


def test_one_bad_trial_does_not_condemn_an_arm() -> None:
    arms = [arm("unlucky", 1, frozen=0.8, values=(0.7,)), arm("new", 2, frozen=0.8)]
    assert "unlucky" in names(ranked(arms, 0.8, 0.5))


@given(mean=st.floats(-1, 1), deviation=st.floats(1e-3, 1), incumbent=st.floats(-1, 1))
def test_expected_improvement_is_that_of_a_normal_variable(
    mean: float, deviation: float, incumbent: float
) -> None:
    # By numerical integration over ten deviations.
    grid = np.linspace(mean - 10 * deviation, mean + 10 * deviation, 20001)
    density = np.exp(-(((grid - mean) / deviation) ** 2) / 2) / (deviation * np.sqrt(2 * np.pi))
    gain = np.maximum(grid - incumbent, 0) * density
    assert expected_improvement(mean, deviation, incumbent) == pytest.approx(
        float(np.trapezoid(gain, grid)), abs=1e-5
    )


@given(each=st.integers(1, 5000), affordable=st.floats(1, 1e6))
def test_rungs_ascend_to_what_is_affordable(each: int, affordable: float) -> None:
    rungs = ladder(each, epochs=None, affordable=affordable)
    assert list(rungs) == sorted(set(rungs)) and rungs[0] >= 1
    assert rungs[-1] <= max(1, affordable)
    if len(rungs) > 1:
        assert rungs[0] == max(each, FIRST)
        assert all(after >= 1.9 * before for before, after in itertools.pairwise(rungs))


def test_the_ladder_of_little_data_and_of_much() -> None:
    assert ladder(18, epochs=None, affordable=1e9) == (150, 450)
    assert ladder(1000, epochs=None, affordable=1e9) == (1000, 3000, 12000)
    assert ladder(18, epochs=None, affordable=200) == (200,)
    assert ladder(18, epochs=5, affordable=1e9) == (90,)
    assert FACTOR == 3


def test_a_shorter_training_must_still_be_an_epoch() -> None:
    assert shortened((150, 450), 80.5, 20) == (80,)
    assert shortened((150, 450), 10, 20) is None


def look(name: str, hits: list[int], gmacs: float = 1.0) -> FirstLook:
    card = BackboneCard(
        id=f"a/{name}",
        factory="a.b:c",
        modality="vectors",
        family="a",
        weights=WeightsCard(sources=("dir:x",)),
        cost=CostCard(params=10, gmacs=gmacs),
    )
    return FirstLook(card=card, score=float(np.mean(hits)), hits=np.array(hits, dtype=float))


def shared(share: float, n: int = 200) -> list[int]:
    return [int(place < share * n) for place in range(n)]


def test_the_clearly_worse_half_stops() -> None:
    looks = [look(name, shared(share)) for name, share in
             (("best", 0.9), ("good", 0.8), ("poor", 0.6), ("bad", 0.5))]  # fmt: skip
    verdicts = judge(looks)
    assert [name for name, verdict in verdicts.items() if verdict.kept] == ["a/best", "a/good"]
    assert "30.0 points behind a/best" in verdicts["a/poor"].reason


def test_what_cannot_be_told_from_the_best_goes_on() -> None:
    rng = np.random.default_rng(0)
    alike = [list(rng.permutation(shared(0.8))) for _ in range(4)]
    looks = [look(str(place), hits) for place, hits in enumerate(alike)]
    assert all(verdict.kept for verdict in judge(looks).values())


def test_two_backbones_always_go_on() -> None:
    verdicts = judge([look("best", shared(0.9)), look("bad", shared(0.1))])
    assert all(verdict.kept for verdict in verdicts.values())


def test_the_largest_of_many_is_kept_as_a_hedge_only() -> None:
    shares = (0.9, 0.85, 0.8, 0.5, 0.4, 0.3)
    looks = [look(str(place), shared(share)) for place, share in enumerate(shares)]
    looks[5] = look("large", shared(0.3), gmacs=9.0)
    verdicts = judge(looks)
    assert verdicts["a/large"].kept and "hedge" in verdicts["a/large"].reason
    assert not verdicts["a/3"].kept and not verdicts["a/4"].kept
    assert not judge(looks[:4] + looks[5:])["a/large"].kept


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=500),
    st.integers(0, 100),
    st.floats(0, 1),
)
def test_a_share_of_the_data_has_some_of_each_class_and_part(
    samples: list[tuple[int, bool]], seed: int, share: float
) -> None:
    labels, parts = np.array([label for label, _ in samples]), np.array([p for _, p in samples])
    chosen = shared_positions(labels, seed, share, parts)
    assert list(chosen) == sorted(set(chosen.tolist()))
    for label in np.unique(labels):
        have, there = (labels[chosen] == label).sum(), (labels == label).sum()
        assert have >= min(there, max(OF_A_CLASS, share * there))
        assert set(parts[chosen][labels[chosen] == label]) == set(parts[labels == label])
    assert set(chosen) <= set(shared_positions(labels, seed, (1 + share) / 2, parts))


def test_neighbours_lie_around_the_rate_and_one_stage_deeper() -> None:
    space = JointSpace(
        backbones=("a/one",),
        heads={"linear": Space()},
        strategies={
            "last": Space(
                (
                    Int(name="k", low=1, high=3, default=1),
                    Float(name="lr", low=1e-4, high=1e-3, default=4e-4, log=True),
                    Float(name="weight_decay", low=0.0, high=1.0, default=0.1),
                )
            )
        },
    )
    found = neighbours(space.default("a/one", "linear", "last"), space)
    assert all(space.holds(configuration) for configuration in found)
    assert [configuration.of("strategy", "last") for configuration in found] == [
        {"k": 2, "lr": 4e-4, "weight_decay": 0.1},
        {"k": 1, "lr": 1e-3, "weight_decay": 0.1},
        {"k": 1, "lr": pytest.approx(4e-4 / 3), "weight_decay": 0.1},
    ]


def test_a_neighbour_weights_its_classes_otherwise_where_that_is_searched_over() -> None:
    weights = Choice(name="class_weights", choices=("none", "balanced"), default="balanced")
    space = JointSpace(
        backbones=("a/one",),
        heads={"linear": Space()},
        strategies={"full": Space()},
        common={"training": Space((weights,))},
    )
    (other,) = neighbours(space.default("a/one", "linear", "full"), space)
    assert space.holds(other)
    assert other.params == {"training/class_weights": "none"}
