from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from automl_transfer.budget import (
    Budget,
    Stopwatch,
    exact_duration,
    format_duration,
    parse_duration,
)
from automl_transfer.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("45", 45), (" 1.5 H ", 5400)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5x", "-5m", "m5", "1h30", "1e3", "nan"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"A duration is a number with s, m, h or d .* but got"):
        parse_duration(text)


@given(st.integers(0, 59), st.sampled_from("smhd"))
def test_what_is_written_is_read_again(amount: int, unit: str) -> None:
    seconds = parse_duration(f"{amount}{unit}")
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.floats(0, 1e7))
@example(92_776.0)  # 1d 1h 46m, which was shown as 1d 1h
@settings(deadline=None)
def test_what_is_shown_is_close_to_what_is_meant(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=0.021, abs=0.51)


@given(st.floats(0, 1e20))
def test_an_exact_text_is_read_as_the_same_number(seconds: float) -> None:
    assert parse_duration(exact_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5400, "1h30m"), (300.0, "5m"), (5445, "5445s"), (90061.0, "90061s"), (30.25, "30.25s")],
)
def test_an_exact_text_is_short_where_it_can_be(seconds: float, text: str) -> None:
    assert exact_duration(seconds) == text


def test_a_budget_is_time_or_trials_or_both() -> None:
    assert Budget(seconds=300).text == "5m"
    assert Budget(seconds=5400, trials=20).text == "1h 30m or 20 trials"


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, "needs --budget or --trials, but got neither"),
        ({"seconds": 5.0}, "--budget must be at least 30s, but got 5s"),
        ({"seconds": float("nan")}, "--budget must be a number of seconds, but got nan"),
        ({"seconds": float("inf")}, "--budget must be a number of seconds, .* --trials only"),
        ({"trials": 0}, "--trials must be at least 1, but got 0"),
    ],
)
def test_a_budget_for_nothing_is_refused(options: dict, rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        Budget(**options)


def test_time_counts_over_sessions() -> None:
    now = [100.0]
    watch = Stopwatch(Budget(seconds=60.0), spent=20.0, now=lambda: now[0])
    now[0] = 115.0
    assert (watch.elapsed, watch.left, watch.share(0.5)) == (35.0, 25.0, 30.0)
    endless = Stopwatch(Budget(trials=3), now=lambda: now[0])
    assert endless.left == endless.share(0.1) == float("inf")
