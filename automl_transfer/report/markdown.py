"""A report as Markdown (GitHub's flavour), in which no name can pretend to be markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from automl_transfer.audit import Audit
from automl_transfer.recommendation import Recommendation
from automl_transfer.report.blocks import Block, Bullets, Heading, Listing, Paragraph, Table
from automl_transfer.report.complete import report_blocks
from automl_transfer.report.text import plain, plain_lines

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~&$@]")
"""Characters that mean something within a line, also in the common extensions."""
_LINKS = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)
"""What makes a bare address a link in GitHub's flavour."""
_STARTS = re.compile(r"^(\d{0,9})([-+=.)])(?=[-+=\s]|$)")
"""What begins a list, a rule or an underlined heading at the start of a line."""


def render(
    recommendation: Recommendation,
    data: Mapping[str, Any] | None,
    quarantined: int,
    audit: Audit | None = None,
) -> str:
    """The whole report of a study.

    Args:
        recommendation: The answer.
        data: The study's document ``data`` (:class:`~automl_transfer.events.DataLoaded` as JSON),
            or None when it is not known.
        quarantined: Number of items that could not be read.
        audit: Of the data; None for a study that was made without one.
    """
    return to_markdown(report_blocks(recommendation, data, quarantined, audit))


def to_markdown(blocks: Iterable[Block]) -> str:
    """Blocks as Markdown text."""
    return "\n\n".join(_block(block) for block in blocks) + "\n"


def escape(value: object) -> str:
    """``value`` as one line of Markdown that shows it literally (CommonMark 0.31, section 2.4)."""
    text = _SPECIAL.sub(r"\\\g<0>", plain(value))
    text = _LINKS.sub(r"\\\g<0>", text)
    return _STARTS.sub(r"\1\\\2", text)


def _block(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {escape(block.text)}"
        case Paragraph():
            return f"**{escape(block.text)}**" if block.strong else escape(block.text)
        case Bullets():
            return "\n".join(f"- {escape(item)}" for item in block.items)
        case Table():
            return _table(block)
        case Listing():
            return _fenced(block.text)


def _table(table: Table) -> str:
    rules = ("---:" if column.number else "---" for column in table.columns)
    lines = [
        [escape(column.name) for column in table.columns],
        rules,
        *([escape(cell) for cell in row] for row in table.rows),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _fenced(text: str) -> str:
    lines = plain_lines(text)
    # Longer than any run of backticks inside, so that nothing inside can end it.
    longest = max((len(run) for run in re.findall("`+", lines)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{lines}\n{fence}"
