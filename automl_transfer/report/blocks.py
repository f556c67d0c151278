"""The parts that a report is made of. Their text is untrusted: the renderer makes it inert."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias


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


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is said about a few matters, each with a short name."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What a chart measures in one direction."""

    name: str
    share: bool = False
    """From 0 to 1, and shown in per cent."""
    logarithmic: bool = False


@dataclass(frozen=True, kw_only=True)
class Series:
    """Figures of a chart that belong together."""

    name: str
    kind: Literal["line", "points", "steps", "reference"]
    """``reference``: a thin line to compare with."""
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    """Lower ends of an interval for each ``y``; empty where there are none."""
    high: tuple[float, ...] = ()
    marks: tuple[str, ...] = ()
    """A number beside each point; empty where there are none."""

    def __post_init__(self) -> None:
        for others in (self.y, self.low, self.high, self.marks):
            if len(others) != len(self.x) and (others or others is self.y):
                raise ValueError(
                    f"A series must have as many figures in each direction, but {self.name!r} "
                    f"has {len(self.x)} and {len(others)}."
                )


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Figures to be drawn. A table beside it gives them to those who cannot see it."""

    title: str
    description: str
    """What is to be seen in it, for those who cannot see it."""
    x: Axis
    y: Axis
    series: tuple[Series, ...]


@dataclass(frozen=True, kw_only=True)
class Still:
    """What a browser shows of a sample."""

    media: str
    """Its media type."""
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """A sample, and what is said about it."""

    name: str
    words: str
    still: Still | None = None
    """None: it cannot be shown."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Samples side by side."""

    exhibits: tuple[Exhibit, ...]


Readable: TypeAlias = Heading | Paragraph | Bullets | Facts | Table | Listing | Gallery
"""What needs no drawing."""
Block: TypeAlias = Readable | Chart


def readable(blocks: Iterable[Block]) -> Iterator[Readable]:
    """All but the charts, whose figures are in tables as well."""
    return (block for block in blocks if not isinstance(block, Chart))


def columns(*names: str) -> tuple[Column, ...]:
    """Columns by name; ``>`` at its end sets one flush right, ``?`` makes it optional."""
    return tuple(
        Column(name=name.rstrip(">?"), number=">" in name[-2:], optional="?" in name[-2:])
        for name in names
    )
