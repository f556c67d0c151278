from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import sqlalchemy.exc

from automl_transfer.dashboard import data_rows, rows
from automl_transfer.dashboard.answer import is_provisional, progress, sentence
from automl_transfer.dashboard.leaderboard_rows import ranking
from automl_transfer.dashboard.snapshot import Snapshot, Unreadable, read
from automl_transfer.store import Store
from tests.dashboard.made_studies import MakeStudy, outcome, some_outcomes


def snapshot(directory: Path) -> Snapshot:
    found = read(directory)
    assert isinstance(found, Snapshot), found
    return found


def trouble(directory: Path) -> str:
    found = read(directory)
    assert isinstance(found, Unreadable)
    return found.reason


def test_facts_flatten_nested_names() -> None:
    frame = rows.facts({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": None, "f": {}})
    assert frame.to_dict("records") == [
        {"name": "a.b", "value": "1"},
        {"name": "a.c.d", "value": "1, 2"},
    ]


@pytest.mark.parametrize(
    ("state", "age", "standing"),
    [
        ("running", 1, "running"),
        ("running", 500, "quiet"),
        ("interrupted", 500, "interrupted"),
        ("finished", 500, "finished"),
        ("failed", 1, "failed"),
        ("levitating", 1, "unknown"),
        (None, 1, "unknown"),
    ],
)
def test_standing(make_study: MakeStudy, state: str | None, age: float, standing: str) -> None:
    study = make_study("s", state=state, age=age)
    assert snapshot(study.directory).standing() == standing


def test_long_epochs_are_waited_for(make_study: MakeStudy) -> None:
    slow = outcome(0, "running", None, reported=1)
    point = dataclasses.replace(slow.curve[0], seconds=400.0)
    study = make_study(
        "s", state="running", age=900, running=[dataclasses.replace(slow, curve=(point,))]
    )
    assert snapshot(study.directory).standing() == "running"
    study.status("running", age=1300)
    assert snapshot(study.directory).standing() == "quiet"


def test_a_resumed_study_is_provisional_again(make_study: MakeStudy) -> None:
    study = make_study("s", some_outcomes(), recommended=True)
    found = snapshot(study.directory)
    assert found.is_final and not is_provisional(found)
    assert sentence(found).startswith("Use `hf/facebook/dinov2-small` with the `mlp` head")
    assert "**93.1 % accuracy** (90.7 to 95.1 %) on 400 test samples" in sentence(found)
    study.store.append(outcome(9, value=0.99, strategy="lora"))
    found = snapshot(study.directory)
    assert not found.is_final and is_provisional(found)
    assert "So far the best is" in sentence(found) and "`lora`: **99.0 %" in sentence(found)
    assert list(ranking(found)["trial"])[:2] == [9, 2]


def test_progress_says_what_is_spent_and_left(make_study: MakeStudy) -> None:
    study = make_study("s", some_outcomes(), "running")
    share, text = progress(snapshot(study.directory))
    assert share == pytest.approx(0.5)
    assert "2m 30s spent of 5m" in text and "about 2m 30s left" in text
    assert "6 trials: 4 finished, 1 pruned, 1 failed" in text


def test_progress_of_a_budget_in_trials(make_study: MakeStudy) -> None:
    found = snapshot(make_study("s", some_outcomes(), "running").directory)
    request = dataclasses.replace(found.request, budget_seconds=None, trials=24)
    share, text = progress(dataclasses.replace(found, request=request))
    assert share == pytest.approx(0.25)
    assert "2m 30s spent · " in text and "(budget: 24)" in text and "left" not in text


def test_missing_database_is_a_message_and_no_file_is_made(make_study: MakeStudy) -> None:
    study = make_study("s")
    study.store.close()
    database = study.directory / "study.db"
    for path in study.directory.glob("study.db*"):
        path.unlink()
    assert "does not exist" in trouble(study.directory)
    assert not database.exists()


def test_reading_writes_nothing(make_study: MakeStudy) -> None:
    study = make_study("s", some_outcomes(), recommended=True)
    before = {path: path.stat().st_mtime_ns for path in study.directory.rglob("*")}
    snapshot(study.directory)
    data_rows.classes(study.directory)
    after = {path: path.stat().st_mtime_ns for path in study.directory.rglob("*")}
    lasting = {path for path in before if not path.name.endswith(("-shm", "-wal"))}
    assert {path: before[path] for path in lasting} == {path: after[path] for path in lasting}
    assert {path.name for path in set(after) - set(before)} <= {"study.db-shm", "study.db-wal"}


def test_newer_damaged_and_locked_studies_are_messages(
    make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = make_study("newer")
    path = newer.directory / "study.toml"
    path.write_text(path.read_text().replace("schema = 1", "schema = 99"))
    assert "has 99. Upgrade automl-transfer" in trouble(newer.directory)

    nameless = make_study("nameless")
    (nameless.directory / "study.toml").write_text("schema = 1\n")
    assert "does not have the form" in trouble(nameless.directory)

    half = make_study("half")
    (half.directory / "recommendation.json").write_text('{"study":')
    assert "is damaged" in trouble(half.directory)

    other = make_study("other")
    (other.directory / "recommendation.json").write_text("{}")
    assert "is damaged, or of another version" in trouble(other.directory)

    def locked(_: Store) -> list[object]:
        raise sqlalchemy.exc.OperationalError("SELECT", {}, Exception("database is locked"))

    good = make_study("good")
    monkeypatch.setattr(Store, "numbers", locked)
    assert "in use by another process" in trouble(good.directory)


def test_a_file_that_is_no_database_is_a_message(make_study: MakeStudy) -> None:
    study = make_study("s")
    study.store.close()
    for path in study.directory.glob("study.db*"):
        path.unlink()
    (study.directory / "study.db").write_bytes(b"this is no database" * 100)
    assert "cannot be read" in trouble(study.directory)


def test_a_study_that_vanishes_is_a_message(make_study: MakeStudy) -> None:
    study = make_study("s")
    shutil.rmtree(study.directory)
    assert "has none" in trouble(study.directory)
