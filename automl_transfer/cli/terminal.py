"""Writes to the terminal. Text that is not ours goes through here, and becomes inert."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from automl_transfer.report.blocks import Block, Bullets, Heading, Listing, Paragraph, Table
from automl_transfer.report.text import plain, plain_lines

UNBOUNDED = 100_000
"""Columns where no terminal is: a pipe wraps nothing and cuts nothing."""


def console(*, stderr: bool = False) -> Console:
    """A console without markup, emoji codes and highlighting, as wide as what reads it."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNBOUNDED
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def warn(text: str) -> None:
    """A warning on standard error."""
    print(f"warning: {plain(text)}", file=sys.stderr)


def inform(text: str) -> None:
    """A line on standard error that is no warning."""
    print(plain_lines(text), file=sys.stderr)


def write_json(value: Any) -> None:
    """JSON on standard output, in ASCII: what cannot be printed is an escape sequence of JSON."""
    print(json.dumps(value, indent=2, allow_nan=False))


def write_blocks(blocks: Iterable[Block], target: Console | None = None) -> None:
    """Blocks of a report, on standard output if nothing else is said."""
    out = target or console()
    for position, block in enumerate(blocks):
        if isinstance(block, Heading) and position:
            out.print()
        out.print(rendered(block))


def rendered(block: Block) -> RenderableType:
    """One block, with its text inert."""
    match block:
        case Heading():
            return Text(plain(block.text), style="bold underline" if block.level == 1 else "bold")
        case Paragraph():
            return Text(plain(block.text), style="bold green" if block.strong else "")
        case Bullets():
            return Text("\n".join(f"* {plain(item)}" for item in block.items))
        case Table():
            return rich_table(block)
        case Listing():
            return Text("\n".join(f"  {line}" for line in plain_lines(block.text).split("\n")))


def rich_table(table: Table) -> RichTable:
    """A table whose cells are plain text, folded rather than cut."""
    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in table.columns:
        made.add_column(
            Text(plain(column.name)),
            justify="right" if column.number else "left",
            overflow="fold",
        )
    for row in table.rows:
        made.add_row(*(Text(plain(cell)) for cell in row))
    return made
