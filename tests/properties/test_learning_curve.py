"""What is said of more labels: bounded, monotone, and honest when there is nothing to see."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_transfer.learning_curve import forecast

SIZES = np.geomspace(50, 500, 6)


def draws(values: np.ndarray, noise: float, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    # As replicates are: moved up and down together, and each by itself.
    together = generator.normal(scale=noise, size=(200, 1))
    return values + together + generator.normal(scale=noise / 3, size=(200, len(values)))


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.floats(0.0, 1.0), min_size=6, max_size=6),
    noise=st.floats(1e-4, 0.1),
    beyond=st.floats(1.0, 3.0),
)
def test_gains_are_bounded_and_grow_with_the_labels(
    values: list[float], noise: float, beyond: float
) -> None:
    scores = np.array(values)
    base = beyond * SIZES[-1]
    found = forecast(
        SIZES, scores, draws(scores, noise), base=base, targets=[base, 2 * base, 4 * base]
    )
    assert found[0].mean == found[0].interval.high == 0
    for less, more in itertools.pairwise(found):
        assert less.mean <= more.mean + 1e-12
        assert less.interval.low <= more.interval.low + 1e-12
        assert less.interval.high <= more.interval.high + 1e-12
    for gain in found:
        assert 0 <= gain.interval.low <= gain.mean <= gain.interval.high
        # Never above the best score, whatever was measured at the largest size.
        low = scores[-1] - 3.5 * np.sqrt(draws(scores, noise).var(axis=0)[-1] * 1.1 + 0.004**2)
        assert gain.interval.high <= 1 - min(low, 1) + 1e-9


@pytest.mark.parametrize("exponent", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("asymptote", [0.75, 0.9])
def test_a_power_law_is_carried_on(exponent: float, asymptote: float) -> None:
    def score(n: float | np.ndarray) -> float | np.ndarray:
        return asymptote - 0.2 * (n / 50) ** -exponent

    values = np.asarray(score(SIZES))
    found = forecast(SIZES, values, draws(values, 0.004), base=500, targets=[1000, 2000])
    for gain, size in zip(found, (1000, 2000), strict=True):
        truth = float(score(size) - score(500))
        assert gain.interval.low <= truth <= gain.interval.high
        assert abs(gain.mean - truth) < 0.6 * truth


def test_a_flat_curve_may_stay_flat() -> None:
    values = np.full(6, 0.8)
    (gain,) = forecast(SIZES, values, draws(values, 0.01), base=500, targets=[1000])
    assert gain.interval.low < 5e-4 and gain.mean < 0.01


def test_a_falling_curve_promises_next_to_nothing() -> None:
    values = np.linspace(0.85, 0.80, 6)
    (gain,) = forecast(SIZES, values, draws(values, 0.01), base=500, targets=[1000])
    assert gain.interval.low < 5e-4 and gain.mean < 0.01


def test_noise_widens_the_interval() -> None:
    values = 0.9 - 0.2 * (SIZES / 50) ** -0.5
    widths = []
    for noise in (0.002, 0.02, 0.1):
        (gain,) = forecast(SIZES, values, draws(values, noise), base=500, targets=[1000])
        widths.append(gain.interval.high - gain.interval.low)
    assert widths == sorted(widths) and widths[2] > 1.5 * widths[0]


def test_a_metric_below_nought_ends_at_nought() -> None:
    values = -0.5 - 0.5 * (SIZES / 50) ** -0.5
    (gain,) = forecast(SIZES, values, draws(values, 0.01), base=500, targets=[10_000], best=0.0)
    assert gain.interval.low > 0 and gain.interval.high < 0.7
