"""Commands that read studies."""

from __future__ import annotations

import json
import re
import time

import pytest

from automl_transfer.study import Study
from automl_transfer.trained import Prediction
from tests.fabricated_study import outcome, recommendation, write_study

UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]")


def test_show_gives_the_answer_beside_the_baselines(run, studies):
    ran = run("show", "finished")
    assert ran.code == 0
    assert "Use acme/big with the head linear and the freeze strategy full: 91.0 %" in ran.out
    rows = {line.split("  ")[0]: line for line in ran.out.splitlines()}
    assert (
        "91.0 %  85.0 to 95.0 %  the search never saw it"
        in (rows["the winner on the test part (30 samples)"])
    )
    assert "80.0 %" in rows["kNN on frozen features, on the test part"]
    assert "they are optimistic" in ran.out
    assert "PROVISIONAL" not in ran.out
    assert ran.out.rstrip().endswith(Study(studies / "finished").command)


def test_show_why_and_trials(run, studies):
    plain, more = run("show", "finished"), run("show", "finished", "--why", "--trials")
    for text in ("timm/huge", "more than --max-params", "knn", "error: the disk is full"):
        assert text not in plain.out
        assert text in more.out


def test_show_says_that_an_unfinished_study_is_provisional(run, studies):
    ran = run("show", str(studies / "stopped"))
    assert "PROVISIONAL: the study is interrupted" in ran.out
    assert "2 finished, 0 pruned, 1 failed" in ran.out
    best = next(line for line in ran.out.splitlines() if line.startswith("   1 "))
    assert "acme/big" in best
    assert "92.0 %" in best
    assert "automl-transfer search --data /data/pets --study stopped" in ran.out


def test_an_answer_that_misses_newer_trials_is_provisional(run, tmp_path):
    rows = [outcome(0, 0.8), outcome(1, 0.9)]
    write_study(tmp_path / "studies", "grown", rows, answer=recommendation(rows[:1]))
    assert "PROVISIONAL" in run("show", "grown").out
    assert run("show", "grown", "--json").json["provisional"] is True


def test_a_silent_search_is_not_simply_called_running(run, tmp_path):
    write_study(tmp_path / "studies", "s", [], state="running", heard=time.time() - 3600)
    assert "running? (silent for 1h)" in run("show", "s").out
    assert "No trial has finished yet." in run("show", "s").out


def test_show_one_trial_with_its_curve(run, studies):
    ran = run("show", "finished", "--trial", "1")
    assert "Trial 1: acme/big + linear, full" in ran.out
    assert "Learning curve: ▁▅█" in ran.out or "Learning curve: ▁▄█" in ran.out
    assert "12.8k of 3.4M" in ran.out
    failed = run("show", "finished", "--trial", "2")
    assert "error: the disk is full" in failed.out
    assert "It has no learning curve." in failed.out
    running = run("show", "stopped", "--trial", "4", "--json")
    assert running.json["state"] == "running"


def test_a_trial_that_is_not_there(run, studies):
    ran = run("show", "finished", "--trial", "9")
    assert ran.code == 1
    assert "--trial must be the number of a trial of study 'finished' (0 to 3), but got 9" in (
        ran.err
    )


def test_show_json(run, studies):
    value = run("show", "finished", "--json").json
    assert value["recommendation"]["test"]["value"] == 0.91
    assert value["provisional"] is False
    assert value["best"] == [1, 3, 0]
    assert value["trials"] == {"finished": 3, "failed": 1}
    assert value["why_not"] == [{"what": "timm/huge", "reason": "more than --max-params"}]
    assert "outcomes" not in value
    value = run("show", "stopped", "--json", "--trials").json
    assert value["recommendation"] is None
    assert [row["number"] for row in value["outcomes"]] == [0, 1, 2, 4]


def test_studies_lists_them_all(run, studies):
    ran = run("studies")
    assert ran.code == 0
    assert re.search(r"finished +finished +/data/pets +3 +4 +accuracy +92\.0 % +91\.0 %", ran.out)
    assert re.search(r"stopped +interrupted +/data/pets +3 +3 +accuracy +92\.0 % +–", ran.out)
    rows = {row["name"]: row for row in run("studies", str(studies), "--json").json}
    assert rows["finished"]["winner"] == "acme/big + linear, full"
    assert rows["stopped"]["winner"] is None


def test_no_studies(run):
    ran = run("studies", "elsewhere")
    assert (ran.code, ran.out) == (0, "")
    assert "There are no studies in 'elsewhere'" in ran.err
    assert run("studies", "elsewhere", "--json").json == []


def test_a_damaged_study_does_not_hide_the_others(run, studies):
    (studies / "stopped" / "study.toml").write_text("schema = 1\nname =")
    (studies / "hostile" / "recommendation.json").write_text('{"study": "hostile"}')
    ran = run("studies", "--json")
    states = {row["name"]: row["state"] for row in ran.json}
    assert states == {"finished": "finished", "stopped": "unreadable", "hostile": "unreadable"}
    ran = run("show", "hostile")
    assert ran.code == 1
    assert ran.err.startswith("error: ")
    assert "recommendation.json' is damaged, or of another version" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ["studies"],
        ["show", "hostile", "--why", "--trials"],
        ["show", "hostile", "--trial", "0"],
        ["show", "hostile", "--trial", "1"],
    ],
)
def test_hostile_names_are_inert_on_the_terminal(run, studies, words):
    ran = run(*words)
    assert ran.code == 0
    assert not UNSAFE.search(ran.out + ran.err)
    assert "ev[/b]il|`x` ## <script>" in ran.out  # shown, on one line, and not interpreted


def test_hostile_names_survive_json(run, studies):
    ran = run("show", "hostile", "--json")
    assert ran.out.isascii()
    assert not UNSAFE.search(ran.out)
    assert ran.json["data"]["classes"][0].startswith("\x1b[2Jev[/b]il")


def predictions() -> list[Prediction]:
    return [
        Prediction(
            source="a.png",
            label="cat",
            probability=0.75,
            probabilities={"cat": 0.75, "dog": 0.2, "owl": 0.05},
        ),
        Prediction(source="b\x1b[2J.png", label=None, probability=None, error="it is no image"),
    ]


@pytest.fixture
def predicted(monkeypatch):
    """Replaces the model; returns the list of what it is asked and the list it answers with."""
    asked: list = []
    answers = predictions()

    def predict(study, paths, **options):
        asked.append((study, tuple(paths), options))
        return answers

    monkeypatch.setattr("automl_transfer.study.predict", predict)
    return asked, answers


def test_predict_shows_a_broken_file_as_a_row(run, predicted):
    ran = run("predict", "finished", "a.png", "b.png", "--top", "2", "--device", "cpu")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[0].split() == [
        "file",
        "class",
        "probability",
        "class",
        "2",
        "probability",
        "error",
    ]
    assert lines[2].split() == ["a.png", "cat", "0.750", "dog", "0.200"]
    assert lines[3].split()[-4:] == ["it", "is", "no", "image"]
    assert not UNSAFE.search(ran.out)
    options = {"studies": "studies", "device": "cpu", "storage": None}
    assert predicted[0] == [("finished", ("a.png", "b.png"), options)]


def test_predict_json(run, predicted):
    rows = run("predict", "finished", "a.png", "--json").json
    assert rows[0]["probabilities"] == {"cat": 0.75, "dog": 0.2, "owl": 0.05}
    assert rows[1]["error"] == "it is no image"
    rows = run("predict", "finished", "a.png", "--json", "--top", "1").json
    assert rows[0]["probabilities"] == {"cat": 0.75}


def test_predict_fails_when_nothing_could_be_read(run, predicted):
    del predicted[1][0]
    ran = run("predict", "finished", "b.png", "--json")
    assert ran.code == 4
    assert json.loads(ran.out)[0]["label"] is None


def test_predict_needs_a_file(run, predicted):
    predicted[1].clear()
    ran = run("predict", "finished", "empty")
    assert (ran.code, ran.out) == (4, "")
    assert "At least one file to predict is needed, but 'empty' hold none." in ran.err


def test_predict_before_there_is_a_model(run, studies):
    ran = run("predict", "stopped", "a.png")
    assert ran.code == 1
    assert "Study 'stopped' has no trained model yet. Resume it with:" in ran.err


def test_plugins_list(run):
    ran = run("plugins", "list", "--json")
    assert {"kind": "head", "id": "linear"}.items() <= next(
        row for row in ran.json["members"] if row["id"] == "linear"
    ).items()
    assert re.search(r"strategy +lora +automl-transfer", run("plugins", "list").out)


def test_sample_data_are_listed_with_licence_and_written(run, tmp_path):
    ran = run("data", "sample")
    assert re.search(r"solar-cells .* CC-BY-NC-SA-4\.0 +defect, levels", ran.out)
    assert {row["name"]: row["installed"] for row in run("data", "sample", "--json").json}[
        "digits"
    ] is True
    ran = run("data", "sample", "digits", "pictures", "--per-class", "2")
    assert ran.code == 0
    assert "20 files in pictures" in ran.out
    assert "Licence: CC-BY-4.0" in ran.out
    assert len(list((tmp_path / "pictures").glob("*/*.png"))) == 20
    ran = run("data", "sample", "digits", "pictures")
    assert ran.code == 2
    assert "never written over" in ran.err
