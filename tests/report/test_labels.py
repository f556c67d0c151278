"""What the report says of more labels."""

from __future__ import annotations

from dataclasses import replace

from automl_transfer.jsonable import to_json
from automl_transfer.recommendation import (
    ClassGain,
    Interval,
    LabelGain,
    LearningCurve,
    LearningPoint,
    SizeGain,
)
from automl_transfer.report.markdown import render
from automl_transfer.report.material import Material
from tests.fabricated_study import CLASSES, HOSTILE, loaded, outcome, recommendation

CURVE = LearningCurve(
    backbone="acme/big",
    method="ridge regression",
    samples=600,
    points=(
        LearningPoint(samples=60, value=0.8, interval=Interval(low=0.7, high=0.9), draws=5),
        LearningPoint(samples=600, value=0.9, interval=Interval(low=0.88, high=0.92), draws=1),
    ),
    forecasts=(
        LabelGain(factor=2, samples=1200, gain=0.018, interval=Interval(low=0.009, high=0.026)),
        LabelGain(factor=4, samples=2400, gain=0.03, interval=Interval(low=0.01, high=0.05)),
    ),
    classes=(
        ClassGain(
            label=2, samples=30, recall=0.5, gain=0.08, interval=Interval(low=0.03, high=0.12)
        ),
        ClassGain(
            label=0, samples=300, recall=0.99, gain=0.002, interval=Interval(low=0, high=0.01)
        ),
    ),
    larger=SizeGain(
        smaller="acme/small",
        larger="acme/big",
        smaller_parameters=1_000_000,
        larger_parameters=4_000_000,
        times=3.5,
        unit="operations",
        smaller_value=0.85,
        larger_value=0.9,
        gain=0.05,
        interval=Interval(low=-0.01, high=0.11),
        samples=200,
    ),
)


def rendered(curve: LearningCurve | None, metric: str = "accuracy", classes=CLASSES) -> str:
    rows = [outcome(0, 0.8), outcome(1, 0.9)]
    answer = recommendation(rows, classes, learning=curve, metric=metric)
    return render(Material(recommendation=answer, data=to_json(loaded(classes))))


def test_gains_are_said_with_their_intervals() -> None:
    text = rendered(CURVE)
    assert (
        "**Twice the labels (1,200 instead of 600): +1.8 points of accuracy (0.9 to 2.6). Four "
        "times the labels (2,400 instead of 600): +3.0 points of accuracy (1.0 to 5.0).**"
    ) in text
    assert "It may be nothing" not in text
    assert "owl would gain more than the rest; cat would gain less than the rest." in text
    assert "| owl | 30 | 50.0 % | +8.0 points | 3.0 to 12.0 |" in text
    assert (
        "acme/big (4M parameters) scored 90.0 % and acme/small (1M) 85.0 % with a ridge head on "
        "the same 200 samples: +5.0 points (-1.0 to 11.0) for 3.5 times the operations."
    ) in text
    assert text.index("## Ranking") < text.index("## What would more labels buy?")
    assert text.index("## What would more labels buy?") < text.index("## The winner on the test")


def test_a_flat_curve_is_called_one() -> None:
    flat = replace(CURVE.forecasts[0], interval=Interval(low=0.0, high=0.02))
    assert "It may be nothing" in rendered(replace(CURVE, forecasts=(flat,)))


def test_other_metrics_have_their_own_units() -> None:
    assert "+0.018 of negated log-loss (0.009 to 0.026)" in rendered(CURVE, "neg_log_loss")


def test_without_a_curve_there_is_no_section() -> None:
    assert "more labels" not in rendered(None)


def test_names_of_classes_cannot_change_the_report() -> None:
    headings = [line for line in rendered(CURVE).splitlines() if line.startswith("#")]
    hostile = rendered(CURVE, classes=("cat", "dog", HOSTILE))
    assert [line for line in hostile.splitlines() if line.startswith("#")] == headings
    assert "\x1b" not in hostile and "<script>" not in hostile
