from __future__ import annotations

from datetime import UTC, datetime

import pytest

from automl_transfer.dashboard.wording import (
    ago,
    code_span,
    interval_text,
    plain,
    printable,
    score_text,
    seconds_since,
)
from automl_transfer.recommendation import Interval

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\t c", "a b c"),
        ("\x1b[31mred", "\ufffd[31mred"),
        ("caf\udce9", "caf\ufffd"),
        ("right\u202eleft", "right\ufffdleft"),
        ("Übung 東", "Übung 東"),
    ],
)
def test_names_become_one_printable_line(text: str, shown: str) -> None:
    assert plain(text) == shown
    plain(text).encode("utf-8")


def test_lines_of_a_reason_are_kept() -> None:
    assert printable("first\n\x00second") == "first\n\ufffdsecond"


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("plain", "`plain`"),
        ("a`b", "``a`b``"),
        ("``", "``` `` ```"),
        ("<b>\n\n**x**", "`<b> **x**`"),
        ("", "` `"),
    ],
)
def test_code_span_fence_is_longer_than_what_it_holds(text: str, span: str) -> None:
    assert code_span(text) == span


def test_shares_are_per_cent_and_others_are_not() -> None:
    assert score_text("accuracy", 0.9312) == "93.1 %"
    assert score_text("neg_log_loss", -0.2131) == "-0.213"
    assert score_text("accuracy", None) == "–"
    assert interval_text("macro_f1", Interval(low=0.907, high=0.951)) == "90.7 to 95.1 %"
    assert interval_text("accuracy", None) == ""


def test_age_of_a_moment() -> None:
    assert seconds_since("2026-01-02T03:03:05+00:00", NOW) == 60
    assert seconds_since("2026-01-02T03:03:05", NOW) == 60
    assert seconds_since("yesterday", NOW) is None
    assert seconds_since(NOW.timestamp() - 60, NOW) == 60
    assert seconds_since(None, NOW) is None
    assert seconds_since(float("nan"), NOW) is None
    assert ago("2026-01-02T03:02:00+00:00", NOW) == "2m 5s ago"
