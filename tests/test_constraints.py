from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_transfer.constraints import exact_latency, license_obstacle, parse_latency
from automl_transfer.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("20ms", 0.02), ("0.5s", 0.5), (" 1.5 MS ", 0.0015), ("2 s", 2.0)]
)
def test_a_latency_is_a_number_with_its_unit(text: str, seconds: float) -> None:
    assert parse_latency(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["20", "0ms", "-5ms", "ms", "20us", "1m", "", "nan ms"])
def test_a_latency_without_a_unit_or_a_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--max-latency is a time above 0 with its unit"):
        parse_latency(text)


@given(st.floats(1e-6, 1e3))
def test_a_latency_survives_the_command_line(seconds: float) -> None:
    assert parse_latency(exact_latency(seconds)) == pytest.approx(seconds, rel=1e-6)


@pytest.mark.parametrize(
    "license",
    [
        "Apache-2.0",
        "mit",
        "CC-BY-4.0",
        "MIT AND BSD-3-Clause",
        "CC-BY-NC-4.0 OR Apache-2.0",
        "MIT AND (GPL-2.0-only OR ISC)",
        "Apache-2.0 WITH LLVM-exception",
    ],
)
def test_licences_that_allow_any_use_pass(license: str) -> None:
    assert license_obstacle(license) is None


@pytest.mark.parametrize(
    "license",
    [
        "CC-BY-NC-4.0",
        "CC-BY-SA-4.0",
        "AGPL-3.0-only",
        "MIT AND CC-BY-NC-4.0",
        "GPL-3.0-only OR CC-BY-NC-4.0",
        "GPL-2.0-only WITH Classpath-exception-2.0",
        "LicenseRef-fair-noncommercial-research-license",
        "no licence that anyone knows",
    ],
)
def test_other_licences_are_named(license: str) -> None:
    reason = license_obstacle(license)
    assert reason is not None and license in reason and "--license permissive" in reason


@pytest.mark.parametrize("license", [None, "", "  "])
def test_what_is_not_known_to_be_allowed_does_not_pass(license: str | None) -> None:
    assert "not known" in str(license_obstacle(license))


@settings(deadline=None)
@given(st.text(max_size=30))
def test_no_text_breaks_the_check(text: str) -> None:
    reason = license_obstacle(text)
    assert reason is None or reason.strip()
