"""Numbers and names as the page shows them.

Names of studies, classes, files and plugins are untrusted text. Tables and ``st.code`` show text
as it is; wherever Streamlit reads Markdown, a name goes through :func:`code_span`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from automl_transfer.budget import format_duration
from automl_transfer.recommendation import Interval

METRIC_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "neg_log_loss": "negated log-loss",
}
_SHARES = frozenset({"accuracy", "balanced_accuracy", "macro_f1"})


def is_share(metric: str) -> bool:
    """Whether the metric runs from 0 to 1 and is shown in per cent."""
    return metric in _SHARES


def metric_words(metric: str) -> str:
    """The metric's name for people; one that is not known comes back as it is, made plain."""
    return METRIC_WORDS.get(metric, plain(metric))


def plain(text: object) -> str:
    """``text`` as one printable line.

    Control characters could reorder or hide what follows, and lone surrogates (file names that
    are not UTF-8) cannot be sent to a browser: both become a replacement sign.
    """
    return " ".join(printable(text).split())


def printable(text: object) -> str:
    """``text`` with its lines kept, and a replacement sign for what cannot be printed."""
    return "".join(
        char if char.isprintable() or char == "\n" else " " if char.isspace() else "\ufffd"
        for char in str(text)
    )


def code_span(text: object) -> str:
    """A Markdown code span that shows ``text`` literally, whatever is in it.

    Nothing is interpreted in a code span but its closing fence (CommonMark 0.31, section 6.1), so
    the fence is made longer than any run of backticks in the text. Escaping by backslash would not
    do: links, emoji codes and colours are found again in the text after it is unescaped.
    """
    line = plain(text) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{padding}{line}{padding}{fence}"


def score_text(metric: str, value: float | None) -> str:
    """``94.1 %`` for shares, ``-0.213`` for others, a dash for None."""
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if is_share(metric) else f"{value:.3f}"


def interval_text(metric: str, interval: Interval | None) -> str:
    """``92.7 to 95.3 %``, or an empty text."""
    if interval is None:
        return ""
    if is_share(metric):
        return f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %"
    return f"{interval.low:.3f} to {interval.high:.3f}"


def counted(number: int, one: str, many: str) -> str:
    """``1 trial``, ``1,200 trials``."""
    return f"{number:,} {one if number == 1 else many}"


def seconds_since(moment: object, now: datetime | None = None) -> float | None:
    """Seconds since a Unix time or an ISO 8601 text (UTC if it names no zone); None for others."""
    try:
        if isinstance(moment, (int, float)):
            then = datetime.fromtimestamp(moment, UTC)
        else:
            then = datetime.fromisoformat(str(moment))
            then = then if then.tzinfo else then.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return max(0.0, ((now or datetime.now(UTC)) - then).total_seconds())


def ago(moment: object, now: datetime | None = None) -> str:
    """``2m 5s ago``, or a dash."""
    seconds = seconds_since(moment, now)
    return "–" if seconds is None else f"{format_duration(seconds)} ago"
