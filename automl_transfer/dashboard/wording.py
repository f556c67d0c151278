"""Numbers and names as the page shows them: as the report does, and what only a page needs.

Names of studies, classes, files and plugins are untrusted text. Tables and ``st.code`` show text
as it is; wherever Streamlit reads Markdown, a name goes through :func:`code_span`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime

from automl_transfer.budget import format_duration
from automl_transfer.recommendation import Interval
from automl_transfer.report.figures import counted, in_per_cent, interval, metric_words, outputs
from automl_transfer.report.figures import score as score_text
from automl_transfer.report.text import plain, plain_word
from automl_transfer.report.text import plain_lines as printable

__all__ = [
    "ago",
    "code_span",
    "counted",
    "distinct",
    "finite",
    "in_per_cent",
    "interval_text",
    "metric_words",
    "outputs",
    "plain",
    "plain_word",
    "printable",
    "score_text",
    "seconds_since",
]


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


def distinct(names: Sequence[str]) -> list[str]:
    """Printable names, told apart by a number where they differ in what cannot be seen."""
    found: list[str] = []
    for name in map(plain, names):
        known, place = name, 2
        while known in found:
            known, place = f"{name} ({place})", place + 1
        found.append(known)
    return found


def finite(value: object) -> float:
    """A number of a stored document; 0 for what is none."""
    usable = isinstance(value, (int, float)) and math.isfinite(value)
    return float(value) if usable else 0.0  # type: ignore[arg-type]


def interval_text(metric: str, ends: Interval | None) -> str:
    """``92.7 to 95.3 %``, or an empty text."""
    if ends is None:
        return ""
    return interval(metric, ends)


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
