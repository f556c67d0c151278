"""Whatever lies in a study, no page is a traceback, and what can be shown is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest

from automl_transfer.artifacts import WRONG_LABELS, StudyDirectory
from automl_transfer.dashboard import errors_page, leaderboard_page
from automl_transfer.dashboard.places import Place
from tests.dashboard.made_studies import Made, MakeStudy, some_outcomes
from tests.dashboard.seen import RunPage, texts

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
