from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_transfer.pareto import pareto

POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(POINTS)
def test_the_front_is_what_nothing_dominates(points: list[tuple[int, int]]) -> None:
    values, costs = np.array(points, dtype=float).T
    expected = [
        not any(w >= v and d <= c and (w > v or d < c) for w, d in points) for v, c in points
    ]
    assert pareto(values, costs).tolist() == expected


@given(POINTS)
def test_the_best_and_the_cheapest_are_in_it(points: list[tuple[int, int]]) -> None:
    values, costs = np.array(points, dtype=float).T
    front = pareto(values, costs)
    assert values[front].max() == values.max() and costs[front].min() == costs.min()


def test_it_wants_a_cost_for_each_value() -> None:
    with pytest.raises(ValueError, match="as many costs as values"):
        pareto(np.zeros(3), np.zeros(2))
