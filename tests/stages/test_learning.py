"""What more labels would buy, in a whole search: said, bounded, and never in the way."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl_transfer.budget import Stopwatch
from automl_transfer.events import Recommended
from automl_transfer.recommendation import Recommendation
from automl_transfer.report.markdown import render
from automl_transfer.report.material import Material
from automl_transfer.stages import learning
from automl_transfer.testing.toy import write_toy_data
from automl_transfer.training import nested
from tests.toy_search import ToySearch


@pytest.fixture
def toy(tmp_path: Path) -> ToySearch:
    return ToySearch(tmp_path)


def answer(toy: ToySearch, **changes) -> Recommendation:
    request = toy.request(
        **({"trials": 2, "strategies": ("frozen",), "hold_out": "yes"} | changes)
    )
    last = toy.run(request)[-1]
    assert isinstance(last, Recommended)
    return last.recommendation


def test_the_answer_says_what_more_labels_would_buy(toy: ToySearch) -> None:
    found = answer(toy)
    curve = found.learning
    assert curve is not None
    assert [row.factor for row in curve.forecasts] == [2.0, 4.0]
    assert curve.forecasts[0].samples == 2 * curve.samples
    assert [row.samples for row in curve.points] == sorted(row.samples for row in curve.points)
    assert curve.points[-1].samples == curve.samples, "every sample is learnt from"
    for row in (*curve.forecasts, *curve.classes):
        assert 0 <= row.interval.low <= row.gain <= row.interval.high <= 1
    assert {row.label for row in curve.classes} == {0, 1, 2}
    larger = curve.larger
    assert larger is not None
    assert (larger.smaller, larger.larger) == ("toy/small", "toy/wide")
    assert larger.interval.low <= larger.gain <= larger.interval.high
    assert larger.gain == pytest.approx(larger.larger_value - larger.smaller_value)
    assert toy.study().recommendation == found, "it is stored"
    text = render(Material(recommendation=found))
    assert "## What would more labels buy?" in text
    assert f"Twice the labels ({2 * curve.samples} instead of {curve.samples}): +" in text
    assert "A larger backbone: toy/wide" in text


def test_the_same_seed_gives_the_same_curve(toy: ToySearch) -> None:
    first, second = answer(toy), answer(toy, study="again")
    assert first.learning == second.learning
    assert answer(toy, study="other", seed=1).learning != first.learning


def test_one_backbone_says_nothing_of_larger_ones(toy: ToySearch) -> None:
    found = answer(toy, backbones=("toy/small",))
    assert found.learning is not None and found.learning.larger is None
    assert "What a larger backbone would buy is not known" in render(
        Material(recommendation=found)
    )


def test_a_failure_costs_a_note_and_not_the_answer(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise np.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(learning, "forecast", broken)
    found = answer(toy)
    assert found.learning is None
    assert any("could not be worked out: did not converge" in note for note in found.notes)
    assert "## What would more labels buy?" not in render(Material(recommendation=found))


def test_few_samples_are_said_to_be_too_few(toy: ToySearch) -> None:
    write_toy_data(toy.data, n=36)
    found = answer(toy)
    assert found.learning is None
    assert any("too few for a learning curve" in note for note in found.notes)


def rare(toy: ToySearch, count: int) -> None:
    """Two classes, of one of which there are ``count`` samples."""
    lines = write_toy_data(toy.data, n=240, classes=2).read_text(encoding="utf-8").splitlines()
    kept = [
        *[line for line in lines if line.startswith("class0")],
        *[line for line in lines if line.startswith("class1")][:count],
    ]
    toy.data.write_text("\n".join(kept) + "\n", encoding="utf-8")


def test_replicates_without_a_sample_of_a_class_are_left_out(toy: ToySearch) -> None:
    rare(toy, 4)
    found = answer(toy, metric="roc_auc", hold_out="no", backbones=("toy/small",))
    curve = found.learning
    assert curve is not None
    numbers = [row.gain for row in curve.forecasts] + [row.value for row in curve.points]
    numbers += [
        end
        for row in (*curve.forecasts, *curve.points)
        for end in (row.interval.low, row.interval.high)
    ]
    assert np.isfinite(numbers).all()


def test_a_curve_of_which_hardly_a_replicate_is_defined_is_not_said(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        learning,
        "resampled",
        lambda p, own, metric, w: np.where(np.arange(len(w)) < 3, 0.5, np.nan),
    )
    found = answer(toy)
    assert found.learning is None
    assert any("too few of a kind" in note for note in found.notes)


def test_no_time_is_a_note(toy: ToySearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "SPEED", 1e-9)
    request = replace(
        toy.request(trials=2, strategies=("frozen",), hold_out="yes"), budget_seconds=600.0
    )
    # Operations are allowed by the same speed: none fit into the share of the budget.
    last = toy.run(request)[-1]
    assert isinstance(last, Recommended) and last.recommendation.learning is None
    assert any("takes longer than 2% of the budget" in n for n in last.recommendation.notes)


def test_a_curve_that_takes_longer_than_it_should_is_broken_off(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = []

    def looks(*data: object, **options: object) -> Iterator[object]:
        yield over.append(True)
        raise AssertionError("The time was over.")

    monkeypatch.setattr(nested, "looks", looks)
    left = property(lambda watch: -1.0 if over else math.inf)
    monkeypatch.setattr(Stopwatch, "left", left)
    found = answer(toy)
    assert over and found.learning is None
    assert learning.NO_TIME in found.notes
