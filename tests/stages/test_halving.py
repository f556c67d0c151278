"""Which heads of a pack are trained to the end."""

from __future__ import annotations

from pathlib import Path

from automl_transfer.grouping import grouped
from automl_transfer.stages.halving import epochs_together
from tests.toy_search import ToySearch

RUNGS = (3, 9, 18, 30)


def test_half_of_each_kind_stops_three_times_and_what_it_said_is_kept(tmp_path: Path) -> None:
    toy = ToySearch(tmp_path)
    toy.run(toy.request(strategies=("frozen",), heads=("linear", "mlp", "cosine"), trials=48))
    study = toy.study()
    early = [row for row in study.trials if row.state == "pruned"]
    for rows in grouped(study.trials, lambda row: row.configuration.kind):
        assert len(rows) == 16
        there = [sum(point.epoch == rung for row in rows for point in row.curve) for rung in RUNGS]
        settled = [row for row in rows if row.state == "finished" and row.epochs < 30]
        assert there == [16, 8, 4, 2] or settled
        for rung in RUNGS[:-1]:
            stopped = [row.value for row in rows if row in early and row.epochs == rung]
            going_on = [
                point.value
                for row in rows
                for point in row.curve
                if point.epoch == rung and row.epochs > rung
            ]
            assert max(stopped, default=0) <= min(going_on, default=1)
    assert {row.epochs for row in early} == {3, 9, 18}
    assert {row.reason for row in early} == {
        f"behind the others of its kind after epoch {rung}" for rung in (3, 9, 18)
    }
    for row in early:
        said = study.files.read_predictions(row.number)
        assert said is not None and said.shape[1] == 3


def test_three_of_a_kind_are_trained_to_the_end(tmp_path: Path) -> None:
    toy = ToySearch(tmp_path)
    toy.run(toy.request(strategies=("frozen",), heads=("linear", "mlp"), trials=6))
    assert {row.state for row in toy.study().trials} == {"finished"}


def test_what_a_pack_takes_is_known_from_its_epochs() -> None:
    assert [epochs_together(heads) for heads in (0, 1, 3)] == [0, 30, 90]
    assert epochs_together(4) == 4 * 3 + 2 * 27
    assert epochs_together(16) == 16 * 3 + 8 * 6 + 4 * 9 + 2 * 12
