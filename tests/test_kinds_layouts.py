"""Several labels or a number a row of a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl_transfer.dataset import DataOptions
from automl_transfer.errors import DataError
from automl_transfer.layouts import Listing, read_layout, require_enough

SUFFIXES = frozenset({".png"})


def manifest(root: Path, lines: list[str], header: str = "path,label") -> Path:
    for place in range(len(lines)):
        (root / f"{place}.png").write_bytes(b"x")
    path = root / "data.csv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


def read(path: Path, **options) -> Listing:
    return read_layout(path, DataOptions(**options), SUFFIXES)


def test_labels_of_a_cell(tmp_path: Path) -> None:
    path = manifest(tmp_path, ["0.png,b; a", "1.png,", "2.png,a;a", "3.png,c"])
    found = read(path, task="multi-label")
    assert found.kind == "multi-label" and found.classes == ("a", "b", "c")
    assert [entry.values for entry in found.entries] == [(0.0, 1.0), (), (0.0,), (2.0,)]
    assert found.notes == ("1 row(s) have an empty cell: none of the labels holds.",)
    assert found.entries[0].stratum == 1 and found.entries[1].stratum == 3
    assert found.quarantined == ()


def test_another_separator(tmp_path: Path) -> None:
    path = manifest(tmp_path, ["0.png,a b", "1.png,a"])
    assert read(path, task="multi-label", label_separator=" ").classes == ("a", "b")
    assert read(path, task="multi-label").classes == ("a", "a b")


def test_a_column_of_lists_is_recognised(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    manifest(tmp_path, ["0.png,x"] * 3)
    path = tmp_path / "data.parquet"
    rows = {"path": ["0.png", "1.png", "2.png"], "label": [["a", "b"], [], ["b"]]}
    pq.write_table(pa.table(rows), path)
    found = read(path)
    assert found.kind == "multi-label" and found.classes == ("a", "b")
    assert [entry.values for entry in found.entries] == [(0.0, 1.0), (), (1.0,)]


def test_numbers(tmp_path: Path) -> None:
    lines = [f"{place}.png,{place / 2}" for place in range(20)]
    lines += ["20.png,", "21.png,many", "22.png,inf", "23.png,1e3"]
    found = read(
        manifest(tmp_path, lines, header="path,age"), task="regression", label_column="age"
    )
    assert found.kind == "regression" and found.classes == ("age",)
    assert sorted(entry.values[0] for entry in found.entries)[-1] == 1000.0
    assert [item.reason for item in found.quarantined] == [
        "the row has no number to predict",
        "the label 'many' is not a finite number",
        "the label 'inf' is not a finite number",
    ]


def test_one_file_with_two_labels_is_set_aside(tmp_path: Path) -> None:
    path = manifest(tmp_path, ["0.png,a;b", "0.png,b;a", "0.png,a", "1.png,b"])
    found = read(path, task="multi-label")
    assert [item.reason for item in found.quarantined] == [
        "an earlier row labels the same file 'a; b', this one 'a'"
    ]


@pytest.mark.parametrize(
    ("lines", "task", "message"),
    [
        (["0.png,", "1.png,"], "multi-label", "At least one label must hold"),
        (["0.png,3", "1.png,3"], "regression", "must differ, but column 'label' has '3'"),
        (["0.png,x", "1.png,y"], "regression", "in column .label., but none of the 2 rows"),
    ],
)
def test_what_cannot_be_learned_is_said(
    tmp_path: Path, lines: list[str], task: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(manifest(tmp_path, lines), task=task)


def test_a_label_that_only_a_held_out_part_has_is_named(tmp_path: Path) -> None:
    lines = ["0.png,a,train", "1.png,a;b,test", "2.png,a,test"]
    with pytest.raises(DataError, match="Every label must have images in the training.*'b'"):
        read(manifest(tmp_path, lines, header="path,label,split"), task="multi-label")


def test_folders_name_classes_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"x")
    with pytest.raises(DataError, match="A regression task must be read from a manifest"):
        read(tmp_path, task="regression")


def test_numbers_taken_for_classes_are_suspected() -> None:
    with pytest.raises(DataError, match="give --task regression"):
        require_enough(["0.5", "1.5"], [1, 1], [1, 1])
    with pytest.raises(DataError, match="give --task multi-label"):
        require_enough(["a;b", "b;c"], [1, 1], [1, 1])
    with pytest.raises(DataError, match=r"Every label needs at least 5 .* 'b' has 2"):
        require_enough(["a", "b"], [9, 2], [9, 2], kind="multi-label")
    with pytest.raises(DataError, match="At least 20 different usable images with a number"):
        require_enough(["y"], [3], [4], kind="regression")
