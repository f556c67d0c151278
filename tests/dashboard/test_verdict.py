"""Which one to use."""

from __future__ import annotations

from dataclasses import replace

from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import Baseline, Cost
from tests.dashboard.made_studies import Made, MakeStudy, outcome, some_outcomes
from tests.dashboard.seen import RunPage, linked, sentence, table, texts
from tests.fabricated_study import confirmation, finalist


def confirmed(study: Made, trials: list[Outcome]) -> None:
    """Two finalists that are tied, the second one half the size, and one that is behind."""
    first = finalist(trials[2], 0.93, None, 0.0284)
    second = finalist(trials[1], 0.925, (-0.01, 0.02), 0.0300)
    third = finalist(trials[5], 0.88, (0.01, 0.09), 0.0100)
    assert isinstance(second.cost, Cost)
    second = replace(second, cost=replace(second.cost, bytes=5_000_000))
    study.change(confirmation=confirmation(first, second, third))


def test_finished_study(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True, openings=3)
    app = run(study="done")
    assert "**93.1 % accuracy** (90.7 to 95.1 %) on 400 test samples" in sentence(app)
    assert "provisional" not in texts(app)
    assert "scored 3 times" in texts(app)
    assert list(table(app, "description")["what"]) == ["the recommended model", "kNN", "majority"]


def test_a_baseline_that_beats_the_winner_is_said_at_the_top(
    run: RunPage, make_study: MakeStudy
) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    assert not run(study="done").warning
    study.recommend(some_outcomes(), score=0.85)
    said = run(study="done").warning[0].value
    assert "A baseline is no worse: `kNN` has 86.0 %" in said


def test_a_confirmed_answer_shows_its_finalists(run: RunPage, make_study: MakeStudy) -> None:
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
    assert linked(app)["Compare the finalists"] == "study=done&ids=2%2C1"


def test_another_preference_picks_again_among_the_tied(
    run: RunPage, make_study: MakeStudy
) -> None:
    trials = some_outcomes()
    study = make_study("done", trials, recommended=True)
    confirmed(study, trials)
    app = run(study="done")
    assert "The same: trial 2." in texts(app)
    assert app.segmented_control(key="prefer").value == "latency"
    app.segmented_control(key="prefer").set_value("size").run()
    assert not app.exception
    assert app.query_params["prefer"] in ("size", ["size"])
    assert "Then it is trial 1" in texts(app)
    assert "--study done-size" in texts(app) and "--prefer size" in texts(app)
    # The third is faster still, but it is behind: no preference takes it.
    assert "The same: trial 2." in texts(run(study="done", prefer="latency"))
    assert "The same: trial 2." in texts(run(study="done", prefer="../x"))


def test_too_few_samples_to_rank(run: RunPage, make_study: MakeStudy) -> None:
    trials = some_outcomes()
    study = make_study("done", trials, recommended=True)
    confirmed(study, trials)
    assert not run(study="done").warning
    study.change(test=replace(study.answer().test, samples=15))
    said = run(study="done").warning[0].value
    assert "Too small to rank: the score rests on 15 samples" in said
    assert "differences below 2.1 points could not be seen" in said


def test_cross_validation_and_a_baseline_that_was_not_run(
    run: RunPage, make_study: MakeStudy
) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    answer = study.answer()
    skipped = Baseline(name="winner from scratch", description="no time was left", value=None)
    study.change(
        test=replace(answer.test, source="cross-validation"),
        baselines=(skipped, *answer.baselines),
        winner=replace(answer.winner, seconds=0.0),
    )
    app = run(study="done")
    assert "(90.7 to 95.1 %) by cross-validation over 400 samples." in sentence(app)
    assert "never saw" not in texts(app)
    assert not app.warning
    labels = {one.label: one.value for one in app.metric}
    assert labels["accuracy, cross-validation"] == "93.1 %"
    assert labels["training of the winner"] == "< 0.1s"
    assert "Best baseline: 86.0 % (kNN)" in texts(app)
    assert list(table(app, "description")["what"])[-1] == "winner from scratch"


def test_running_study_is_provisional(run: RunPage, make_study: MakeStudy) -> None:
    running = outcome(6, "running", None, strategy="lora", reported=3)
    make_study("going", some_outcomes(), "running", running=[running])
    app = run(study="going")
    shown = texts(app)
    assert "So far the best is `hf/facebook/dinov2-small`" in sentence(app)
    assert "provisional" in shown and "running" in shown
    assert "Running: trial 6, bundled/efficientnet_lite0 + linear, lora (epoch 3 of 5" in shown
    assert "about 2m 30s left" in shown
    assert linked(app)["trial 2"] == "study=going&trial=2"


def test_study_without_trials(run: RunPage, make_study: MakeStudy) -> None:
    make_study("begun", [], "running", described=False)
    assert "There is no answer yet: no trial has begun." in sentence(run(study="begun"))
    assert "The data have not been read yet" in texts(run("data", study="begun"))


def test_all_failed_leads_to_the_reasons(run: RunPage, make_study: MakeStudy) -> None:
    failed = [outcome(i, "failed", None, reason="DivergedError: nan") for i in range(4)]
    make_study("bad", failed, "failed")
    app = run(study="bad")
    assert "There is no answer: none of 4 trials finished." in sentence(app)
    assert linked(app)["What failed, and what to do"] == "study=bad"


def test_what_would_change_the_answer(run: RunPage, make_study: MakeStudy) -> None:
    trials = some_outcomes()
    study = make_study("done", trials, recommended=True)
    confirmed(study, trials)
    study.store.put("why_not", [{"what": "acme/slow", "reason": "did not fit into the budget"}])
    shown = texts(run(study="done"))
    assert "Search on: 10m in all, in the same study." in shown
    assert "1 candidate was not tried for lack of time" in shown
    assert "--budget 10m" in shown
    assert "Tell the 2 tied finalists apart" in shown


def test_the_model_and_the_report_can_be_taken_along(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    model = study.directory / "model"
    model.mkdir()
    (model / "model.json").write_text("{}")
    (model / "weights.safetensors").write_bytes(b"0" * 1_000_000)
    (study.directory / "report.html").write_text("<p>report</p>")
    labels = [one.proto.label for one in run(study="done").get("download_button")]
    assert labels == ["Report (HTML)", "Model (1 MB)"]
