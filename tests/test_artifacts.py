"""Files of a study: whole or not there, and readable by anyone."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest

from automl_transfer.artifacts import StudyDirectory, replacing
from automl_transfer.dataset import Dataset, Quarantined, Sample, Splits
from automl_transfer.errors import StudyError
from tests.test_request import FULL, PLAIN


@pytest.fixture
def files(tmp_path: Path) -> StudyDirectory:
    return StudyDirectory(tmp_path / "study")


@pytest.mark.parametrize("request_", [PLAIN, FULL], ids=["plain", "full"])
def test_a_request_is_read_as_it_was_written_but_for_the_password(files, request_) -> None:
    assert not files.exists
    files.write_request(request_, {"python": "3.11", "git": None, "plugins": [{"a": None}]})
    assert files.exists
    found = files.read_request()
    assert found.options == request_.options
    assert found.identity == request_.identity
    text = (files.path / "study.toml").read_text(encoding="utf-8")
    assert "secret" not in text
    assert tomllib.loads(text)["provenance"] == {"python": "3.11", "plugins": [{}]}


def test_a_directory_without_a_study_says_how_to_find_one(files: StudyDirectory) -> None:
    with pytest.raises(StudyError, match="has none. List the studies with"):
        files.read_toml()


@pytest.mark.parametrize("content", [b"schema = ", b"\xff\xfe"])
def test_a_damaged_study_toml_is_said(files: StudyDirectory, content: bytes) -> None:
    files.write_request(PLAIN, {})
    (files.path / "study.toml").write_bytes(content)
    with pytest.raises(StudyError, match="study.toml' cannot be read"):
        files.read_toml()


def test_a_study_of_a_newer_version_is_not_guessed_at(files: StudyDirectory) -> None:
    files.write_request(PLAIN, {})
    path = files.path / "study.toml"
    path.write_text(path.read_text().replace("schema = 1", "schema = 2"))
    with pytest.raises(StudyError, match="reads studies of schema 1, but .* has 2. Upgrade"):
        files.read_toml()


def test_a_file_takes_its_place_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(RuntimeError, match="broken off"), replacing(path) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError("broken off")
    assert path.read_text() == "old"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_manifest_lists_every_sample_with_its_part(files: StudyDirectory) -> None:
    dataset = Dataset(
        modality="any",
        root="/data",
        classes=("ä", "b"),
        samples=tuple(Sample(id=f"0{i}", source=f"{i}.x", label=i % 2) for i in range(4)),
        layout="test",
        quarantined=(Quarantined(source='a "b",\n.x', reason="=broken"),),
    )
    splits = Splits(
        train=np.array([0, 3]), val=np.array([1]), test=np.array([2]), description="by hand"
    )
    files.write_manifest(dataset, splits)
    files.write_quarantined(dataset)
    assert files.read_manifest() == {
        "id": ["00", "01", "02", "03"],
        "source": ["0.x", "1.x", "2.x", "3.x"],
        "class": ["ä", "b", "ä", "b"],
        "part": ["train", "val", "test", "train"],
        "group": ["", "", "", ""],
        "unit": [0, 1, 2, 3],
    }
    with (files.path / "quarantined.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["source", "reason"], ['a "b",\n.x', "'=broken"]]


def test_predictions_survive_and_damaged_ones_are_missing(files: StudyDirectory) -> None:
    given = np.array([[0.25, 0.75], [1.0, 0.0]], dtype=np.float32)
    files.write_predictions(3, given)
    found = files.read_predictions(3)
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, given)
    assert files.read_predictions(4) is None
    path = files.path / "predictions" / "000003.npy"
    path.write_bytes(path.read_bytes()[:100])
    assert files.read_predictions(3) is None


def test_json_is_plain_and_has_no_nan(files: StudyDirectory) -> None:
    files.write_json("x.json", {"b": [1, None], "a": "é"})
    text = (files.path / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"b": [1, None], "a": "é"}
    assert "é" in text
    with pytest.raises(ValueError, match="JSON compliant"):
        files.write_json("x.json", float("nan"))
    assert json.loads((files.path / "x.json").read_text(encoding="utf-8"))["a"] == "é"


def test_before_the_answer_there_is_none(files: StudyDirectory) -> None:
    assert files.read_recommendation() is None


def test_an_answer_that_is_no_json_is_said(files: StudyDirectory) -> None:
    files.path.mkdir()
    (files.path / "recommendation.json").write_text("{")
    with pytest.raises(StudyError, match=r"recommendation.json' is damaged"):
        files.read_recommendation()


@pytest.mark.parametrize("content", ["[]", '{"study": "a"}'])
def test_an_answer_of_another_form_is_said(files: StudyDirectory, content: str) -> None:
    files.path.mkdir()
    (files.path / "recommendation.json").write_text(content)
    with pytest.raises(StudyError, match=r"recommendation.json' is damaged"):
        files.read_recommendation()
