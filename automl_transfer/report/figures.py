"""Numbers as people read them."""

from __future__ import annotations

from automl_transfer.budget import format_duration
from automl_transfer.recommendation import Interval
from automl_transfer.report.text import plain

METRIC_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "neg_log_loss": "negated log-loss",
    "roc_auc": "ROC-AUC",
    "top5_accuracy": "top-5 accuracy",
    "neg_ece": "negated calibration error",
}
_SHARES = frozenset({"accuracy", "balanced_accuracy", "macro_f1", "top5_accuracy"})
NOTHING = "–"


def metric_words(metric: str) -> str:
    """The metric's name for people; one that is not known comes back as it is, made plain."""
    return METRIC_WORDS.get(metric, plain(metric))


def is_share(metric: str) -> bool:
    """Whether the metric runs from 0 to 1 and is shown in per cent."""
    return metric in _SHARES


def score(metric: str, value: float | None) -> str:
    """``94.1 %`` for metrics from 0 to 1, ``-0.213`` for others, a dash for None."""
    if value is None:
        return NOTHING
    return f"{100 * value:.1f} %" if is_share(metric) else f"{value:.3f}"


def interval(metric: str, ends: Interval | None) -> str:
    """``92.7 to 95.3 %``, or a dash."""
    if ends is None:
        return NOTHING
    if is_share(metric):
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
