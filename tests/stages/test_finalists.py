"""Who comes into the final, and in which order finalists are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from automl_transfer.configuration import Configuration
from automl_transfer.outcome import Outcome
from automl_transfer.stages import finalists
from automl_transfer.stages.confirm import _Session
from automl_transfer.stages.finalists import contenders, leader, shortlist

LABELS = np.arange(60) % 2


@given(st.integers(1, 14), st.data())
def test_three_for_their_worth_and_the_best_in_any_case(count: int, data: st.DataObject) -> None:
    ranked = data.draw(st.permutations(range(count)))
    best = data.draw(st.sampled_from(ranked))
    others = [one for one in ranked if one != best]
    level = [one for one in others if data.draw(st.booleans())]
    found = shortlist(ranked, best, level, lambda one: float(one))
    assert len(found) == len(set(found)) <= 5
    assert found[:3] == ranked[:3]
    assert best in found
    assert set(found[3:]) <= {best, *level}
    missed = [one for one in level if one not in found]
    cheap = [one for one in found[3:] if one != best]
    assert not missed or (len(found) == 5 and max(cheap, default=-1) < min(missed))


def row(number: int, head: str, value: float | None, strategy: str = "frozen") -> Outcome:
    chosen = Configuration(backbone="some", head=head, strategy=strategy, params={"x": number})
    return Outcome(
        number=number,
        stage="heads",
        configuration=chosen,
        state="finished",
        value=value,
        seed=0,
    )


Kept = dict[int, NDArray[np.float32]]
"""Predictions, by the number of the trial."""


def context(kept: Kept) -> Any:
    return SimpleNamespace(
        dataset=SimpleNamespace(targets=LABELS),
        splits=SimpleNamespace(val=np.arange(len(LABELS)), units=np.arange(len(LABELS))),
        task=SimpleNamespace(metric="accuracy", target=SimpleNamespace(outputs=2)),
        request=SimpleNamespace(seed=0),
        outcomes=[],
        predictions=kept.get,
    )


def guess(right: float, generator: np.random.Generator) -> NDArray[np.float32]:
    hits = np.where(generator.random(len(LABELS)) < right, LABELS, 1 - LABELS)
    return (0.8 * np.eye(2)[hits] + 0.1).astype(np.float32)


def exactly(right: float) -> NDArray[np.float32]:
    found = np.eye(2, dtype=np.float32)[LABELS]
    wrong = round(len(LABELS) * (1 - right))
    found[:wrong] = found[:wrong, ::-1]
    return found


def lucky(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Kept, list[Outcome]]:
    """Twenty coins, of which one is lucky, and one head that is hardly less often right."""
    monkeypatch.setattr(finalists, "ruled_out", lambda *_: None)
    generator = np.random.default_rng(0)
    coins = [guess(0.5, generator) for _ in range(20)]
    values = [float((each.argmax(axis=1) == LABELS).mean()) for each in coins]
    rows = [row(place, "coin", value) for place, value in enumerate(values)]
    rows.append(row(20, "honest", max(values) - 1 / 60))
    kept = {**dict(enumerate(coins)), 20: exactly(max(values) - 1 / 60)}
    return context(kept), kept, sorted(rows, key=lambda one: -(one.value or 0))


def heads_of(rows: Sequence[Outcome]) -> list[str]:
    return [one.configuration.head for one in rows]


def test_one_that_is_right_is_worth_more_than_the_luckiest_of_many(monkeypatch) -> None:
    bench, _, rows = lucky(monkeypatch)
    ranked = contenders(bench, rows)
    assert heads_of(ranked) == ["honest", "coin"]
    assert leader(ranked) is rows[0] is ranked[1]


def test_values_count_where_a_prediction_is_not_kept(monkeypatch) -> None:
    bench, kept, rows = lucky(monkeypatch)
    del kept[rows[5].number]
    assert heads_of(contenders(bench, rows)) == ["coin", "honest"]


def test_values_count_where_it_would_take_long(monkeypatch) -> None:
    bench, _, rows = lucky(monkeypatch)
    # The four best coins, which are luck enough, and the honest one.
    least = (finalists.LEAST_CHOSEN_FROM + 1) * len(LABELS) * finalists.RESAMPLES
    monkeypatch.setattr(finalists, "NUMBERS", least - 1)
    assert heads_of(contenders(bench, rows)) == ["coin", "honest"]
    monkeypatch.setattr(finalists, "NUMBERS", least)
    assert heads_of(contenders(bench, rows)) == ["honest", "coin"]
    bench.task.metric = "roc_auc"  # worked out for each of two classes
    assert heads_of(contenders(bench, rows)) == ["coin", "honest"]


def test_the_choice_was_also_among_those_that_were_stopped(monkeypatch) -> None:
    bench, kept, rows = lucky(monkeypatch)
    coins = [one for one in rows if one.configuration.head == "coin"]
    ended = [one for one in rows if one not in coins[1:]]
    assert heads_of(contenders(bench, ended)) == ["coin", "honest"]
    bench.outcomes = [replace(one, state="pruned") for one in coins[1:]]
    assert heads_of(contenders(bench, ended)) == ["honest", "coin"]
    for one in coins[1:]:  # older studies have none of them
        del kept[one.number]
    assert heads_of(contenders(bench, ended)) == ["coin", "honest"]


def test_what_was_better_when_it_was_stopped_was_not_chosen_for_that(monkeypatch) -> None:
    bench, kept, rows = lucky(monkeypatch)
    worse = [one for one in rows if one.configuration.head == "coin"][-1]
    honest = next(one for one in rows if one.configuration.head == "honest")
    bench.outcomes = [replace(worse, number=21, state="pruned", value=1.0)]
    kept[21] = exactly(1.0)
    assert heads_of(contenders(bench, [honest, worse])) == ["honest", "coin"]


def test_a_single_kind_and_none_at_all(monkeypatch) -> None:
    bench, _, rows = lucky(monkeypatch)
    assert contenders(bench, []) == []
    only = [one for one in rows if one.configuration.head == "coin"]
    assert contenders(bench, only) == only[:1]
    assert finalists.choose_finalists(bench, []) == []


def test_of_what_no_prediction_is_kept_the_value_counts_and_none_is_the_last(monkeypatch) -> None:
    bench, _, rows = lucky(monkeypatch)
    none = replace(rows[-1], number=99, configuration=row(99, "none", None).configuration)
    found = contenders(bench, [*rows, replace(none, value=None)])
    assert heads_of(found) == ["coin", "honest", "none"]


def test_of_fine_tunes_the_best_of_the_validation_part_is_trained_first() -> None:
    slow, best = row(1, "a", 0.7, "full"), row(2, "b", 0.8, "full")
    head = row(3, "c", 0.6)
    bench = SimpleNamespace(
        splits=SimpleNamespace(test=[0]),
        is_frozen=lambda configuration: configuration.strategy == "frozen",
    )
    session = _Session(bench, [slow, head, best], [], lambda rows: 0.0)  # type: ignore[arg-type]
    assert session._groups() == [([head], True), ([best], False), ([slow], False)]
