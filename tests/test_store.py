"""Rows of a study: durable, complete, and never showing a password."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from automl_transfer.configuration import Configuration
from automl_transfer.errors import StudyError
from automl_transfer.outcome import CurvePoint, FreezeProof, Outcome
from automl_transfer.store import Store


def outcome(number: int = 0, **changes) -> Outcome:
    usual = {
        "number": number,
        "stage": "tune",
        "configuration": Configuration(
            backbone="b", head="h", strategy="s", params={"head/h/x": 1, "strategy/s/lr": 1e-4}
        ),
        "state": "finished",
        "value": 0.5,
        "metrics": {"accuracy": 0.5},
        "curve": (CurvePoint(epoch=1, value=0.5, loss=0.7, seconds=1.25),),
        "proof": FreezeProof(trainable_parameters=1, total_parameters=2, frozen_tensors=3),
    }
    return Outcome(**(usual | changes))


def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'rows.db'}"


@pytest.fixture
def store(tmp_path: Path):
    made = Store(url(tmp_path), "a", create=True)
    yield made
    made.close()


def sql(tmp_path: Path, text: str) -> None:
    with sqlite3.connect(tmp_path / "rows.db") as connection:
        connection.execute(text)
    connection.close()


def test_rows_come_back_as_they_were_by_number(store: Store, tmp_path: Path) -> None:
    rows = [
        outcome(2, state="failed", reason="error: ünï 🎈", value=None, proof=None, curve=()),
        outcome(0),
        outcome(1, state="pruned"),
    ]
    for row in rows:
        store.append(row)
    again = Store(url(tmp_path), "a")
    assert again.trials() == sorted(rows, key=lambda row: row.number)
    again.close()


def test_a_running_trial_is_shown_until_it_ends(store: Store) -> None:
    store.set_running(outcome(0, state="running", value=None))
    store.set_running(outcome(1, state="running", value=None))
    later = outcome(0, state="running", value=0.4)
    store.set_running(later)
    assert {row.number: row.value for row in store.running()} == {0: 0.4, 1: None}
    store.append(outcome(0))
    assert [row.number for row in store.running()] == [1]
    store.clear_running()
    assert store.running() == []
    assert [row.number for row in store.trials()] == [0]


def test_documents_are_replaced_and_missing_ones_have_a_default(store: Store) -> None:
    assert store.get("x") is None
    assert store.get("x", []) == []
    store.put("x", {"a": [1, None, "é"]})
    store.put("x", {"b": 2})
    assert store.get("x") == {"b": 2}


def test_studies_in_one_database_do_not_meet(store: Store, tmp_path: Path) -> None:
    other = Store(url(tmp_path), "b", create=True)
    other.append(outcome(0, value=0.9))
    other.set_running(outcome(1, state="running"))
    other.put("x", 1)
    assert (store.trials(), store.running(), store.get("x")) == ([], [], None)
    store.clear_running()
    assert len(other.running()) == 1
    other.close()


def test_opening_again_keeps_what_is_there(store: Store, tmp_path: Path) -> None:
    store.append(outcome(0))
    again = Store(url(tmp_path), "a", create=True)
    assert len(again.trials()) == 1
    again.close()


def test_a_number_is_given_once(store: Store) -> None:
    store.append(outcome(0, value=0.1))
    store.set_running(outcome(1, state="running"))
    with pytest.raises(StudyError, match="Trial 0 .* has ended once.*Is another search running"):
        store.append(outcome(0, value=0.2))
    assert [row.value for row in store.trials()] == [0.1]
    assert len(store.running()) == 1


def test_what_was_told_is_told_again_without_harm(store: Store) -> None:
    store.append(outcome(0, value=0.1))
    store.append(outcome(0, value=0.1), outcome(1, value=0.2))
    assert [row.value for row in store.trials()] == [0.1, 0.2]


def test_a_value_that_is_no_number_is_not_stored(store: Store) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.append(outcome(0, value=float("nan")))
    assert store.trials() == []


def test_a_reader_sees_rows_while_they_are_written(store: Store, tmp_path: Path) -> None:
    reader = Store(url(tmp_path), "a")
    done = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not done.is_set():
            seen.append(len(reader.trials()))

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(25):
        store.append(outcome(number))
    done.set()
    thread.join()
    assert seen == sorted(seen)
    assert len(reader.trials()) == 25
    reader.close()


def test_a_study_that_is_not_there_is_said(store: Store, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="There is no study 'z' in 'sqlite:"):
        Store(url(tmp_path), "z")


def test_reading_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"must be in their database, but '.*rows.db' does not"):
        Store(url(tmp_path), "a")
    assert list(tmp_path.iterdir()) == []


def test_a_newer_schema_is_not_guessed_at(store: Store, tmp_path: Path) -> None:
    sql(tmp_path, "UPDATE automl_studies SET schema = 99")
    with pytest.raises(StudyError, match="reads rows of schema 1, but study 'a' has 99. Upgrade"):
        Store(url(tmp_path), "a")


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "rows.db").write_text("not a database, by far" * 100)
    with pytest.raises(StudyError, match=r"cannot be read: DatabaseError: file is not a database"):
        Store(url(tmp_path), "a")
    with pytest.raises(StudyError, match=r"file is not a database. Check that it is there"):
        Store(url(tmp_path), "a", create=True)


EVERY_METHOD = {
    "append": lambda store: store.append(outcome(7)),
    "trials": lambda store: store.trials(),
    "set_running": lambda store: store.set_running(outcome(7, state="running")),
    "running": lambda store: store.running(),
    "clear_running": lambda store: store.clear_running(),
    "put": lambda store: store.put("x", 1),
    "get": lambda store: store.get("x"),
}


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_a_database_that_loses_its_tables_is_said(
    store: Store, tmp_path: Path, method: str
) -> None:
    for table in ("trials", "running", "documents"):
        sql(tmp_path, f"DROP TABLE automl_{table}")
    rule = r"The database 'sqlite:.*' cannot be (read|written): .*no such table.*Check that it is"
    with pytest.raises(StudyError, match=rule):
        EVERY_METHOD[method](store)


def test_a_database_that_is_in_use_is_said(store: Store, tmp_path: Path) -> None:
    reader = Store(url(tmp_path), "a")
    # A reader waits 5 s for a lock; what it says afterwards is what this is about.
    sa.event.listen(
        reader._database.engine,
        "begin",
        lambda made: made.exec_driver_sql("PRAGMA busy_timeout = 1"),
    )
    other = sqlite3.connect(tmp_path / "rows.db")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StudyError, match="in use by another process: is another search running"):
        reader.put("x", 1)
    other.close()
    reader.close()


def test_a_full_disk_is_said(store: Store, tmp_path: Path) -> None:
    sql(
        tmp_path,
        "CREATE TRIGGER full BEFORE INSERT ON automl_trials "
        "BEGIN SELECT RAISE(ABORT, 'database or disk is full'); END",
    )
    with pytest.raises(StudyError, match="disk is full. Make room on its disk"):
        store.append(outcome(0))


@pytest.mark.parametrize("damage", ["{", '{"number": 0}', "[]"])
def test_a_damaged_row_is_said(store: Store, tmp_path: Path, damage: str) -> None:
    store.append(outcome(0))
    sql(tmp_path, f"UPDATE automl_trials SET row = '{damage}'")
    with pytest.raises(StudyError, match=r"A row of study 'a' in 'sqlite.*' is damaged"):
        store.trials()


def test_a_damaged_document_is_said(store: Store, tmp_path: Path) -> None:
    store.put("x", 1)
    sql(tmp_path, "UPDATE automl_documents SET body = '{'")
    with pytest.raises(StudyError, match="The document 'x' of study 'a' .* is damaged"):
        store.get("x")


@pytest.mark.parametrize(
    "bad",
    [
        "nosuchdb://me:secret@host/db",
        "postgresql+nosuchdriver://me:secret@host/db",
        "sqlite://me:secret@host/db",
    ],
)
def test_no_error_shows_a_password(bad: str) -> None:
    for create in (True, False):
        with pytest.raises(StudyError) as caught:
            Store(bad, "a", create=create)
        error: BaseException | None = caught.value
        while error is not None:
            shown = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
            assert "secret" not in str(error), bad
            error = shown
