"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

from automl_transfer.budget import format_duration
from automl_transfer.recommendation import Interval
from automl_transfer.report.text import plain, plain_word

METRIC_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "neg_log_loss": "negated log-loss",
    "roc_auc": "ROC-AUC",
    "top5_accuracy": "top-5 accuracy",
    "neg_ece": "negated calibration error",
    "mean_average_precision": "mean average precision",
    "micro_f1": "micro F1",
    "subset_accuracy": "share with all labels right",
    "r2": "R²",
    "neg_mae": "negated mean absolute error",
    "neg_rmse": "negated root mean squared error",
}
_SHARES = frozenset(
    {
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "top5_accuracy",
        "mean_average_precision",
        "micro_f1",
        "subset_accuracy",
    }
)
NOTHING = "–"


def metric_words(metric: str) -> str:
    """The metric's name for people, in Markdown as anywhere else."""
    return METRIC_WORDS.get(metric) or plain_word(metric)


def in_per_cent(metric: str) -> bool:
    """Whether the metric runs from 0 to 1 and is shown in per cent."""
    return metric in _SHARES


def in_unit(metric: str) -> bool:
    """Whether the metric is in the unit of what is predicted, which may be of any size."""
    return metric in ("neg_mae", "neg_rmse")


def _plain_number(metric: str, value: float, form: str = "") -> str:
    return f"{value:{form}.4g}" if in_unit(metric) else f"{value:{form}.3f}"


def score(metric: str, value: float | None) -> str:
    """``94.1 %`` for metrics from 0 to 1, ``-0.213`` for others, a dash for None."""
    if value is None:
        return NOTHING
    return f"{100 * value:.1f} %" if in_per_cent(metric) else _plain_number(metric, value)


def between(metric: str, ends: Interval) -> str:
    """``92.7 to 95.3`` in hundredths for metrics from 0 to 1, ``0.871 to 0.902`` for others."""
    if in_per_cent(metric):
        return f"{100 * ends.low:.1f} to {100 * ends.high:.1f}"
    return f"{_plain_number(metric, ends.low)} to {_plain_number(metric, ends.high)}"


def interval(metric: str, ends: Interval | None) -> str:
    """``92.7 to 95.3 %``, or a dash."""
    if ends is None:
        return NOTHING
    return between(metric, ends) + (" %" if in_per_cent(metric) else "")


def difference(metric: str, value: float, sign: bool = False) -> str:
    """How far apart two scores are: ``1.8 points`` of per cent, or ``0.034``."""
    form = "+" if sign else ""
    if in_per_cent(metric):
        return f"{100 * value:{form}.1f} points"
    return _plain_number(metric, value, form)


def differences(metric: str, ends: Interval | None) -> str:
    """``0.9 to 2.6 points``, or a dash."""
    if ends is None:
        return NOTHING
    return between(metric, ends) + (" points" if in_per_cent(metric) else "")


def share(value: float) -> str:
    """A probability: ``62 %``, ``< 1 %``."""
    if 0 < value < 0.01:
        return "< 1 %"
    return "> 99 %" if 0.99 < value < 1 else f"{100 * value:.0f} %"


def latency(seconds: float) -> str:
    """``3.1 ms``, ``120 ms``, ``1.2 s``."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.1 else f"{1000 * seconds:.2g} ms"


def rate(samples: float) -> str:
    """Samples a second: ``38/s``, ``4,100/s``; a dash where that is not known."""
    if samples <= 0:
        return NOTHING
    return f"{samples:.2g}/s" if samples < 10 else f"{float(f'{samples:.2g}'):,.0f}/s"


def room(size: int) -> str:
    """Bytes: ``512 B``, ``13.6 MB``."""
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size >= unit:
            return f"{size / unit:.3g} {name}"
    return f"{size} B"


def duration(seconds: float) -> str:
    """``0.4s``, ``12s``, ``1h 30m``."""
    return f"{seconds:.1f}s" if 0 <= seconds < 10 else format_duration(seconds)


def took(seconds: float) -> str:
    """As :func:`duration`, but ``< 0.1s`` for what would be nothing: a head's share of a pack."""
    return "< 0.1s" if 0 <= seconds < 0.05 else duration(seconds)


def amount(number: int) -> str:
    """A number of parameters: ``512``, ``4.6M``."""
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


def outputs(kind: str, names: Sequence[str]) -> str:
    """What is predicted: ``3 classes``, ``1 label``, ``the number 'age'``."""
    if kind == "regression":
        return f"the number {plain(names[0] if names else '')!r}"
    if kind == "multi-label":
        return counted(len(names), "label")
    return counted(len(names), "class", "classes")


def counted(number: int, one: str, many: str | None = None) -> str:
    """``1 trial``, ``1,200 trials``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
