"""The parts that a report is made of. Their text is untrusted: the renderer makes it inert."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, kw_only=True)
class Heading:
    """Begins a section."""

    text: str
    level: int = 2
    """1 for the title of a whole report."""


@dataclass(frozen=True, kw_only=True)
class Paragraph:
    """Sentences."""

    text: str
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Bullets:
    """A list without order."""

    items: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Column:
    """The head of a column of a table."""

    name: str
    number: bool = False
    """Set flush right, and never broken into lines."""
    optional: bool = False
    """May be left out where the table would be too wide."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of as many cells as there are columns."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(
                    f"A row must have {len(self.columns)} cells, but got {len(row)}: {row!r}."
                )


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Text whose lines are kept: a command, what another program printed."""

    text: str


Block: TypeAlias = Heading | Paragraph | Bullets | Table | Listing


def columns(*names: str) -> tuple[Column, ...]:
    """Columns by name; ``>`` at its end sets one flush right, ``?`` makes it optional."""
    return tuple(
        Column(name=name.rstrip(">?"), number=">" in name[-2:], optional="?" in name[-2:])
        for name in names
    )
