"""Opening a stored study, and what can be wrong with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.errors import NothingUsableError, StudyError
from automl_transfer.store import Store
from automl_transfer.study import STORAGE_VARIABLE, list_studies, open_study
from tests.test_request import PLAIN
from tests.test_store import outcome


def make(root: Path, name: str, storage: str | None = None, shown: str | None = None) -> Path:
    files = StudyDirectory(root / name)
    files.write_request(replace(PLAIN, study=name, storage=shown or storage), {"version": "1"})
    store = Store(storage or files.database_url, name, create=True)
    store.append(outcome(0))
    store.set_running(outcome(1, state="running", value=None))
    store.put("status", {"state": "running", "stage": "heads"})
    store.close()
    return files.path


def test_a_study_is_opened_by_its_name_or_its_directory(tmp_path: Path) -> None:
    directory = make(tmp_path, "first")
    for study in (open_study("first", tmp_path), open_study(directory)):
        assert (study.name, study.directory) == ("first", directory)
        assert [row.number for row in study.trials] == [0]
        assert [row.number for row in study.running] == [1]
        assert study.status == {"state": "running", "stage": "heads"}
        assert study.document("nothing") is None
        assert study.request.trials == PLAIN.trials
        assert study.command == replace(PLAIN, study="first").command
        assert (study.recommendation, study.ranking) == (None, ())
        assert study.provenance == {"version": "1"}
        study.close()


def test_what_is_added_while_it_is_open_is_seen(tmp_path: Path) -> None:
    directory = make(tmp_path, "first")
    study = open_study("first", tmp_path)
    store = Store(StudyDirectory(directory).database_url, "first")
    store.append(outcome(1))
    assert [row.number for row in study.trials] == [0, 1]
    assert study.running == []
    store.close()
    study.close()


def test_studies_are_listed_by_name_and_other_directories_are_not(tmp_path: Path) -> None:
    for name in ("b", "a"):
        make(tmp_path, name)
    (tmp_path / "other").mkdir()
    (tmp_path / "file").write_text("")
    assert [path.name for path in list_studies(tmp_path)] == ["a", "b"]
    assert list_studies(tmp_path / "nowhere") == []


def test_a_name_that_is_not_there_brings_the_closest(tmp_path: Path) -> None:
    make(tmp_path, "flowers-1")
    with pytest.raises(
        StudyError, match=r"no study 'flower-1' in .* there are: flowers-1. Did you mean"
    ):
        open_study("flower-1", tmp_path)
    with pytest.raises(StudyError, match="there are: none"):
        open_study("x", tmp_path / "nowhere")


def test_without_a_model_the_command_that_goes_on_is_said(tmp_path: Path) -> None:
    make(tmp_path, "first")
    study = open_study("first", tmp_path)
    with pytest.raises(NothingUsableError, match="no trained model yet. Resume it with: automl-"):
        study.model  # noqa: B018
    study.close()


def test_rows_elsewhere_are_found_by_option_or_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = f"sqlite:///{tmp_path / 'rows.db'}"
    make(tmp_path, "far", storage=rows, shown="postgresql://me:secret@host/db")
    with pytest.raises(
        StudyError, match=f"password is not stored. .* {STORAGE_VARIABLE}"
    ) as error:
        open_study("far", tmp_path)
    assert "secret" not in str(error.value)
    by_option = open_study("far", tmp_path, storage=rows)
    monkeypatch.setenv(STORAGE_VARIABLE, rows)
    by_variable = open_study("far", tmp_path)
    assert by_option.trials == by_variable.trials == [outcome(0)]
    by_option.close()
    by_variable.close()


def test_the_variable_does_not_move_a_study_that_has_its_own_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "near")
    monkeypatch.setenv(STORAGE_VARIABLE, f"sqlite:///{tmp_path / 'other.db'}")
    study = open_study("near", tmp_path)
    assert len(study.trials) == 1
    study.close()
