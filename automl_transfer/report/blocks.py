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
    """Set flush right."""


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
    """Columns by name; a name that ends in ``>`` is set flush right."""
    return tuple(Column(name=name.removesuffix(">"), number=name.endswith(">")) for name in names)
