"""What transfer and what searching have gained."""

from __future__ import annotations

from automl_transfer.recommendation import (
    DEFAULT_FINE_TUNE,
    FROM_SCRATCH,
    Baseline,
    Recommendation,
)
from automl_transfer.report.figures import difference, differences

_GAINS = {
    FROM_SCRATCH: ("Gain of transfer", "the winner against the same architecture from scratch"),
    DEFAULT_FINE_TUNE: ("Gain of searching", "the winner against the plain default fine-tune"),
}
"""Name of a baseline to what the winner's lead over it is called."""


def gains(recommendation: Recommendation) -> list[tuple[str, str]]:
    """A line for the gain of transfer and one for that of searching, if they were looked for."""
    by_name = {row.name: row for row in recommendation.baselines}
    return [
        (title, f"{_lead(recommendation, by_name[name])} ({against}).")
        for name, (title, against) in _GAINS.items()
        if name in by_name
    ]


def is_gain(row: Baseline) -> bool:
    """Whether the winner's lead over a baseline has a line of its own."""
    return row.name in _GAINS


def _lead(recommendation: Recommendation, row: Baseline) -> str:
    metric = recommendation.metric
    if row.value is None:
        why = row.description.rstrip(".")
        return why if why.startswith("not ") else f"not measured: {why}"
    ends = row.gain
    if ends is None:
        lead = difference(metric, recommendation.test.value - row.value, sign=True)
        return f"{lead}; without an interval"
    # Of a baseline that was scored on some of the samples, the lead on these.
    lead = difference(metric, (ends.low + ends.high) / 2, sign=True)
    text = f"{lead}, 95 % interval {differences(metric, ends)}"
    if ends.low > 0:
        return text
    return f"{text}: {'a loss' if ends.high < 0 else 'no gain is shown'}"
