"""``show --json`` keeps to the schema that ``show --schema`` prints."""

from __future__ import annotations

import json
from dataclasses import replace

import jsonschema
import pytest

from automl_transfer.cli import main
from automl_transfer.errors import StudyError
from automl_transfer.jsonable import to_json
from automl_transfer.recommendation import SCHEMA
from automl_transfer.report.shown import schema_text
from automl_transfer.study import Study
from tests.fabricated_study import confirmed, outcome, recommendation, write_study
from tests.report.show_schema import make

ROWS = [outcome(0, 0.80), outcome(1, 0.92), outcome(2), outcome(3, 0.90)]


@pytest.fixture
def show(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def go(*words: str):
        assert main(["show", *words]) == 0
        return json.loads(capsys.readouterr().out)

    return go


def closed(schema):
    """The same, but what it does not name is an error."""
    if isinstance(schema, dict):
        made = {key: closed(value) for key, value in schema.items()}
        if "properties" in made:
            made.setdefault("additionalProperties", False)
        return made
    return [closed(item) for item in schema] if isinstance(schema, list) else schema


def test_the_stored_schema_is_that_of_the_nouns():
    stored = json.loads(schema_text())
    assert stored == make(), "Write it anew: python -m tests.report.show_schema"
    jsonschema.Draft202012Validator.check_schema(stored)


def test_what_is_shown_keeps_to_the_schema(show, tmp_path):
    schema = show("--schema")
    check = jsonschema.Draft202012Validator(closed(schema)).validate
    studies = tmp_path / "studies"
    write_study(studies, "full", ROWS, state="finished", answer=confirmed(ROWS))
    write_study(studies, "plain", ROWS, state="finished", answer=recommendation(ROWS))
    running = (outcome(4, 0.7, state="running"),)
    write_study(studies, "stopped", ROWS[:3], running=running)
    for words in (("full",), ("full", "--trials"), ("plain",), ("stopped", "--trials")):
        value = show(*words, "--json")
        assert value["schema"] == 2
        check(value)
        assert ("outcomes" in value) is ("--trials" in words)
    full = show("full", "--json")["recommendation"]
    assert full["confirmation"]["finalists"][2]["behind"] == {"low": 0.031, "high": 0.109}
    assert full["test"]["errors"][0]["source"] == "cat/1.png"
    with pytest.raises(jsonschema.ValidationError):
        check(show("full", "--json") | {"best": "none"})
    answer = {"$ref": "#/$defs/Recommendation", "$defs": schema["$defs"]}
    jsonschema.Draft202012Validator(answer).validate(to_json(confirmed(ROWS)))  # search --json


def old(answer) -> dict:
    """An answer as schema 1 had it."""
    value = to_json(answer) | {"schema": 1}
    del value["confirmation"]
    for name in ("source", "method", "reliability", "errors"):
        del value["test"][name]
    for row in value["baselines"]:
        del row["gain"]
    return value


def test_an_answer_of_schema_1_is_still_read(show, tmp_path):
    files = write_study(tmp_path / "studies", "old", ROWS, state="finished")
    files.write_json("recommendation.json", old(recommendation(ROWS)))
    study = Study(files.path)
    answer = study.recommendation
    study.close()
    assert answer == replace(recommendation(ROWS), schema=1)
    value = show("old", "--json")
    jsonschema.Draft202012Validator(json.loads(schema_text())).validate(value)
    assert value["recommendation"]["schema"] == 1


def test_costs_from_before_it_was_said_how_they_were_measured_are_medians(show, tmp_path):
    files = write_study(tmp_path / "studies", "old", ROWS, state="finished")
    value = to_json(confirmed(ROWS))
    for row in value["confirmation"]["finalists"]:
        del row["cost"]["statistic"]
    files.write_json("recommendation.json", value)
    study = Study(files.path)
    assert study.recommendation == confirmed(ROWS)
    study.close()


def test_an_answer_of_a_newer_schema_says_so(tmp_path):
    files = write_study(tmp_path / "studies", "new", ROWS, state="finished")
    files.write_json("recommendation.json", old(recommendation(ROWS)) | {"schema": SCHEMA + 1})
    with pytest.raises(StudyError, match=f"reads answers up to schema {SCHEMA}, but .* has 3. Up"):
        files.read_recommendation()


def test_show_without_a_study_still_asks_for_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["show"]) == 2
    assert "STUDY" in capsys.readouterr().err
