"""What folds withhold from a model is added to its score, and widens the interval."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from automl_transfer.comparison import compare
from automl_transfer.corrected import corrected
from automl_transfer.scoring import score
from automl_transfer.task import METRICS
from automl_transfer.withheld import EXPONENTS, Withheld


def guess(labels, right: float, generator, repeats: int = 1):
    """Predictions of which a share is right, shape (repeats, n, 2)."""
    hit = generator.random((repeats, len(labels))) < right
    return (0.8 * np.eye(2)[np.where(hit, labels, 1 - labels)] + 0.1).astype(np.float32)


def known(much, little, much_share: float = 0.9, little_share: float = 0.5) -> Withheld:
    return Withheld(much=much, little=little, much_share=much_share, little_share=little_share)


@pytest.mark.parametrize("exponent", [*EXPONENTS, 0.5])
@pytest.mark.parametrize("shares", [(0.9, 0.5), (0.8, 0.5), (0.9, 0.6)])
def test_a_curve_is_carried_on_whatever_its_level_and_slope(exponent, shares) -> None:
    much, little = shares
    for top, slope in ((0.9, 0.4), (-0.2, 3.0)):
        at = {share: top - slope * (100 * share) ** -exponent for share in (little, much, 1.0)}
        more = float(known([], [], much, little).times(exponent)) * (at[much] - at[little])
        assert at[much] + more == pytest.approx(at[1.0])


def test_a_model_that_has_learnt_from_less_is_worth_less() -> None:
    found = replace(known([], []), delivered_share=0.75)
    assert float(found.times()) == pytest.approx(
        (0.9**-0.5 - 0.75**-0.5) / (0.5**-0.5 - 0.9**-0.5)
    )
    assert float(found.times()) < 0


def test_the_exponent_decides_little() -> None:
    low, high = sorted(known([], []).times(np.array(EXPONENTS)))
    assert 0.12 < low < float(known([], []).times()) < high < 0.17


@pytest.mark.parametrize("metric", METRICS)
def test_the_gain_is_that_of_all_contenders_and_repeats(metric: str) -> None:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2
    much = [guess(labels, 0.9, generator, 3), guess(labels, 0.8, generator, 3)]
    little = [guess(labels, 0.7, generator, 2), guess(labels, 0.75, generator, 2)]
    found = known(much, little).gained(labels, metric, np.ones((1, 60)))
    wanted = [
        score(more, labels, metric) - score(less, labels, metric)
        for more, less in zip(much, little, strict=True)
    ]
    assert found == pytest.approx([np.mean(wanted)])


def test_the_score_is_that_of_a_model_that_learns_from_all() -> None:
    def right(samples: float) -> float:
        return 0.95 - 2.0 * samples**-0.5

    n, off, alone, covered = 100, [], [], []
    generator = np.random.default_rng(1)
    labels = np.arange(n) % 2
    for trial in range(150):
        much = [guess(labels, right(0.9 * n), generator, 3) for _ in range(4)]
        little = [guess(labels, right(0.5 * n), generator, 3) for _ in range(4)]
        compared = compare(much, labels, "accuracy", trial, resamples=200)
        for withheld, found in ((None, alone), (known(much, little), off)):
            result = corrected(
                much, labels, "accuracy", trial, compared, withheld=withheld, resamples=200
            )
            found.append(result.value - right(n))
        assert result.gain is not None
        assert result.value + result.optimism - result.gain == pytest.approx(
            compared.contenders[compared.best].value
        )
        covered.append(result.interval.low <= right(n) <= result.interval.high)
    error = np.std(off) / np.sqrt(len(off))
    assert abs(np.mean(off)) < 2 * error
    assert np.mean(alone) < -0.005
    assert np.mean(covered) >= 0.95


def test_what_is_not_known_of_the_gain_is_in_the_interval() -> None:
    generator = np.random.default_rng(2)
    labels = np.arange(200) % 2
    one = guess(labels, 0.8, generator)
    compared = compare([one], labels, "accuracy", 0)

    def width(less, share: float) -> float:
        found = corrected(
            [one],
            labels,
            "accuracy",
            0,
            compared,
            withheld=known([one], [less], share, share - 0.1),
        )
        return found.interval.high - found.interval.low

    less = guess(labels, 0.75, generator)
    usual = corrected([one], labels, "accuracy", 0, compared).interval
    # Carried on from 40 and 50 % of the samples, more is guessed than is known.
    assert width(less, 0.5) > width(less, 0.9) > usual.high - usual.low


@pytest.mark.parametrize(("metric", "best"), [("accuracy", 1.0), ("neg_log_loss", 0.0)])
def test_no_score_is_better_than_the_best(metric: str, best: float) -> None:
    labels = np.arange(40) % 2
    sure = np.eye(2, dtype=np.float32)[labels][np.newaxis]
    less = guess(labels, 0.6, np.random.default_rng(3))
    compared = compare([sure], labels, metric, 0)
    found = corrected([sure], labels, metric, 0, compared, withheld=known([sure], [less]))
    assert found.gain is not None and found.gain > 0
    assert found.interval.low <= found.value <= found.interval.high <= best
