"""The pages, through Streamlit's own test driver. What only a browser sees is in test_browser."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from automl_transfer.recommendation import Baseline
from tests.dashboard.made_studies import (
    BOLD,
    LINK,
    NAMES,
    SCRIPT,
    Made,
    MakeStudy,
    outcome,
    some_outcomes,
)
from tests.fabricated_study import confirmation, finalist


@pytest.fixture
def run(studies: Path, repository: Path):
    def _run(**asked: str) -> AppTest:
        app = AppTest.from_file(str(repository / "app.py"), default_timeout=60)
        for name, value in asked.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception
        return app

    return _run


def texts(app: AppTest) -> str:
    kinds = (app.markdown, app.text, app.code, app.warning, app.error, app.info, app.caption)
    return "\n".join(
        [element.value for kind in kinds for element in kind]
        + [element.value for element in (*app.header, *app.subheader)]
    )


def table(app: AppTest, column: str):
    return next(one.value for one in app.dataframe if column in one.value.columns)


def test_no_studies_shows_the_commands_that_make_one(run, studies: Path) -> None:
    app = run()
    assert "There are no studies yet" in texts(app)
    assert "automl-transfer search --data ./images" in texts(app)
    assert not studies.exists()


def test_the_list_shows_every_study_the_unreadable_ones_too(run, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    make_study("going", some_outcomes(), "running")
    broken = make_study("broken")
    (broken.directory / "study.toml").write_text("schema = 99\n")
    app = run()
    frame = table(app, "study").set_index("study")
    assert frame.loc["done", "best"] == "93.0 %"
    assert frame.loc["going", "state"] == "running"
    assert frame.loc["broken", "state"] == "unreadable"
    assert "Upgrade automl-transfer" in frame.loc["broken", "winner"]
    assert "3 studies, 1 running" in texts(app)


def test_choosing_a_study_opens_it(run, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run()
    app.selectbox[0].set_value("done").run()
    assert not app.exception
    assert app.query_params["study"] in ("done", ["done"])
    assert "that the search never saw" in texts(app)


def test_finished_study(run, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True, openings=3)
    app = run(study="done")
    shown = texts(app)
    assert "**93.1 % accuracy** (90.7 to 95.1 %) on 400 test samples" in shown
    assert "provisional" not in shown
    assert "scored 3 times" in shown
    frame = table(app, "strategy")
    assert list(frame["trial"]) == [2, 1, 5, 0, 3, 4]
    assert list(table(app, "description")["what"]) == ["the recommended model", "kNN", "majority"]
    assert list(table(app, "ranker")["backbone"]) == list(reversed(NAMES))


def test_a_baseline_that_beats_the_winner_is_said_at_the_top(run, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    assert not run(study="done").warning
    study.recommend(some_outcomes(), score=0.85)
    said = run(study="done").warning[0].value
    assert "A baseline is no worse: `kNN` has 86.0 %" in said


def test_a_confirmed_answer_shows_its_finalists(run, make_study: MakeStudy) -> None:
    trials = some_outcomes()
    study = make_study("done", trials, recommended=True)
    study.change(
        confirmation=confirmation(
            finalist(trials[2], 0.93, None, 0.0284), finalist(trials[1], 0.88, (0.01, 0.09), None)
        )
    )
    app = run(study="done")
    assert "The winner beats trial 1, by 1.0 to 9.0 points" in texts(app)
    frame = table(app, "confirmed")
    assert list(frame["tier"]) == [1, 2]
    assert list(frame["confirmed"]) == [93.0, 88.0]
    assert list(frame["behind the best"]) == ["–", "1.0 to 9.0 points"]
    assert list(frame["latency"]) == ["28 ms", ""]
    assert list(frame[""]) == ["winner", ""]


def test_cross_validation_and_a_baseline_that_was_not_run(run, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    answer = study.answer()
    skipped = Baseline(name="winner from scratch", description="no time was left", value=None)
    study.change(
        test=replace(answer.test, source="cross-validation"),
        baselines=(skipped, *answer.baselines),
        winner=replace(answer.winner, seconds=0.0),
    )
    app = run(study="done")
    assert "(90.7 to 95.1 %) by cross-validation over 400 samples." in texts(app)
    assert "never saw" not in texts(app)
    assert not app.warning
    labels = {one.label: one.value for one in app.metric}
    assert labels["best baseline, cross-validation"] == "86.0 %"
    assert labels["training of the winner"] == "< 0.1s"
    assert list(table(app, "description")["what"])[-1] == "winner from scratch"


def test_running_study_is_provisional(run, make_study: MakeStudy) -> None:
    running = outcome(6, "running", None, strategy="lora", reported=3)
    make_study("going", some_outcomes(), "running", running=[running])
    shown = texts(run(study="going"))
    assert "So far the best is `hf/facebook/dinov2-small`" in shown
    assert "provisional" in shown and "running" in shown
    assert "Running: trial 6, bundled/efficientnet_lite0 + linear, lora (epoch 3 of 5" in shown
    assert "about 2m 30s left" in shown


@pytest.mark.parametrize(
    ("state", "age", "said"),
    [
        ("interrupted", 1, "The search was interrupted and nothing is lost"),
        ("running", 900, "The search has not written for a while"),
        ("failed", 1, "The search ended without an answer"),
    ],
)
def test_a_stopped_search_shows_how_to_resume_it(
    run, make_study: MakeStudy, state: str, age: float, said: str
) -> None:
    make_study("stopped", some_outcomes()[:1], state, age=age)
    app = run(study="stopped")
    assert said in texts(app)
    commands = [code.value for code in app.code]
    assert any(text.startswith("automl-transfer search --data /somewhere") for text in commands)


def test_study_without_trials(run, make_study: MakeStudy) -> None:
    make_study("begun", [], "running", described=False)
    shown = texts(run(study="begun"))
    assert "There is no answer yet: no trial has begun." in shown
    assert "The data have not been read yet." in shown


def test_all_failed_groups_the_reasons(run, make_study: MakeStudy) -> None:
    failed = [
        outcome(i, "failed", None, reason="DivergedError: nan" if i else "OSError: disk")
        for i in range(4)
    ]
    make_study("bad", failed, "failed")
    app = run(study="bad")
    assert "There is no answer: none of 4 trials finished." in texts(app)
    groups = table(app, "numbers")
    assert list(groups["trials"]) == [3, 1]
    assert groups.iloc[0]["reason"] == "DivergedError: nan"


def test_a_number_to_predict_keeps_its_name(run, make_study: MakeStudy) -> None:
    made = make_study("ages", some_outcomes())
    data = made.store.get("data")
    made.store.put("data", {**data, "kind": "regression", "classes": ["Age"]})
    assert "The number 'Age', read as class folders" in texts(run(study="ages"))


def test_trial_in_the_address_is_shown(run, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run(study="done", trial="2")
    shown = texts(app)
    assert "Trial 2: `hf/facebook/dinov2-small` + `mlp`, `full`" in shown
    assert "118 frozen tensors (parameters and buffers)" in shown
    assert "40,000 of 4,000,000 parameters" in shown
    facts = [one.value for one in app.dataframe if list(one.value.columns) == ["name", "value"]]
    assert {"name": "strategy/full/lr", "value": "0.001"} in facts[0].to_dict("records")
    assert len(app.get("vega_lite_chart")) == 4  # the trial's two, all curves, the classes


def test_a_failed_trial_shows_its_whole_reason(run, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run(study="done", trial="4")
    assert any("at step 3" in code.value for code in app.code)


def test_closing_a_trial_takes_it_out_of_the_address(run, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run(study="done", trial="2")
    app.button(key="close-trial").click().run()
    assert not app.exception
    assert "trial" not in app.query_params
    assert "Trial 2:" not in texts(app)


def test_a_selected_row_is_found_by_its_trial_not_by_its_place(run, make_study: MakeStudy) -> None:
    study: Made = make_study("going", some_outcomes(), "running")
    app = run(study="going", trial="1")
    study.store.append(outcome(7, value=0.99, strategy="lora"))
    app.run()
    assert not app.exception
    assert list(table(app, "strategy")["trial"])[:3] == [7, 2, 1]
    assert "Trial 1: `timm/resnet18.a1_in1k`" in texts(app)


def test_filters(run, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run(study="done")
    app.multiselect(key="filter-backbone").set_value([NAMES[1]]).run()
    assert list(table(app, "strategy")["trial"]) == [1, 4]
    app.multiselect(key="filter-state").set_value(["pruned"]).run()
    assert "No trial fits these filters" in texts(app)


@pytest.mark.parametrize("study", ["no-such", "../studies/done", "/etc", "<b>x</b>", "", "%00"])
def test_unknown_study_in_the_address(run, make_study: MakeStudy, study: str) -> None:
    make_study("done", some_outcomes())
    app = run(study=study)
    assert "There is no study" in app.warning[0].value
    assert list(table(app, "study")["study"]) == ["done"]


@pytest.mark.parametrize("trial", ["99", "-1", "x", "../0", "02"])
def test_unknown_trial_in_the_address(run, make_study: MakeStudy, trial: str) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run(study="done", trial=trial)
    assert f"This study has no trial `{trial}`" in texts(app)


def test_unreadable_study_is_a_message(run, make_study: MakeStudy) -> None:
    study = make_study("newer")
    path = study.directory / "study.toml"
    path.write_text(path.read_text().replace("schema = 1", "schema = 99"))
    app = run(study="newer")
    assert app.error[0].value == "This study cannot be read."
    assert "Upgrade automl-transfer to open it" in app.code[0].value


def test_names_never_leave_their_code_spans(run, make_study: MakeStudy) -> None:
    names = [
        outcome(0, backbone=SCRIPT, head=BOLD, strategy=LINK),
        outcome(1, "failed", None, reason=SCRIPT),
    ]
    make_study("hostile", names, recommended=True, classes=(SCRIPT, LINK, BOLD))
    app = run(study="hostile", trial="0")
    read_as_markdown = [
        element.value
        for kind in (app.markdown, app.caption, app.warning, app.info, app.error, app.header)
        for element in kind
    ]
    for hostile in (SCRIPT, LINK):
        found = [text for text in read_as_markdown if hostile in text]
        assert found
        assert all(f"`{hostile}`" in text for text in found)
    assert all(f"`` {BOLD} ``" in text for text in read_as_markdown if "smile" in text)


def test_a_study_that_changes_is_read_again(run, make_study: MakeStudy) -> None:
    study = make_study("going", [], "running")
    app = run(study="going")
    assert "no trial has begun" in texts(app)
    study.store.append(outcome(0))
    app.run()
    assert "So far the best is" in texts(app)
    study.status("interrupted")
    app.run()
    assert "The search was interrupted" in texts(app)


def test_the_page_loads_no_heavy_library(make_study: MakeStudy, repository: Path) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    script = (
        "import sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        "from automl_transfer.dashboard import page\n"
        "app = AppTest.from_file(page.__file__, default_timeout=60)\n"
        "app.query_params['study'] = 'done'\n"
        "app.query_params['trial'] = '2'\n"
        "app.run()\n"
        "assert not app.exception, app.exception\n"
        "assert app.dataframe\n"
        "heavy = {'torch', 'torchvision', 'timm', 'transformers', 'optuna', 'sklearn', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--studies", str(study.directory.parent)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
