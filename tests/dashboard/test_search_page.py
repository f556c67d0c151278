"""How the search went, and whether it is still improving."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
from streamlit.errors import StreamlitAPIException
from streamlit.testing.v1 import AppTest

from automl_transfer.dashboard import budget_chart, heat_map, search_rows
from automl_transfer.dashboard.hints import hint
from automl_transfer.dashboard.importance_chart import BEYOND, CHANCE, importance_rows
from automl_transfer.dashboard.improving import chance_of, improvement, sentence
from automl_transfer.dashboard.progress_rows import moments, progress, thinned
from automl_transfer.dashboard.snapshot import Snapshot, read
from automl_transfer.jsonable import digest
from automl_transfer.outcome import Outcome
from automl_transfer.summary import summary_of
from automl_transfer.testing.large_study import write_large_study
from tests.dashboard.made_studies import (
    LINK,
    NAMES,
    SCRIPT,
    Made,
    MakeStudy,
    outcome,
    some_outcomes,
)
from tests.dashboard.seen import RunPage, linked, table, texts
from tests.dashboard.seen import sentence as opening

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECTIONS = ("tried", "curves", "mattered", "screened", "failed", "budget", "notes")


def snapshot(directory: Path) -> Snapshot:
    found = read(directory)
    assert isinstance(found, Snapshot), found
    return found


def at(number: int, value: float | None, second: float, **changes: Any) -> Outcome:
    """A trial that begins at a second and takes ten."""
    began = (START + timedelta(seconds=second)).isoformat(timespec="seconds")
    state = changes.pop("state", "finished")
    return replace(outcome(number, state, value, **changes), started=began, seconds=10.0)


def risen(values: list[float]) -> list[Outcome]:
    return [at(number, value, 10.0 * number) for number, value in enumerate(values)]


def said(make_study: MakeStudy, values: list[float], samples: int = 100_000) -> str:
    study = make_study(f"s{len(values)}-{values[-1]}-{samples}", risen(values))
    data = {"metric": "accuracy", "counts": {"val": samples}, "classes": ["a", "b"]}
    study.store.put("data", data)
    found = snapshot(study.directory)
    return sentence(found, improvement(progress(found), chance_of(found)))


def charts(app: AppTest) -> list[dict[str, Any]]:
    return [json.loads(one.proto.spec) for one in app.get("vega_lite_chart")]


# What is said first.


def test_a_search_that_stands_still(make_study: MakeStudy) -> None:
    words = said(make_study, [0.5, 0.6, 0.7] + [0.4] * 27)
    assert words == (
        "30 trials in 2m 30s; the best has not improved for the last 27 finished trials "
        "(4m 30s): more time is not expected to help."
    )


def test_a_search_that_improves(make_study: MakeStudy) -> None:
    words = said(make_study, [0.5 + place / 100 for place in range(30)])
    assert "still improving: the last gain was the last finished trial" in words
    words = said(make_study, [0.5 + place / 100 for place in range(28)] + [0.1, 0.1])
    assert "still improving: the last gain was 2 finished trials, 20s before the end" in words


def test_a_search_that_slows_down(make_study: MakeStudy) -> None:
    words = said(make_study, [0.5 + place / 100 for place in range(20)] + [0.1] * 10)
    assert "for the last 10 finished trials (1m 40s): more time may still help a little" in words


def test_a_gain_within_chance_counts_as_none(make_study: MakeStudy) -> None:
    values = [0.8] * 20 + [0.803] * 10
    assert "more time may still help a little" in said(make_study, values)
    words = said(make_study, [*values, 0.8031], samples=100)
    assert "gained 0.3 points, less than chance may give (± 4.0 points)" in words


def test_too_few_to_tell_and_none(make_study: MakeStudy) -> None:
    assert "too few to tell" in said(make_study, [0.5, 0.6])
    for name, trials, state, words in (
        ("none", [], "running", "No trial has ended yet"),
        ("never", [], "finished", "No trial was made"),
        ("all", [outcome(0, "failed", None, reason="x")], "failed", "1 trial, and none finished"),
    ):
        found = snapshot(make_study(name, trials, state).directory)
        assert words in sentence(found, improvement(progress(found), None))


def test_half_a_trial_is_no_result(make_study: MakeStudy) -> None:
    trials = [
        at(0, 0.5, 0),
        at(1, None, 10, state="pruned", reason="behind"),
        at(2, 0.6, 20),
        at(3, None, 30, state="failed", reason="x"),
    ]
    rows = progress(snapshot(make_study("s", trials).directory)).rows
    assert list(rows["trial"]) == [0, 1, 2]
    assert list(rows["gain"]) == [True, False, True]
    assert list(rows["best"]) == [0.5, 0.5, 0.6]


def test_trials_stand_in_the_order_in_which_they_ended() -> None:
    trials = [summary_of(at(0, 0.5, 30)), summary_of(at(1, 0.5, 0))]
    assert moments(trials, 40).tolist() == [40.0, 10.0]  # type: ignore[union-attr]


def test_pauses_between_sessions_are_left_out() -> None:
    trials = [summary_of(at(n, 0.5, second)) for n, second in enumerate([0, 10, 7210, 7220])]
    assert moments(trials, 45).tolist() == [10, 20, 30, 40]  # type: ignore[union-attr]
    assert moments(trials, 8000).tolist() == [10, 20, 7220, 7230]  # type: ignore[union-attr]


def test_unknown_times() -> None:
    trials = [summary_of(outcome(number)) for number in range(3)]
    assert moments(trials, 0) is None
    assert moments([trials[0]._replace(started="yesterday")], 0) is None
    assert moments([], 0) is not None


def test_a_thinned_chart_keeps_every_gain(make_study: MakeStudy) -> None:
    values = [0.5 + place / 1000 if place % 50 == 0 else 0.1 for place in range(400)]
    rows = progress(snapshot(make_study("s", risen(values)).directory)).rows
    few = thinned(rows, 40)
    assert len(few) == 40
    assert few["gain"].sum() == rows["gain"].sum() == 8
    assert thinned(rows, 400) is rows


# Sections.


def test_every_section_stands_in_every_state(run: RunPage, make_study: MakeStudy) -> None:
    make_study("empty", [], "running", described=False)
    running = [outcome(9, "running", None, reported=2)]
    make_study("going", some_outcomes(), "running", running=running)
    make_study("done", some_outcomes(), recommended=True)
    for name in ("empty", "going", "done"):
        for section in SECTIONS:
            app = run("search", study=name, section=section)
            assert opening(app)


def test_the_section_is_in_the_address(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run("search", study="done")
    buttons: Any = app.get("button_group")[-1]
    buttons.set_value("failed").run()
    assert not app.exception
    assert app.query_params["section"] in ("failed", ["failed"])
    assert "1 trial of 6 failed" in texts(app)
    assert "1 trial of 6 failed" not in texts(run("search", study="done", section="no such"))


def test_the_best_so_far_over_time_or_trials(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", risen([0.5, 0.7, 0.6, 0.8]))
    over_time = json.dumps(charts(run("search", study="done"))[0])
    assert "seconds since the first trial began" in over_time
    app = run("search", study="done", axis="trials")
    assert "trials, in the order in which they ended" in json.dumps(charts(app)[0])
    assert "50.0 % at first, 80.0 % after 2 steps up" in texts(app)
    assert linked(app)["The last gain: trial 3"] == "study=done&trial=3"


def test_unknown_times_are_said(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes())
    assert "When they ran is not known" in texts(run("search", study="done"))


def test_the_map_says_what_was_never_tried(make_study: MakeStudy) -> None:
    found = heat_map.tried(snapshot(make_study("s", some_outcomes()).directory), None)
    cells = found.cells.set_index(["backbone", "strategy"])
    assert len(cells) == len(NAMES) * 4
    assert cells.loc[(NAMES[2], "full")].to_dict() == {
        "value": 0.93,
        "trials": 1,
        "finished": 1,
    }
    # Its only trial failed: that is not the same as never tried.
    assert cells.loc[(NAMES[1], "full"), "trials"] == 1
    words = heat_map.as_table(found, "accuracy").set_index("backbone, strategy")
    assert words.loc[NAMES[1], "full"] == "– of 1"
    assert words.loc[NAMES[2], "frozen"] == heat_map.NEVER
    assert found.never == sum(cells["trials"] == 0) == 6


def test_the_map_of_one_head(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("s", some_outcomes())
    found = heat_map.tried(snapshot(study.directory), "mlp")
    assert found.cells["trials"].sum() == 1
    app = run("search", study="s", head="mlp")
    assert "11 pairs were never tried" in texts(app)


def test_a_click_on_a_cell_opens_its_trials(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run("search", study="done")
    cell = {"backbone": NAMES[1], "strategy": "last-stages"}
    app.session_state["tried-"] = {"selection": {"cell": [cell]}}
    app.run()
    assert not app.exception
    assert list(table(app, "strategy")["trial"]) == [1]


def test_a_click_on_the_table_does_the_same(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run("search", study="done")
    frame = next(one for one in app.dataframe if "backbone, strategy" in one.value.columns)
    row = list(frame.value["backbone, strategy"]).index(NAMES[1])
    key = digest([list(frame.value["backbone, strategy"]), list(frame.value.columns)], 12)
    for column, trials in (("last-stages", [1]), ("backbone, strategy", [1, 4])):
        app = run("search", study="done")
        cells = {"selection": {"rows": [], "columns": [], "cells": [(row, column)]}}
        app.session_state[f"tried-cells-{key}"] = cells
        app.run()
        assert not app.exception
        assert list(table(app, "strategy")["trial"]) == trials


def test_a_streamlit_that_selects_nothing_in_layers(
    run: RunPage, make_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = st.altair_chart

    def old(chart: Any, **options: Any) -> Any:
        if options.get("on_select"):
            raise StreamlitAPIException("Selections are not yet supported")
        return usual(chart, **options)

    monkeypatch.setattr(st, "altair_chart", old)
    make_study("done", some_outcomes(), recommended=True)
    assert len(charts(run("search", study="done"))) == 2


def test_a_very_large_map_is_cut_and_says_so(run: RunPage, make_study: MakeStudy) -> None:
    trials = [
        outcome(number, value=number / 100, backbone=f"made/{number:02}") for number in range(40)
    ]
    make_study("wide", trials)
    assert "Shown are the best 30 of 43 backbones" in texts(run("search", study="wide"))


def test_the_curves_of_pruned_trials_have_their_place(make_study: MakeStudy) -> None:
    trials = [outcome(number) for number in range(80)]
    trials += [outcome(n, "pruned", None, reported=2, reason="behind") for n in range(80, 120)]
    trials.append(outcome(120, "running", None, reported=2))
    found = [summary_of(trial) for trial in trials]
    others, pruned = search_rows.with_curves(found, None)
    assert len(others) == 35 and len(pruned) == 15
    assert others[0] == 120
    assert search_rows.with_curves(found[:80], None) == (list(range(50)), [])
    assert search_rows.with_curves(found, "no such") == ([], [])


def test_curves_of_one_backbone(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    app = run("search", study="done", section="curves", curves=NAMES[0])
    assert "the best 1 of 1 trials that went on and the best 1 of 1" in texts(app)
    closed = make_study("closed", [outcome(0, epochs=0)])
    assert closed.directory.is_dir()
    assert "only those have a learning curve" in texts(
        run("search", study="closed", section="curves")
    )


IMPORTANCES = {
    "heads": [
        {"name": "head", "trials": 40, "groups": 3, "share": 0.02, "null": 0.1, "best": "mlp",
         "median": 0.9},
        {"name": SCRIPT, "trials": 40, "groups": 3, "share": 0.6, "null": 0.1, "best": LINK,
         "median": 0.93},
        {"name": "damaged"},
        7,
    ],
    "tune": [],
}  # fmt: skip


def test_what_does_not_exceed_chance_is_said_to_be_chance() -> None:
    frame = importance_rows(IMPORTANCES["heads"])
    assert list(frame["choice"]) == [SCRIPT, "head"]
    assert list(frame["verdict"]) == [BEYOND, CHANCE]
    assert importance_rows(None).empty and importance_rows("text").empty


def test_what_mattered(run: RunPage, make_study: MakeStudy) -> None:
    study: Made = make_study("done", some_outcomes())
    app = run("search", study="done", section="mattered")
    assert "computed when the search ends" in texts(app)
    study.store.put("importances", IMPORTANCES)
    app = run("search", study="done", section="mattered")
    assert f"more than chance: `{SCRIPT}`" in texts(app)
    assert "not distinguishable from chance" in texts(app)
    study.store.put("importances", {"tune": []})
    study.status("finished", spent=151)
    app = run("search", study="done", section="mattered")
    assert "Nothing can be said of what mattered" in texts(app)


def test_the_screen_has_a_column_for_each_ranker(make_study: MakeStudy) -> None:
    study = make_study("s")
    found = snapshot(study.directory)
    assert list(search_rows.screen(found)["backbone"]) == list(reversed(NAMES))
    assert list(search_rows.why_not(found)["reason"]) == ["the hub is out of reach"]
    row = {"backbone": "b", "score": 0.5, "ranker": "ridge", "verdict": "stopped: behind"}
    study.store.put("screen", [{**row, "scores": {"ridge": 0.5, "knn": 0.4}}, {"backbone": "c"}])
    frame = search_rows.screen(snapshot(study.directory))
    assert frame.loc[0, "by knn"] == 0.4
    assert list(frame["backbone"]) == ["b", "c"]


def test_why_not_falls_back_on_the_answer(make_study: MakeStudy) -> None:
    study = make_study("s", described=False)
    assert search_rows.screen(snapshot(study.directory)).empty
    assert search_rows.why_not(snapshot(study.directory)).empty


def test_what_was_screened_out(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes())
    app = run("search", study="done", section="screened")
    assert "3 backbones were scored" in texts(app)
    assert list(table(app, "reason")["what"]) == ["timm/vit_huge"]


def test_failures_are_grouped_by_the_first_line(make_study: MakeStudy) -> None:
    reasons = [
        "OutOfMemoryError: 12 GiB\n at step 3",
        "diverged: nan",
        "OutOfMemoryError: 8 GiB",
        None,
        " \n ",
    ]
    trials = [outcome(i, "failed", None, reason=reason) for i, reason in enumerate(reasons)]
    found = search_rows.failures(snapshot(make_study("s", trials).directory))
    assert (found[0].reason, found[0].numbers) == ("OutOfMemoryError: 12 GiB", (0, 2))
    assert "--max-params" in found[0].hint
    assert ("no reason was stored", (3, 4)) in [(one.reason, one.numbers) for one in found]


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("out-of-memory: also at batch size 1", "--max-params"),
        ("diverged: the loss is nan", "Nothing to do"),
        ("error: ModuleNotFoundError(\"No module named 'my_pack.sub'\")", "pip install my-pack"),
        ("error: No module named 'x; rm -rf'", ""),
        ("error: OSError(28, 'No space left on device')", "Make room"),
        ("error: its process ended with -9, 3 times", "want of memory"),
        ("freeze-violation: a tensor moved", "fault of the plugin"),
        ("error: KeyError('x')", ""),
    ],
)
def test_hints(reason: str, words: str) -> None:
    assert words in hint(reason) if words else hint(reason) == ""


def test_failures_lead_to_their_trials(run: RunPage, make_study: MakeStudy) -> None:
    trials = [outcome(n, "failed", None, reason=f"x {SCRIPT}") for n in range(9)]
    make_study("broken", trials, "failed")
    app = run("search", study="broken", section="failed")
    assert "9 trials of 9 failed" in texts(app)
    assert linked(app)["Trial 0"] == "study=broken&trial=0"
    assert "and 4 more" in texts(app)
    assert linked(app)["All that failed"] == "study=broken&state=failed"


def test_what_pruning_saved_is_an_estimate(run: RunPage, make_study: MakeStudy) -> None:
    allowed = outcome(0, "pruned", None, reported=2, epochs=5)
    early = replace(allowed, number=1, epochs=2)
    trials = [allowed, early, outcome(2, strategy="full"), outcome(3, strategy="full")]
    found = snapshot(make_study("s", trials).directory)
    # Three epochs of four seconds are left of one; the other took 8 of the usual 20 seconds.
    assert search_rows.seconds_saved(found) == pytest.approx(12 + 12)
    assert "saved about 24s: an estimate" in texts(run("search", study="s", section="failed"))
    assert search_rows.seconds_saved(snapshot(make_study("t", trials[2:]).directory)) is None


def test_the_budget_by_stage(run: RunPage, make_study: MakeStudy) -> None:
    study: Made = make_study("done", some_outcomes(), "running")
    app = run("search", study="done", section="budget")
    assert "was not recorded for this study" in texts(app)
    study.store.put(
        "timeline",
        [
            {"stage": "load", "began": 0.0, "ended": 10.0},
            {"stage": "heads", "began": 10.0, "ended": 50.0},
            {"stage": "tune", "began": 50.0, "ended": 100.0},
            {"stage": "heads", "began": 100.0, "ended": None},
            {"stage": SCRIPT, "began": "x"},
        ],
    )
    frame = budget_chart.spent_by_stage(snapshot(study.directory)).set_index("stage")
    assert dict(frame["seconds"]) == {
        "load": 10,
        "heads": 90,
        "tune": 50,
        budget_chart.LEFT: 150,
    }
    study.store.put("planned", {"load": None, "screen": 0.35, "heads": 0.45, "recommend": 1.0})
    study.status("running", spent=150.5)
    app = run("search", study="done", section="budget")
    assert "2m 30s spent of 5m" in texts(app)
    assert "screen is to be over when 35% (1m 45s) are spent; heads is to be" in texts(app)
    assert table(app, "backbone")["trials"].sum() == 6


def test_notes(run: RunPage, make_study: MakeStudy) -> None:
    study: Made = make_study("done", some_outcomes())
    assert "left no notes" in texts(run("search", study="done", section="notes"))
    study.store.put("notes", [f"a note {SCRIPT}"])
    study.status("finished", spent=151)
    app = run("search", study="done", section="notes")
    assert f"- a note {SCRIPT}" in [code.value for code in app.code]


def test_ten_thousand_trials_are_capped(run: RunPage, studies: Path) -> None:
    write_large_study(studies, "large", 3000)
    app = run("search", study="large", section="curves")
    assert "Drawn are 2,000 of" in texts(app)
    assert "the best 35 of" in texts(app)
