from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from automl_transfer.configuration import Configuration
from automl_transfer.recommendation import Confirmation, Cost, Finalist, Interval
from automl_transfer.stages.choose import AS_GOOD, chosen_by, rule, why


def finalist(
    number, value, tied=True, latency=0.01, size=100, training=1.0, memory=10
) -> Finalist:
    return Finalist(
        number=number,
        configuration=Configuration(backbone=f"b/{number}", head="linear", strategy="frozen"),
        selected_on=value,
        value=value,
        interval=Interval(low=value - 0.05, high=value + 0.05),
        p_best=0.5,
        behind=None if number == 0 else Interval(low=0.0, high=0.1),
        tied=tied,
        cost=Cost(
            latency=latency,
            latency_batch=latency * 10,
            batch=32,
            bytes=size,
            memory=memory,
            parameters=1,
            training=training,
            device="cpu",
        ),
    )


def choose(rows, prefer, tolerance=1.0):
    """The finalist that the rule picks, and why."""
    values = np.array([one.value for one in rows])
    # No difference is significant but that to one that is not tied.
    margins = np.where([one.tied for one in rows], 1.0, 0.0) * np.ones((len(rows), 1))
    shares = rule(rows, margins, prefer, tolerance)(values[np.newaxis])
    chosen = rows[int(shares[0].argmax())]
    return chosen, why(rows, chosen, prefer, tolerance=tolerance)


def test_the_cheapest_of_the_tie_group_wins_by_what_is_preferred():
    rows = [
        finalist(0, 0.90, latency=0.03, size=50, training=9, memory=7),
        finalist(1, 0.89, latency=0.01, size=90, training=5, memory=9),
        finalist(2, 0.88, latency=0.02, size=70, training=1, memory=3),
        finalist(3, 0.60, tied=False, latency=0.001, size=1, training=0.1, memory=1),
    ]
    picked = {
        prefer: choose(rows, prefer, tolerance=5)[0].number
        for prefer in ("accuracy", "latency", "size", "memory", "training-time")
    }
    assert picked == {"accuracy": 0, "latency": 1, "size": 0, "memory": 2, "training-time": 2}


def test_costs_that_hardly_differ_do_not_decide():
    rows = [finalist(0, 0.9, latency=0.0105), finalist(1, 0.8, latency=0.01)]
    chosen, words = choose(rows, "latency", tolerance=100)
    assert chosen.number == 0
    assert "No difference is shown" in words and "none as good costs less" in words


def test_a_tie_is_no_reason_to_give_up_points():
    rows = [finalist(0, 0.90, latency=0.03), finalist(1, 0.80, latency=0.01)]
    assert choose(rows, "latency")[0].number == 0
    chosen, words = choose(rows, "latency", tolerance=10)
    assert chosen.number == 1
    assert "of those within 10 points of the best score, it answers fastest" in words


def test_beats_is_said_only_where_a_difference_is_shown():
    clear = [finalist(0, 0.9), finalist(1, 0.7, tied=False)]
    assert "It beats trial 1" in choose(clear, "latency")[1]
    open_ = [finalist(0, 0.9), finalist(1, 0.89)]
    assert "beats" not in choose(open_, "latency")[1]
    assert choose([finalist(0, 0.9)], "latency")[1] == "It is the only finalist."


@pytest.mark.parametrize("prefer", ["accuracy", "latency", "size"])
@pytest.mark.parametrize("tolerance", [0.0, 1.0, 5.0])
def test_what_is_chosen_is_good_enough_and_nothing_as_good_is_cheaper(prefer, tolerance):
    generator = np.random.default_rng(0)
    for _ in range(50):
        values = np.round(np.sort(generator.uniform(0.8, 0.9, 4))[::-1], 3)
        margins = np.full((4, 4), 0.05)
        rows = [
            finalist(
                number,
                value,
                tied=values[0] - value <= 0.05,
                latency=generator.uniform(0.01, 0.03),
                size=int(generator.integers(10, 30)),
            )
            for number, value in enumerate(values.tolist())
        ]
        shares = rule(rows, margins, prefer, tolerance)(values[np.newaxis])
        assert shares.sum() == pytest.approx(1)
        chosen = rows[int(shares[0].argmax())]
        near = [
            one for one in rows if one.tied and values[0] - one.value <= tolerance / 100 + 1e-9
        ]
        assert chosen in near
        if prefer == "accuracy":
            assert chosen.value == values[0]
        else:
            of = {"latency": lambda one: one.cost.latency, "size": lambda one: one.cost.bytes}
            cost = of[prefer]
            least = AS_GOOD * min(cost(one) for one in near)
            assert chosen.value == max(one.value for one in near if cost(one) <= least)


@pytest.mark.parametrize("prefer", ["accuracy", "latency", "size"])
def test_another_preference_of_a_stored_answer_chooses_as_the_search_would(prefer):
    generator = np.random.default_rng(1)
    for _ in range(100):
        # To two digits, so that some have the same value.
        values = np.round(np.sort(generator.uniform(0.85, 0.9, 4))[::-1], 2)
        rows = [
            replace(
                finalist(
                    number, float(value), latency=float(generator.choice([0.01, 0.02, 0.04]))
                ),
                behind=None
                if number == 0
                else Interval(low=values[0] - value - 0.05, high=values[0] - value + 0.05),
            )
            for number, value in enumerate(values)
        ]
        found = Confirmation(
            finalists=tuple(rows),
            winner=3,
            samples=100,
            folds=5,
            repeats=1,
            minimum_detectable=0.05,
            prefer="memory",
            reason="",
        )
        chosen = chosen_by(found, prefer, 1.0)
        known = rule(rows, np.full((4, 4), 0.05), prefer, 1.0)(values[None])[0]
        assert known[chosen.number] == known.max()
        assert chosen_by(found, "memory", 1.0).number == 3
