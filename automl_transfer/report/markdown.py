"""A report as Markdown (GitHub's flavour), in which no name can pretend to be markup."""

from __future__ import annotations

import re
from collections.abc import Iterable

from automl_transfer.report.blocks import (
    Block,
    Bullets,
    Facts,
    Gallery,
    Heading,
    Listing,
    Paragraph,
    Readable,
    Table,
    readable,
)
from automl_transfer.report.complete import report_blocks
from automl_transfer.report.material import Material
from automl_transfer.report.text import plain, plain_lines

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#|~&$@]")
"""Characters that mean something within a line, also in the common extensions."""
_LINKS = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)
"""What makes a bare address a link in GitHub's flavour."""
_STARTS = re.compile(r"^(\d{0,9})([-+=.)])(?=[-+=\s]|$)")
"""What begins a list, a rule or an underlined heading at the start of a line."""


def render(material: Material) -> str:
    """The whole report of a study."""
    return to_markdown(report_blocks(material))


def to_markdown(blocks: Iterable[Block]) -> str:
    """Blocks as Markdown text. Charts are left out: tables have their figures."""
    return "\n\n".join(map(_block, readable(blocks))) + "\n"


def escape(value: object) -> str:
    """``value`` as one line of Markdown that shows it literally (CommonMark 0.31, section 2.4)."""
    text = _SPECIAL.sub(r"\\\g<0>", plain(value))
    text = _LINKS.sub(r"\\\g<0>", text)
    return _STARTS.sub(r"\1\\\2", text)


def _block(block: Readable) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {escape(block.text)}"
        case Paragraph():
            return f"**{escape(block.text)}**" if block.strong else escape(block.text)
        case Bullets():
            return "\n".join(f"- {escape(item)}" for item in block.items)
        case Facts():
            return "\n".join(f"- **{escape(name)}:** {escape(text)}" for name, text in block.items)
        case Gallery():
            return "\n".join(
                f"- {escape(one.name)}: {escape(one.words)}" for one in block.exhibits
            )
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
