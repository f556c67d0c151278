"""Whether one of two to four trials is really better."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.dashboard.disagreement import _agresti_min, class_differences
from automl_transfer.dashboard.predictions import Predicted, Samples
from tests.dashboard.made_studies import MakeStudy, outcome, some_outcomes
from tests.dashboard.seen import RunPage, linked, sentence, table, texts
from tests.fabricated_study import confirmation, finalist

LABELS = np.array([0, 1, 0, 1])
"""Of the four validation samples of a made study."""


def predict(directory: Path, number: int, classes: list[int]) -> None:
    probabilities = np.full((4, 2), 0.1)
    probabilities[np.arange(4), classes] = 0.9
    StudyDirectory(directory).write_predictions(number, probabilities)


def test_without_trials_it_asks_for_some(run: RunPage, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    for asked in ({}, {"ids": "1"}, {"ids": "../1,x"}, {"ids": "77,78"}):
        app = run("compare", study="done", **asked)
        assert "Choose two to four trials" in sentence(app)
        assert linked(app)["Choose from the leaderboard"] == "study=done"


def test_what_differs_and_what_it_costs(run: RunPage, make_study: MakeStudy) -> None:
    trials = some_outcomes()
    study = make_study("done", trials, recommended=True)
    study.change(
        confirmation=confirmation(
            finalist(trials[2], 0.93, None, 0.0284), finalist(trials[1], 0.88, (0.01, 0.09), None)
        )
    )
    app = run("compare", study="done", ids="1,2")
    assert "Trial 2 is better, on fresh folds" in sentence(app)
    assert "What trial 1, 2 predicted for the validation part was not kept" in texts(app)
    differs = table(app, "trial 1")
    assert list(differs.iloc[:, 0])[:3] == ["backbone", "head", "strategy"]
    assert "training/batch_size" not in set(differs.iloc[:, 0])  # both have 32
    costs = table(app, "latency").set_index("trial")
    assert list(costs["latency"]) == ["–", "28 ms"]
    assert linked(app)["Trial 1"] == "study=done&trial=1"


def test_samples_decide_and_are_shown(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    predict(study.directory, 0, [0, 1, 0, 1])
    predict(study.directory, 1, [1, 1, 0, 1])
    app = run("compare", study="done", ids="0,1")
    assert sentence(app) == "#### No difference is shown between trial 0 and trial 1."
    frame = table(app, "P(best)").set_index("trial")
    assert list(frame["wrong where the best is right"]) == [0, 1]
    assert "`cat` `cat | dog` `12.png`" in texts(app)
    classes = table(app, "difference of recall").set_index("class")
    assert classes.loc["cat", "difference of recall"] == 50.0
    assert classes.loc["cat", "shown"] == "no: may be chance"
    assert "Differences below" in texts(app)


def test_a_difference_that_is_shown_is_said(run: RunPage, studies: Path) -> None:
    from automl_transfer.testing.large_study import write_large_study

    write_large_study(studies, "large", 400)
    files = StudyDirectory(studies / "large")
    labels = np.arange(1200, 1600) % 4
    right, wrong = np.full((400, 4), 0.1), np.full((400, 4), 0.1)
    right[np.arange(400), labels] = 0.7
    wrong[np.arange(400), np.where(np.arange(400) < 60, (labels + 1) % 4, labels)] = 0.7
    files.write_predictions(5, right)
    files.write_predictions(6, wrong)
    app = run("compare", study="large", ids="6,5")
    assert "Trial 5 is better than trial 6 (15.0 points, " in sentence(app)
    app.segmented_control(key="disagreement").set_value("only 6 is right").run()
    assert "There are none." in texts(app)


def test_predictions_of_other_samples_are_not_compared(
    run: RunPage, make_study: MakeStudy
) -> None:
    study = make_study("done", some_outcomes())
    predict(study.directory, 0, [0, 1, 0, 1])
    StudyDirectory(study.directory).write_predictions(1, np.full((7, 2), 0.5))
    app = run("compare", study="done", ids="0,1")
    assert "can only be laid side by side" in sentence(app)


def test_trials_that_are_alike(run: RunPage, make_study: MakeStudy) -> None:
    make_study("twins", [outcome(0), outcome(1)])
    assert "Nothing but the seed." in texts(run("compare", study="twins", ids="0,1"))


@pytest.mark.parametrize(("gained", "lost", "samples"), [(0, 0, 5), (5, 0, 5), (3, 9, 40)])
def test_the_interval_of_a_paired_share(gained: int, lost: int, samples: int) -> None:
    low, high = _agresti_min(gained, lost, samples, 1.96)
    assert -1 <= low < high <= 1
    turned = _agresti_min(lost, gained, samples, 1.96)
    assert turned == pytest.approx((-high, -low))


def test_equal_models_rarely_differ_in_any_of_many_classes() -> None:
    generator = np.random.default_rng(0)
    targets = np.repeat(np.arange(60), 40)
    samples = Samples(
        positions=np.arange(len(targets)),
        targets=targets,
        sources=("",) * len(targets),
        groups=np.arange(len(targets)),
    )

    def predicted() -> Predicted:
        right = generator.random(len(targets)) < 0.8
        found = np.zeros((len(targets), 60), dtype=np.float32)
        found[np.arange(len(targets)), np.where(right, targets, (targets + 1) % 60)] = 1
        return Predicted(samples=samples, probabilities=found)

    names = [str(place) for place in range(60)]
    shown = [
        (class_differences(predicted(), predicted(), names)["shown"] == "yes").any()
        for _ in range(20)
    ]
    assert sum(shown) <= 4


def test_what_is_left_out_is_said(run: RunPage, make_study: MakeStudy) -> None:
    make_study("many", [outcome(number, value=0.5 + number / 100) for number in range(6)])
    said = texts(run("compare", study="many", ids="0,1,2,3,4,99"))
    assert "This study has no trial 99." in said
    assert "left out: 4." in said
