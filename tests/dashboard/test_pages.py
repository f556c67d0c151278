"""What is around every page, through Streamlit's own test driver. What only a browser sees is in
test_browser."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from automl_transfer.dashboard.places import PAGES
from tests.dashboard.made_studies import BOLD, LINK, SCRIPT, MakeStudy, outcome, some_outcomes
from tests.dashboard.seen import RunPage, linked, sentence, table, texts


def test_no_studies_shows_the_commands_that_make_one(run: RunPage, studies: Path) -> None:
    app = run()
    assert "There are no studies yet" in texts(app)
    assert "automl-transfer search --data ./images" in texts(app)
    assert not studies.exists()


def test_the_list_shows_every_study_the_unreadable_ones_too(
    run: RunPage, make_study: MakeStudy
) -> None:
    make_study("done", some_outcomes(), recommended=True)
    make_study("going", some_outcomes(), "running")
    broken = make_study("broken")
    (broken.directory / "study.toml").write_text("schema = 99\n")
    for app in (run(), run("studies")):
        frame = table(app, "study").set_index("study")
        assert frame.loc["done", "best"] == "93.0 %"
        assert frame.loc["going", "state"] == "running"
        assert frame.loc["broken", "state"] == "unreadable"
        assert "Upgrade automl-transfer" in frame.loc["broken", "winner"]
        assert "3 studies, 1 running" in texts(app)


def test_studies_of_the_same_data_share_a_letter(run: RunPage, make_study: MakeStudy) -> None:
    for name, fingerprint in (("one", "x"), ("two", "x"), ("three", "y"), ("four", None)):
        study = make_study(name, some_outcomes(), recommended=name == "one")
        if fingerprint is not None:
            study.store.put("data", study.store.get("data") | {"fingerprint": fingerprint})
    frame = table(run("studies"), "same data").set_index("study")
    assert dict(frame["same data"]) == {"one": "A", "two": "A", "three": "", "four": ""}
    assert frame.loc["one", "score"] == "93.1 %" and frame.loc["two", "score"] == ""
    assert frame.loc["one", "interval"] == "90.7 to 95.1 %"


def test_the_only_study_needs_no_name(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    assert "that the search never saw" in sentence(run())
    make_study("other")
    assert "2 studies" in texts(run())


def test_choosing_a_study_opens_it(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    make_study("other", some_outcomes())
    app = run()
    app.selectbox[0].set_value("done").run()
    assert not app.exception
    assert app.query_params["study"] in ("done", ["done"])
    assert "that the search never saw" in sentence(app)
    app.selectbox[0].set_value("other").run()
    assert "So far the best is" in sentence(app)
    app.selectbox[0].set_value("All studies").run()
    assert "2 studies" in texts(app)


@pytest.mark.parametrize("place", [place for place in PAGES if place != "studies"])
@pytest.mark.parametrize("state", ["empty", "running", "interrupted", "failed", "finished"])
def test_each_page_stands_in_each_state(
    run: RunPage, make_study: MakeStudy, place: str, state: str
) -> None:
    trials = {
        "empty": [],
        "failed": [outcome(n, "failed", None, reason="OSError: no space") for n in range(3)],
    }.get(state, some_outcomes())
    make_study(
        "one",
        trials,
        "running" if state == "empty" else state,
        described=state != "empty",
        recommended=state == "finished",
        running=[outcome(9, "running", None, reported=2)] if state == "running" else [],
    )
    app = run(place, study="one")
    assert sentence(app)
    assert "In the making" not in texts(app)
    others = {name for name, query in linked(app).items() if query == "study=one"}
    assert {page.title for key, page in PAGES.items() if key not in ("trial", "studies")} <= others


@pytest.mark.parametrize(
    ("state", "age", "said"),
    [
        ("interrupted", 1, "The search was interrupted and nothing is lost"),
        ("running", 900, "The search has not written for a while"),
        ("failed", 1, "The search ended without an answer"),
    ],
)
def test_a_stopped_search_shows_how_to_resume_it(
    run: RunPage, make_study: MakeStudy, state: str, age: float, said: str
) -> None:
    make_study("stopped", some_outcomes()[:1], state, age=age)
    app = run("leaderboard", study="stopped")
    assert said in texts(app)
    commands = [code.value for code in app.code]
    assert any(text.startswith("automl-transfer search --data /somewhere") for text in commands)


@pytest.mark.parametrize("study", ["no-such", "../studies/done", "/etc", "<b>x</b>", "", "%00"])
@pytest.mark.parametrize("place", ["verdict", "errors"])
def test_unknown_study_in_the_address(
    run: RunPage, make_study: MakeStudy, place: str, study: str
) -> None:
    make_study("done", some_outcomes())
    app = run(place, study=study)
    assert "There is no study" in app.warning[0].value
    assert list(table(app, "study")["study"]) == ["done"]


def test_unreadable_study_is_a_message(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("newer")
    path = study.directory / "study.toml"
    path.write_text(path.read_text().replace("schema = 1", "schema = 99"))
    app = run(study="newer")
    assert app.error[0].value == "This study cannot be read."
    assert "Upgrade automl-transfer to open it" in app.code[0].value


@pytest.mark.parametrize("place", [place for place in PAGES if place != "studies"])
def test_names_never_leave_their_code_spans(
    run: RunPage, make_study: MakeStudy, place: str
) -> None:
    names = [
        outcome(0, backbone=SCRIPT, head=BOLD, strategy=LINK),
        outcome(1, "failed", None, reason=SCRIPT),
        outcome(2, value=0.8, backbone=LINK, head=SCRIPT),
    ]
    make_study("hostile", names, recommended=True, classes=(SCRIPT, LINK, BOLD))
    app = run(place, study="hostile", trial="0", ids="0,2")
    read_as_markdown = [
        element.value
        for kind in (app.markdown, app.caption, app.warning, app.info, app.error, app.header)
        for element in kind
    ]
    read_as_markdown += list(linked(app))
    for hostile in (SCRIPT, LINK):
        found = [text for text in read_as_markdown if hostile in text]
        assert found or place not in ("verdict", "trial")
        assert all(f"`{hostile}`" in text for text in found)
    assert all(f"`` {BOLD} ``" in text for text in read_as_markdown if "smile" in text)


def test_what_came_in_is_offered_and_nothing_jumps(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("going", some_outcomes(), "running")
    app = run("leaderboard", study="going")
    assert not [button for button in app.button if button.key == "refresh"]
    assert len(table(app, "strategy")) == 6
    study.store.append(outcome(7, value=0.99, strategy="lora"))
    app.run()
    assert next(iter(table(app, "strategy")["trial"])) == 7


def test_a_study_that_changes_is_read_again(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("going", [], "running")
    app = run(study="going")
    assert "no trial has begun" in texts(app)
    study.store.append(outcome(0))
    app.run()
    assert "So far the best is" in texts(app)
    study.status("interrupted")
    app.run()
    assert "The search was interrupted" in texts(app)


def test_a_study_made_anew_under_an_old_name_has_its_own_trials(
    run: RunPage, make_study: MakeStudy
) -> None:
    study = make_study("again", [outcome(0, value=0.5)])
    assert "50.0 %" in sentence(run(study="again"))
    study.store.close()
    (study.directory / "study.db").unlink()
    for name in ("study.db-wal", "study.db-shm"):
        (study.directory / name).unlink(missing_ok=True)
    make_study("again", [outcome(0, value=0.75)])
    assert "75.0 %" in sentence(run(study="again"))


PAGE = """
import sys
from streamlit.testing.v1 import AppTest
from automl_transfer.dashboard import page
from automl_transfer.dashboard.places import PAGES, file_of
for place in PAGES:
    app = AppTest.from_file(page.__file__, default_timeout=60)
    if place != 'verdict':
        app.switch_page(str(file_of(place)))
    app.query_params['study'] = 'done'
    app.query_params['trial'] = '2'
    app.query_params['ids'] = '1,2'
    app.run()
    assert not app.exception, app.exception
heavy = {'torch', 'torchvision', 'timm', 'transformers', 'optuna', 'sklearn'}
print(sorted(heavy & set(sys.modules)))
"""


def test_no_page_loads_a_heavy_library(make_study: MakeStudy, repository: Path) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    done = subprocess.run(
        [sys.executable, "-c", PAGE, "--studies", str(study.directory.parent)],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
