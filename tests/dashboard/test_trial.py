"""Everything about one trial."""

from __future__ import annotations

import pytest

from tests.dashboard.made_studies import MakeStudy, outcome, some_outcomes
from tests.dashboard.seen import RunPage, linked, sentence, texts


def test_trial_in_the_address_is_shown(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run("trial", study="done", trial="2")
    said = "Trial 2: `hf/facebook/dinov2-small` with the `mlp` head, strategy `full`: **93.0 %"
    assert said in sentence(app)
    shown = texts(app)
    assert "118 frozen tensors (parameters and buffers)" in shown
    assert "40,000 of 4,000,000 parameters" in shown
    assert "--backbone hf/facebook/dinov2-small" in shown
    facts = [one.value for one in app.dataframe if list(one.value.columns) == ["name", "value"]]
    assert {"name": "strategy/full/lr", "value": "0.001"} in facts[0].to_dict("records")
    assert len(app.get("vega_lite_chart")) == 2


def test_a_loser_can_be_laid_beside_the_winner(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    ways = linked(run("trial", study="done", trial="1"))
    assert ways["Compare with the winner (trial 2)"] == "study=done&ids=2%2C1"
    assert ways["Where it is wrong"] == "study=done&of=1"


def test_a_failed_trial_shows_its_whole_reason(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run("trial", study="done", trial="4")
    assert any("at step 3" in code.value for code in app.code)
    assert "failed" in sentence(app)


def test_a_running_trial_shows_how_far_it_is(run: RunPage, make_study: MakeStudy) -> None:
    running = outcome(6, "running", None, reported=3)
    make_study("going", some_outcomes(), "running", running=[running])
    app = run("trial", study="going", trial="6")
    assert "is running" in sentence(app)
    assert {one.label: one.value for one in app.metric}["epochs"] == "3 of 5"


@pytest.mark.parametrize("trial", ["99", "-1", "x", "../0", "9" * 40])
def test_unknown_trial_in_the_address(run: RunPage, make_study: MakeStudy, trial: str) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run("trial", study="done", trial=trial)
    assert f"This study has no trial `{trial}`" in texts(app)
    assert sentence(app) == "#### Which of the 6 trials?"


def test_a_trial_can_be_asked_for_by_its_number(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run("trial", study="done")
    app.number_input[0].set_value(5).run()
    assert not app.exception
    assert "Trial 5:" in sentence(app)
