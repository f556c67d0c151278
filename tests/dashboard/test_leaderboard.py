"""What else was tried."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from automl_transfer.dashboard.leaderboard_rows import COLUMNS, as_csv, filtered, ranking
from automl_transfer.dashboard.snapshot import Snapshot, read
from tests.dashboard.made_studies import NAMES, Made, MakeStudy, outcome, some_outcomes
from tests.dashboard.seen import RunPage, linked, sentence, table, texts
from tests.fabricated_study import confirmation, finalist


def snapshot(directory: Path) -> Snapshot:
    found = read(directory)
    assert isinstance(found, Snapshot), found
    return found


def test_finished_running_pruned_failed(make_study: MakeStudy) -> None:
    running = outcome(6, "running", None, reported=3)
    study = make_study("s", some_outcomes(), "running", running=[running])
    frame = ranking(snapshot(study.directory))
    assert tuple(frame.columns) == COLUMNS
    assert list(frame["trial"]) == [2, 1, 5, 0, 6, 3, 4]
    assert list(frame["rank"].dropna()) == [1, 2, 3, 4]
    six = frame.set_index("trial").loc[6]
    assert six["value"] == pytest.approx(running.curve[-1].value)
    assert six["seconds"] == running.curve[-1].seconds
    assert frame.set_index("trial").loc[2, "trainable"] == pytest.approx(0.01)
    assert pd.isna(frame.set_index("trial").loc[4, "value"])
    assert frame["tier"].isna().all()  # nothing is confirmed yet


def test_ties_go_to_the_earlier_trial_without_an_answer(make_study: MakeStudy) -> None:
    study = make_study("s", [outcome(1, value=0.9), outcome(0, value=0.9), outcome(2, value=0.95)])
    assert list(ranking(snapshot(study.directory))["trial"]) == [2, 0, 1]


def test_intervals_come_from_the_answer(make_study: MakeStudy) -> None:
    study = make_study("s", some_outcomes(), recommended=True)
    frame = ranking(snapshot(study.directory)).set_index("trial")
    assert frame.loc[2, "interval"] == "91.0 to 95.0 %"
    assert frame.loc[4, "interval"] == ""


def test_tiers_in_place_of_places(make_study: MakeStudy) -> None:
    trials = [*some_outcomes(), outcome(6, value=0.925, strategy="lora")]
    study = make_study("s", trials, recommended=True)
    study.change(
        confirmation=confirmation(
            finalist(trials[2], 0.93, None, None), finalist(trials[1], 0.88, (0.01, 0.09), None)
        )
    )
    frame = ranking(snapshot(study.directory)).set_index("trial")
    # 6 was not confirmed, but lies inside the winner's interval, 91 to 95 %.
    assert dict(frame["tier"].dropna()) == {2: 1, 6: 2, 1: 3, 5: 3, 0: 3}
    assert list(frame.index)[:3] == [2, 6, 1]


def test_a_trial_that_ends_while_it_is_read_is_shown_once(make_study: MakeStudy) -> None:
    study = make_study("s", [outcome(0)], running=[outcome(0, "running", None)])
    assert list(ranking(snapshot(study.directory))["state"]) == ["finished"]


def test_filters_combine_and_an_empty_one_lets_all_through(make_study: MakeStudy) -> None:
    frame = ranking(snapshot(make_study("s", some_outcomes()).directory))
    chosen = filtered(frame, {"backbone": [NAMES[1]], "state": ["finished"], "head": []})
    assert list(chosen["trial"]) == [1]
    assert filtered(frame, {"backbone": []}) is frame


def test_no_cell_of_the_csv_is_a_formula() -> None:
    frame = pd.DataFrame({"backbone": ["=1+1", "+x", "-x", "@x", 'a,"b"'], "value": [-1.0] * 5})
    rows = list(csv.reader(io.StringIO(as_csv(frame))))
    assert rows[0] == ["backbone", "value"]
    assert [row[0] for row in rows[1:]] == ["'=1+1", "'+x", "'-x", "'@x", 'a,"b"']
    assert {row[1] for row in rows[1:]} == {"-1.0"}


def test_the_table_and_its_curves(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run("leaderboard", study="done")
    assert "the best were not compared on fresh folds" in sentence(app)
    frame = table(app, "curve").set_index("trial")
    assert list(frame.index) == [2, 1, 5, 0, 3, 4]
    assert len(frame.loc[2, "curve"]) == 5 and len(frame.loc[0, "curve"]) == 0
    bars = [unquote(bar) if isinstance(bar, str) else None for bar in table(app, "bar")["bar"]]
    assert "<circle" in bars[0] and "M" in bars[0]  # the first tier, with an interval
    assert "<path" in bars[1]
    assert bars[-1] is None  # failed at once


def test_filters_are_in_the_address(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run("leaderboard", study="done")
    app.multiselect(key="choices-backbone").set_value([NAMES[1]]).run()
    assert list(table(app, "strategy")["trial"]) == [1, 4]
    assert app.query_params["backbone"] in (NAMES[1], [NAMES[1]])
    app.multiselect(key="choices-state").set_value(["pruned"]).run()
    assert "No trial fits these filters" in texts(app)
    app.button[-1].click().run()
    assert len(table(app, "strategy")) == 6
    again = run("leaderboard", study="done", backbone=NAMES[1], sort="trial", state="no such")
    assert list(table(again, "strategy")["trial"]) == [4, 1]


def test_pages_of_fifty(run: RunPage, make_study: MakeStudy) -> None:
    make_study("many", [outcome(n, value=0.5 + n / 1000) for n in range(120)])
    app = run("leaderboard", study="many")
    assert list(table(app, "strategy")["trial"])[:2] == [119, 118]
    assert "1 to 50 of 120" in texts(app)
    app.button(key="page-Next").click().run()
    assert next(iter(table(app, "strategy")["trial"])) == 69
    assert "101 to 120 of 120" in texts(run("leaderboard", study="many", page="99"))


def test_ticks_are_of_trials_not_of_places(run: RunPage, make_study: MakeStudy) -> None:
    study: Made = make_study("going", some_outcomes(), "running")
    app = run("leaderboard", study="going", ids="1,5,77")
    label = ":material/compare_arrows: Compare trials 1, 5"
    assert linked(app)[label] == "study=going&ids=1%2C5"
    study.store.append(outcome(7, value=0.99, strategy="lora"))
    app.run()
    assert not app.exception
    assert list(table(app, "strategy")["trial"])[:3] == [7, 2, 1]
    assert linked(app)[label] == "study=going&ids=1%2C5"
    one = run("leaderboard", study="going", ids="5")
    assert linked(one)[":material/open_in_new: Open trial 5"] == "study=going&trial=5"
    many = run("leaderboard", study="going", ids="0,1,2,3,4")
    assert "5 are ticked; at most 4 can be compared" in texts(many)
