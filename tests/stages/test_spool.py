"""What could not be told to the database is told when it is back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.errors import StudyError
from automl_transfer.stages.spool import SPOOL, take_in, tell
from automl_transfer.store import Store
from tests.test_store import outcome
from tests.toy_search import ToySearch


@pytest.fixture
def store(tmp_path: Path):
    made = Store(f"sqlite:///{tmp_path / 'rows.db'}", "s", create=True)
    yield made
    made.close()


def away(*_: object) -> None:
    raise StudyError("The database is away.")


def test_rows_wait_for_the_database(tmp_path: Path, store: Store, monkeypatch) -> None:
    files = StudyDirectory(tmp_path)
    tell(files, store, [outcome(0)])
    assert not (tmp_path / SPOOL).exists()
    with monkeypatch.context() as patch:
        patch.setattr(Store, "append", away)
        with pytest.raises(StudyError, match="away"):
            tell(files, store, [outcome(1), outcome(2)])
    assert store.numbers() == [0]
    assert take_in(files, store) == [outcome(1), outcome(2)]
    assert store.trials() == [outcome(0), outcome(1), outcome(2)]
    assert not (tmp_path / SPOOL).exists()
    assert take_in(files, store) == []


def test_what_was_told_after_all_is_not_told_twice(tmp_path: Path, store: Store) -> None:
    files = StudyDirectory(tmp_path)
    tell(files, store, [outcome(0)])
    (tmp_path / SPOOL).mkdir()
    (tmp_path / SPOOL / "000000-000001.json").write_text("[")
    assert take_in(files, store) == []
    assert store.numbers() == [0]
    (kept,) = (tmp_path / SPOOL).iterdir()
    assert kept.name == "000000-000001.damaged" and kept.read_text() == "["


def test_what_cannot_be_read_now_is_not_thrown_away(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = StudyDirectory(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "append", away)
        with pytest.raises(StudyError, match="away"):
            tell(files, store, [outcome(1)])

    def broken(_: Path) -> bytes:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", broken)
        with pytest.raises(StudyError, match="cannot be read: Input/output error"):
            take_in(files, store)
    assert take_in(files, store) == [outcome(1)]


def test_a_full_disk_is_said(tmp_path: Path, store: Store, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(StudyDirectory, "write_json", full)
    with pytest.raises(StudyError, match="No space left on device. Make room on its disk"):
        tell(StudyDirectory(tmp_path), store, [outcome(0)])


def test_a_search_goes_on_with_what_it_could_not_tell(tmp_path: Path, monkeypatch) -> None:
    toy = ToySearch(tmp_path)
    toy.run(toy.request(study="alone"))
    whole, calls = Store.append, 0

    def sometimes(self: Store, *rows: object) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            away()
        whole(self, *rows)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Store, "append", sometimes)
        with pytest.raises(StudyError, match="away"):
            toy.run()
    spooled = list((tmp_path / "studies" / "toy" / SPOOL).glob("*.json"))
    waiting = [row["number"] for path in spooled for row in json.loads(path.read_text())]
    assert waiting
    toy.run()
    found = {row.number: row for row in toy.study().trials}
    assert set(waiting) <= found.keys()
    alone = toy.study("alone").trials
    assert [row.value for row in found.values()] == [row.value for row in alone]
