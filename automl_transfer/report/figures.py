"""Numbers as people read them."""

from __future__ import annotations

from automl_transfer.budget import format_duration
from automl_transfer.recommendation import Interval

METRIC_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "neg_log_loss": "negated log-loss",
}
_SHARES = frozenset({"accuracy", "balanced_accuracy", "macro_f1"})
NOTHING = "–"


def metric_words(metric: str) -> str:
    """The metric's name for people; an unknown one as it is."""
    return METRIC_WORDS.get(metric, metric)


def score(metric: str, value: float | None) -> str:
    """``94.1 %`` for metrics from 0 to 1, ``-0.213`` for others, a dash for None."""
    if value is None:
        return NOTHING
    return f"{100 * value:.1f} %" if metric in _SHARES else f"{value:.3f}"


def interval(metric: str, ends: Interval | None) -> str:
    """``92.7 to 95.3 %``, or a dash."""
    if ends is None:
        return NOTHING
    if metric in _SHARES:
        return f"{100 * ends.low:.1f} to {100 * ends.high:.1f} %"
    return f"{ends.low:.3f} to {ends.high:.3f}"


def duration(seconds: float) -> str:
    """``0.4s``, ``12s``, ``1h 30m``."""
    return f"{seconds:.1f}s" if 0 <= seconds < 10 else format_duration(seconds)


def amount(number: int) -> str:
    """A number of parameters: ``512``, ``4.6M``."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 trial``, ``1,200 trials``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
