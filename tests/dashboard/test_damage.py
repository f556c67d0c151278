"""Whatever lies in a study, no page is a traceback, and what can be shown is shown."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from automl_transfer.artifacts import WRONG_LABELS, StudyDirectory, labels_of
from automl_transfer.dashboard import cached, data_rows, errors_page, leaderboard_page
from automl_transfer.dashboard.places import Place
from automl_transfer.dashboard.wording import distinct
from automl_transfer.dataset import Dataset, Sample, Splits
from tests.dashboard.made_studies import Made, MakeStudy, outcome, some_outcomes
from tests.dashboard.seen import RunPage, sentence, table, texts

DOCUMENTS = (
    "data audit screen why_not notes importances timeline planned map status bracket plan members"
)
ASKED = {"compare": {"ids": "0,1,2"}, "trial": {"trial": "1"}}


@pytest.mark.damaged
@pytest.mark.parametrize("value", ["text", 5, [1, "a", None], {"classes": 3, "stages": "x"}, [{}]])
def test_documents_of_any_form(run: RunPage, make_study: MakeStudy, value: Any) -> None:
    study = make_study("odd", some_outcomes(), recommended=True)
    for name in DOCUMENTS.split():
        study.store.put(name, value)
    for place in get_args(Place):
        app = run(place, study="odd", **ASKED.get(place, {}))
        said = texts(app)
        assert "Studies" in said if place == "studies" else "odd" in said


def some_files(files: StudyDirectory, damage: Callable[[bytes], bytes]) -> None:
    files.write_held_out(np.arange(16, 20), np.full((4, 2), 0.5, dtype=np.float32))
    files.write_map(np.arange(20), np.ones((20, 2), dtype=np.float32))
    for number in range(3):
        files.write_predictions(number, np.full((4, 2), 0.5, dtype=np.float32))
    files.write_json(WRONG_LABELS, [])
    for path in sorted(files.path.rglob("*")):
        if path.suffix in (".npz", ".npy", ".parquet", ".csv") or path.name == WRONG_LABELS:
            path.write_bytes(damage(path.read_bytes()))


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"\x00" * len(content),
        lambda content: b'[{"source": 3}, 5, {"source": "a", "label": [], "suggested": "c"}]',
    ],
    ids=["empty", "cut off", "zeros", "other content"],
)
def test_files_of_any_content(
    run: RunPage, make_study: MakeStudy, damage: Callable[[bytes], bytes]
) -> None:
    study = make_study("odd", some_outcomes(), recommended=True)
    some_files(StudyDirectory(study.directory), damage)
    for place in get_args(Place):
        app = run(place, study="odd", **ASKED.get(place, {}))
        assert not [one for one in app.error if "cannot be drawn" in one.value]


@pytest.mark.parametrize("rows", ["5", '"x"', '[[1], "a"]', '[{"source": "1.png"}]'])
def test_suspicions_of_another_form_are_none(
    run: RunPage, make_study: MakeStudy, rows: str
) -> None:
    study = make_study("odd", some_outcomes(), recommended=True)
    (study.directory / WRONG_LABELS).write_text(rows)
    assert "None is suspected" in texts(run("errors", study="odd"))


def test_a_suspicion_without_a_number_is_left_out(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("odd", some_outcomes(), recommended=True)
    row = {"source": "1.png", "label": "cat", "suggested": "dog", "confidence": 0.9}
    odd = [row | {"confidence": value} for value in ("much", None, {}, True)]
    (study.directory / WRONG_LABELS).write_text(json.dumps([*odd, row, row | {"label": 3}]))
    said = texts(run("errors", study="odd"))
    assert "1 suspicion" in said
    assert "`cat, looks like dog` `90 % sure`" in said


@pytest.mark.parametrize("matrix", [((1, 0), (0,)), ((1,),), ((1, 2, 3),) * 3])
def test_a_matrix_of_another_form(
    run: RunPage, make_study: MakeStudy, matrix: tuple[tuple[int, ...], ...]
) -> None:
    study: Made = make_study("odd", some_outcomes(), recommended=True)
    test = study.answer().test
    study.change(test=type(test)(**{**vars(test), "confusion": matrix}))
    assert "do not fit the classes" in texts(run("errors", study="odd"))


@pytest.mark.damaged
def test_what_nobody_expected_is_said_and_the_rest_is_there(
    run: RunPage, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret of a file")

    make_study("odd", some_outcomes(), recommended=True)
    monkeypatch.setattr(errors_page, "_errors", broken)
    monkeypatch.setattr(leaderboard_page, "_draw", broken)
    said = texts(run("errors", study="odd"))
    assert "The errors cannot be drawn (RuntimeError)" in said
    assert "Labels that may be wrong" in said
    assert "secret of a file" not in said
    assert "The table cannot be drawn" in texts(run("leaderboard", study="odd"))


def test_a_study_made_anew_is_another_on_every_page(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("again", some_outcomes())
    predictions(study, 0.9)
    assert 93.0 in list(table(run("leaderboard", study="again"), "tier")["value"])
    before = sentence(run("compare", study="again", ids="0,1"))
    study.store.close()
    shutil.rmtree(study.directory)
    study = make_study("again", [replace(row, value=0.5) for row in some_outcomes()])
    predictions(study, 0.1)
    assert 93.0 not in list(table(run("leaderboard", study="again"), "tier")["value"])
    app = run("compare", study="again", ids="0,1")
    assert list(table(app, "P(best)")["trial"]) == [0, 1]
    assert sentence(app) != before or "No difference" in before


def predictions(study: Made, sure: float) -> None:
    files = StudyDirectory(study.directory)
    for number in (0, 1):
        found = np.full((4, 2), 1 - sure, dtype=np.float32)
        found[:, number] = sure
        files.write_predictions(number, found)


def test_another_answer_is_another_table(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    assert table(run("leaderboard", study="done"), "tier")["confirmed"].isna().all()
    ranking = tuple(replace(row, confirmed=0.77) for row in study.answer().ranking)
    study.change(ranking=ranking)
    assert 77.0 in list(table(run("leaderboard", study="done"), "tier")["confirmed"])


def test_a_number_that_is_no_trial_ends_nowhere(run: RunPage, make_study: MakeStudy) -> None:
    make_study("gaps", [outcome(0), outcome(5)])
    app = run("trial", study="gaps")
    app.number_input[0].set_value(3).run()
    assert "no trial 3" in texts(app)


def test_one_damaged_study_hides_no_other(run: RunPage, make_study: MakeStudy) -> None:
    make_study("good", some_outcomes())
    study = make_study("odd", some_outcomes())
    database = sqlite3.connect(study.directory / "study.db")
    database.execute("UPDATE automl_trials SET value = 'abc' WHERE number = 1")
    database.commit()
    database.close()
    frame = table(run("studies"), "same data").set_index("study")
    assert frame.loc["odd", "state"] == "unreadable"
    assert frame.loc["good", "trials"] == 6


@pytest.mark.parametrize("what", ["status", "recommendation"])
def test_json_of_any_depth(run: RunPage, make_study: MakeStudy, what: str) -> None:
    study = make_study("deep", some_outcomes())
    deep = "[" * 100_000 + "]" * 100_000
    if what == "recommendation":
        (study.directory / "recommendation.json").write_text(deep)
    else:
        database = sqlite3.connect(study.directory / "study.db")
        database.execute("UPDATE automl_documents SET body = ? WHERE name = 'status'", (deep,))
        database.commit()
        database.close()
    assert "cannot be read" in texts(run("verdict", study="deep"))
    assert table(run("studies"), "same data")["state"].tolist() == ["unreadable"]


def test_one_unreadable_row_takes_no_other(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("odd", some_outcomes())
    database = sqlite3.connect(study.directory / "study.db")
    database.execute(
        "UPDATE automl_trials SET row = json_set(row, '$.seed', json('[]')) WHERE number = 1"
    )
    database.commit()
    database.close()
    app = run("compare", study="odd", ids="0,1,2")
    assert list(table(app, "latency")["trial"]) == [0, 2]


def test_metrics_and_sources_are_no_markup(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("odd", some_outcomes(), recommended=True)
    evil = "![x](http://evil.example/a.png)"
    study.change(metric=evil, test=replace(study.answer().test, source=evil))
    for place in ("verdict", "trial", "search"):
        said = [one.value for one in run(place, study="odd", trial="2").markdown]
        assert not [text for text in said if "](http" in text]


def test_positions_before_the_first_are_none(make_study: MakeStudy) -> None:
    files = StudyDirectory(make_study("s", some_outcomes()).directory)
    files.write_held_out(np.array([-1, 2]), np.full((2, 2), 0.5, dtype=np.float32))
    files.write_map(np.array([-1, 2]), np.ones((2, 2), dtype=np.float32))
    assert files.read_held_out() is None
    assert files.read_map() is None


def test_names_that_look_alike_are_told_apart() -> None:
    assert distinct(["a\u200bb", "a\u200cb", "c"])[2] == "c"
    assert len(set(distinct(["a\u200bb", "a\u200cb", "a\u200bb"]))) == 3


def test_many_ids_are_cut_between_numbers(run: RunPage, make_study: MakeStudy) -> None:
    make_study("many", [outcome(number) for number in (1, 12, *range(12_000, 12_060))])
    ids = ",".join(map(str, range(12_000, 12_060)))
    app = run("leaderboard", study="many", ids=ids)
    assert "60 are ticked" in texts(app)


def test_labels_that_hold_the_separator(tmp_path: Path) -> None:
    files = StudyDirectory(tmp_path)
    dataset = Dataset(
        modality="image",
        root="/x",
        kind="multi-label",
        classes=("red; big", "small"),
        samples=(
            Sample(id="a" * 64, source="a", label=0, values=(0.0, 1.0)),
            Sample(id="b" * 64, source="b", label=0, values=()),
        ),
        layout="manifest",
        quarantined=(),
    )
    files.write_manifest(
        dataset,
        Splits(train=np.array([0]), val=np.array([1]), test=np.array([], int), description=""),
    )
    assert labels_of(files.read_manifest()) == [["red; big", "small"], []]
    frame = data_rows.classes(tmp_path, "multi-label")
    assert frame is not None
    assert set(frame["class"]) == {"red; big", "small", "no label"}


def test_a_winner_without_an_interval_comes_first(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    answer = study.answer()
    study.change(winner=replace(answer.winner, interval=None))
    frame = table(run("leaderboard", study="done"), "tier")
    assert frame["trial"].iloc[0] == answer.winner.number


def test_a_finished_study_does_not_promise_its_errors(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    study.change(kind="regression")
    assert "was not kept, or is damaged" in sentence(run("errors", study="done"))


def test_looking_does_not_change_the_order(studies: Path, make_study: MakeStudy) -> None:
    for place, name in enumerate(("a", "b", "c")):
        study = make_study(name, some_outcomes())
        study.store.close()
        for path in study.directory.iterdir():
            os.utime(path, (1000 + place, 1000 + place))
    before = list(cached.listed(studies))
    assert before == ["c", "b", "a"]
    for path in cached.listed(studies).values():
        cached.snapshot(path)
    assert list(cached.listed(studies)) == before
