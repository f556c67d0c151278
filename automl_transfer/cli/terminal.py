"""Writes to the terminal. Text that is not ours goes through here, and becomes inert."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

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
from automl_transfer.report.text import plain, plain_lines

UNBOUNDED = 100_000
"""Columns where no terminal is: a pipe wraps nothing and cuts nothing."""
SHORT = 12
"""Up to so many columns a cell with a name stays whole."""
GAP = 2
"""Spaces between the columns of a table."""


def console(*, stderr: bool = False) -> Console:
    """A console without markup, emoji codes and highlighting, as wide as what reads it."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNBOUNDED
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def write_blocks(blocks: Iterable[Block]) -> None:
    """Blocks of a report on standard output. Charts are left out: tables have their figures."""
    out = console()
    with out.capture() as captured:
        for position, block in enumerate(readable(blocks)):
            if isinstance(block, Heading) and position:
                out.print()
            # A command is copied: the terminal may wrap it, but no line break is put into it.
            out.print(rendered(block, out.width), soft_wrap=isinstance(block, Listing))
    sys.stdout.write(captured.get())


def rendered(block: Readable, width: int = UNBOUNDED) -> RenderableType:
    """One block, with its text inert."""
    match block:
        case Heading():
            return Text(plain(block.text), style="bold underline" if block.level == 1 else "bold")
        case Paragraph():
            return Text(plain(block.text), style="bold green" if block.strong else "")
        case Bullets():
            return Text("\n".join(f"* {plain(item)}" for item in block.items))
        case Facts():
            return Text("\n").join(
                Text.assemble((f"{plain(name)}: ", "bold"), plain(text))
                for name, text in block.items
            )
        case Gallery():
            return Text(
                "\n".join(f"* {plain(one.name)}: {plain(one.words)}" for one in block.exhibits)
            )
        case Table():
            return rich_table(block, width)
        case Listing():
            return Text("\n".join(f"  {line}" for line in plain_lines(block.text).split("\n")))


def rich_table(table: Table, width: int = UNBOUNDED) -> RichTable:
    """A table whose cells are plain text, folded rather than cut.

    Args:
        table: What to show.
        width: Columns of the terminal; optional columns are left out, from the right, until the
            table fits.
    """
    cells = [[plain(cell) for cell in row] for row in table.rows]
    heads = [plain(column.name) for column in table.columns]
    # Numbers and the words of a head stay whole; names give way.
    widest = [
        max((cell_len(row[position]) for row in cells), default=0)
        for position in range(len(heads))
    ]
    natural = [
        max(most, *map(cell_len, (*head.split(), "")))
        for head, most in zip(heads, widest, strict=True)
    ]
    kept = list(range(len(heads)))
    for position in reversed(range(len(heads))):
        if sum(natural[index] + GAP for index in kept) - GAP <= width:
            break
        if table.columns[position].optional:
            kept.remove(position)
    whole = [
        natural[index] if table.columns[index].number else min(SHORT, natural[index])
        for index in kept
    ]
    # Where not even that fits, rich decides; with minima it would cut what is too wide.
    fits = sum(least + GAP for least in whole) <= width
    made = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for position, least in zip(kept, whole, strict=True):
        made.add_column(
            Text(heads[position]),
            justify="right" if table.columns[position].number else "left",
            overflow="fold",
            min_width=least if fits else None,
        )
    for row in cells:
        made.add_row(*(Text(row[position]) for position in kept))
    return made
