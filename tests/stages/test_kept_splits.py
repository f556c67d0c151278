"""A study keeps the parts that its trials were scored on, whatever the rule now says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from automl_transfer.dataset import PARTS
from automl_transfer.errors import StudyError
from automl_transfer.events import DataLoaded, Event
from tests.toy_search import ToySearch

FEW = {"trials": 2, "strategies": ("frozen",), "backbones": ("toy/small",)}
MORE = {**FEW, "trials": 3}


@pytest.fixture
def toy(tmp_path: Path) -> ToySearch:
    return ToySearch(tmp_path)


def loaded(events: list[Event]) -> DataLoaded:
    return next(event for event in events if isinstance(event, DataLoaded))


def manifest(toy: ToySearch) -> Path:
    return toy.study().directory / "manifest.parquet"


def rewrite(toy: ToySearch, table: pa.Table) -> bytes:
    pq.write_table(table, manifest(toy))
    return manifest(toy).read_bytes()


def test_a_resumed_study_keeps_its_splits_when_the_rule_has_changed(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = loaded(toy.run(toy.request(**FEW)))
    before = manifest(toy).read_bytes()
    monkeypatch.setattr("automl_transfer.splits.VAL_SHARE", 0.5)
    again = loaded(toy.run(toy.request(**MORE)))
    assert again == first
    assert manifest(toy).read_bytes() == before
    predicted = toy.study().files.read_predictions(2)
    assert predicted is not None and len(predicted) == first.counts["val"]
    assert loaded(toy.run(toy.request(**FEW, study="new"))).counts["val"] > first.counts["val"]


def test_a_manifest_of_an_older_version_is_what_counts(toy: ToySearch) -> None:
    toy.run(toy.request(**FEW))
    table = pq.read_table(manifest(toy)).drop_columns(["unit", "group"])
    parts = np.roll(np.repeat(PARTS, (70, 30, 20)), 7).tolist()
    table = table.set_column(table.schema.get_field_index("part"), "part", [parts])
    before = rewrite(toy, table.take(np.random.default_rng(0).permutation(120)))
    assert loaded(toy.run(toy.request(**MORE))).counts == {"train": 70, "val": 30, "test": 20}
    assert manifest(toy).read_bytes() == before
    answer = toy.study().recommendation
    assert answer is not None and answer.test.samples == 20


def test_files_that_lie_elsewhere_now_are_known_by_their_content(toy: ToySearch) -> None:
    toy.run(toy.request(**FEW))
    table = pq.read_table(manifest(toy))
    lines = toy.data.read_text(encoding="utf-8").splitlines()
    toy.data.write_text("\n".join(reversed(lines)) + "\n", encoding="utf-8")
    toy.run(toy.request(**MORE))
    now = pq.read_table(manifest(toy))
    assert now["source"].to_pylist() == table["source"].to_pylist()
    for column in ("id", "part", "unit"):
        assert now[column].to_pylist() == table[column].to_pylist()[::-1]


@pytest.mark.parametrize("damage", ["missing", "cut", "row", "part", "column"])
def test_a_manifest_that_cannot_be_used_is_an_error(toy: ToySearch, damage: str) -> None:
    toy.run(toy.request(**FEW))
    path = manifest(toy)
    table = pq.read_table(path)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif damage == "row":
        rewrite(toy, table.slice(1))
    elif damage == "part":
        place = table.schema.get_field_index("part")
        rewrite(toy, table.set_column(place, "part", [["tset"] * len(table)]))
    else:
        rewrite(toy, table.drop_columns(["part"]))
    answer = toy.study().recommendation
    with pytest.raises(StudyError, match=r"manifest\.parquet.*--study"):
        toy.run(toy.request(**MORE))
    assert toy.study().recommendation == answer
    assert toy.study().status["state"] == "finished"


def test_without_a_trial_the_parts_are_drawn_anew(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = toy.events(toy.request(**FEW))
    next(event for event in events if isinstance(event, DataLoaded))
    events.close()  # type: ignore[attr-defined]
    monkeypatch.setattr("automl_transfer.splits.VAL_SHARE", 0.5)
    assert loaded(toy.run(toy.request(**FEW))).counts["val"] == 48
