"""How sure, at what cost, and with what gain: in words that the statistics allow."""

from __future__ import annotations

from dataclasses import replace

import pytest

from automl_transfer.jsonable import to_json
from automl_transfer.recommendation import Baseline, Interval
from automl_transfer.report.certainty import how_sure
from automl_transfer.report.complete import final_blocks, report_blocks, summary_blocks
from automl_transfer.report.finalists import front_chart, pareto_front
from automl_transfer.report.gains import gains
from automl_transfer.report.markdown import render, to_markdown
from automl_transfer.report.material import Material, gather
from tests.fabricated_study import (
    confirmation,
    confirmed,
    finalist,
    loaded,
    outcome,
    recommendation,
)
from tests.report.test_report import cells

ROWS = [outcome(0, 0.80), outcome(1, 0.92), outcome(2), outcome(3, 0.90)]


def material(answer) -> Material:
    screen = [
        {
            "backbone": "acme/small",
            "score": 0.7,
            "ranker": "ridge",
            "samples": 80,
            "cached": False,
            "seconds": 2.0,
            "verdict": "kept",
        }
    ]
    return Material(recommendation=answer, data=to_json(loaded()), outcomes=ROWS, screen=screen)


def test_all_sections_in_order():
    text = render(material(confirmed(ROWS)))
    titles = [line.lstrip("# ") for line in text.splitlines() if line.startswith("##")]
    assert titles == [
        "Answer",
        "Finalists",
        "Ranking",
        "The winner on the test part",
        "Reliability",
        "Most confident errors",
        "Learning curves",
        "Cost",
        "Why not",
        "Screening",
        "Notes",
        "How to repeat it",
    ]


def test_the_answer_says_how_sure_at_what_cost_and_why():
    text = render(material(confirmed(ROWS)))
    assert (
        "- **How sure:** 3 finalists compared (80 samples, 5 fresh folds, 2 times over). "
        "No "
        "difference is shown between the winner (trial 3) and trial 1. Differences below 2.1 "
        "points would not have been seen reliably (power 0.8). Trial 1, the best by score, beats "
        "trial 0, by 3.1 to 10.9 points (95 % interval, corrected for all comparisons). The "
        "winner is the best of the finalists with a probability of 19 % (share of joint "
        "resamples)."
    ) in text
    assert (
        "- **Cost:** 3.1 ms for one sample, 31 ms for a batch of 32 (1,000/s), each the median, "
        "on cpu; 13.6 MB of weights; 55 MB of memory for one sample; 12s of training."
    ) in text
    assert "- **Why:** the fastest of those between which no difference is shown" in text


@pytest.mark.parametrize(("behind", "tied"), [((-0.01, 0.02), True), ((0.0, 0.02), True)])
def test_a_beats_b_only_where_the_interval_excludes_nothing(behind, tied):
    best, other = finalist(ROWS[1], 0.93, None, None), finalist(ROWS[0], 0.9, behind, None)
    answer = replace(recommendation(ROWS), confirmation=confirmation(best, other))
    assert other.tied is tied
    said = how_sure(answer)
    assert "beats" not in said
    assert "No difference is shown between the winner (trial 1) and trial 0" in said
    apart = replace(other, behind=Interval(low=0.001, high=0.05), tied=False)
    said = how_sure(replace(answer, confirmation=confirmation(best, apart)))
    assert "The winner beats trial 0, by 0.1 to 5.0 points" in said
    assert "No difference" not in said


def test_one_finalist_and_none():
    alone = confirmation(finalist(ROWS[1], 0.93, None, None))
    assert "it has no rival" in how_sure(replace(recommendation(ROWS), confirmation=alone))
    assert "not compared on fresh folds" in how_sure(recommendation(ROWS))
    assert "## Finalists" not in render(material(recommendation(ROWS)))


def test_the_gains_of_transfer_and_of_searching():
    answer = confirmed(ROWS)
    assert gains(answer) == [
        (
            "Gain of transfer",
            "+30.0 points, 95 % interval 22.0 to 38.0 points (the winner against the same "
            "architecture from scratch).",
        ),
        (
            "Gain of searching",
            "+2.0 points, 95 % interval -0.5 to 4.5 points: no gain is shown (the winner against "
            "the plain default fine-tune).",
        ),
    ]
    worse = Baseline(
        name="plain default fine-tune",
        description="",
        value=0.95,
        gain=Interval(low=-0.07, high=-0.01),
    )
    ((_, text),) = gains(replace(answer, baselines=(worse,)))
    assert text.startswith("-4.0 points, 95 % interval -7.0 to -1.0 points: a loss")
    unpaired = replace(worse, gain=None)
    ((_, text),) = gains(replace(answer, baselines=(unpaired,)))
    assert text.startswith("-4.0 points; without an interval")
    assert gains(recommendation(ROWS)) == []


def test_a_baseline_that_was_not_run_says_why():
    skipped = Baseline(name="winner from scratch", description="no time was left.", value=None)
    text = render(material(confirmed(ROWS, baselines=(skipped,))))
    assert "- **Gain of transfer:** not measured: no time was left (the winner against" in text
    assert cells(text, "winner from scratch")[1:] == ["–", "–", "no time was left."]
    assert "None" not in text


def test_a_paired_gain_decides_whether_a_yardstick_is_beaten():
    near = Baseline(name="kNN", description="", value=0.90, gain=Interval(low=0.001, high=0.02))
    assert "the baseline kNN" not in render(material(confirmed(ROWS, baselines=(near,))))
    unclear = replace(near, gain=Interval(low=-0.01, high=0.03))
    text = render(material(confirmed(ROWS, baselines=(unclear,))))
    assert (
        "The winner is not clearly better than the baseline kNN (90.0 %; the winner's lead is "
        "-1.0 to 3.0 points)."
    ) in text


def test_cross_validation_has_its_own_words():
    test = replace(confirmed(ROWS).test, source="cross-validation", method="repeated 5-fold")
    text = render(material(confirmed(ROWS, test=test)))
    assert "91.0 % accuracy (85.0 to 95.0 %) by cross-validation over 30 samples" in text
    assert "corrected for the choice among the finalists" in text
    assert "## The winner by cross-validation" in text
    assert cells(text, "the winner by cross-validation (30 samples)")[-1] == "repeated 5-fold"
    assert "never saw" not in text
    assert "on the test part" not in text


def test_finalists_stand_in_tiers_with_both_scores():
    text = render(material(confirmed(ROWS)))
    finalists = text[text.index("## Finalists") : text.index("## Ranking")]
    rows = [line.split(" | ") for line in finalists.splitlines() if line.startswith("| ")][2:]
    assert [row[0] for row in rows] == ["| 1", "| 1", "| 2"]
    assert [row[5:10] for row in rows] == [
        ["92.0 %", "93.0 %", "91.0 to 95.0 %", "–", "62 %"],
        ["90.0 %", "92.5 %", "90.5 to 94.5 %", "-1.0 to 2.0", "19 %"],
        ["80.0 %", "86.0 %", "84.0 to 88.0 %", "3.1 to 10.9", r"\< 1 %"],
    ]
    assert [row[-1] for row in rows] == ["front |", "winner, front |", " |"]


def test_the_front_holds_what_nothing_dominates():
    rows = (
        finalist(ROWS[0], 0.9, None, 0.02),
        finalist(ROWS[1], 0.9, (-0.1, 0.1), 0.01),  # as good and faster
        finalist(ROWS[3], 0.8, (-0.1, 0.2), 0.01),
        finalist(ROWS[2], 0.7, (-0.1, 0.3), None),
    )
    assert [row.number for row in pareto_front(rows)] == [1]
    assert pareto_front(rows) == pareto_front(rows[::-1])
    chart = front_chart("accuracy", rows)
    assert chart is not None
    assert [series.marks for series in chart.series] == [(), ("0", "1", "3")]
    assert front_chart("accuracy", rows[3:]) is None


def test_reliability_and_the_most_confident_errors():
    text = render(material(confirmed(ROWS)))
    assert "Expected calibration error: 4.3 %." in text
    assert "| 95.0 % | 90.0 % | 26 |" in text
    assert "- cat/1.png: cat, taken for owl with 98.7 %" in text


def test_a_class_that_is_not_there_does_not_break_the_errors():
    answer = confirmed(ROWS)
    odd = replace(answer.test.errors[0], predicted=7)
    text = render(material(replace(answer, test=replace(answer.test, errors=(odd,)))))
    assert "cat, taken for 7 with" in text


def test_curves_are_those_of_the_finalists():
    text = render(material(confirmed(ROWS)))
    curves = text[text.index("## Learning curves") : text.index("## Cost")]
    assert cells(curves, "3")[1:4] == ["acme/big + linear, full", "3", "90.0 %"]
    bare = [replace(row, curve=row.curve[:1]) for row in ROWS]  # as closed-form heads have it
    answer = confirmed(ROWS)
    assert "## Learning curves" not in render(gather(answer, lambda _: None, bare))


def test_the_terminal_gets_the_finalists_before_the_answer_and_in_the_summary():
    answer = confirmed(ROWS)
    last = to_markdown(final_blocks(answer, 5))
    assert last.index("## Finalists") < last.index("## Answer")
    summary = summary_blocks(material(answer))
    assert "## Why not" not in to_markdown(summary)
    assert len(summary) < len(report_blocks(material(answer)))
