"""What was left out, what the user should know, and what it takes to repeat a study."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from automl_transfer.recommendation import Exclusion, Recommendation
from automl_transfer.report.blocks import (
    Block,
    Bullets,
    Heading,
    Listing,
    Paragraph,
    Table,
    columns,
)
from automl_transfer.report.figures import NOTHING, counted, duration


def why_not_section(rows: Iterable[Exclusion]) -> list[Block]:
    """What was not tried, and why."""
    listed = tuple((row.what, row.reason) for row in rows)
    section: list[Block] = [Heading(text="Why not")]
    if listed:
        section.append(Table(columns=columns("left out", "why"), rows=listed))
    else:
        section.append(Paragraph(text="Nothing that was asked for was left out."))
    return section


def screen_section(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    """How the backbones scored before any training.

    Args:
        rows: The study's document ``screen``: a :class:`~automl_transfer.events.BackboneScreened`
            for each backbone, as JSON.
    """
    section: list[Block] = [Heading(text="Screening")]
    if not rows:
        return [*section, Paragraph(text="No backbone has been screened yet.")]
    ordered = sorted(rows, key=lambda row: (-float(row["score"]), str(row["backbone"])))
    others = sorted({name for row in rows for name in row.get("scores") or {}})
    others = [name for name in others if any(name != row["ranker"] for row in rows)]
    table = Table(
        columns=columns(
            "backbone",
            "score>",
            "ranker",
            *(f"{name}>" for name in others),
            "samples>",
            "time>",
            "verdict",
        ),
        rows=tuple(
            (
                str(row["backbone"]),
                f"{float(row['score']):.3f}",
                str(row["ranker"]),
                *(_score(row, name) for name in others),
                str(row["samples"]),
                "from the cache" if row["cached"] else duration(float(row["seconds"])),
                str(row.get("verdict") or ""),
            )
            for row in ordered
        ),
    )
    return [*section, table]


def _score(row: Mapping[str, Any], ranker: str) -> str:
    value = (row.get("scores") or {}).get(ranker)
    return NOTHING if value is None else f"{float(value):.3f}"


def notes_section(notes: Sequence[str], quarantined: int) -> list[Block]:
    """What the user should know; empty when there is nothing.

    Args:
        notes: Texts of the search.
        quarantined: Number of items that could not be read.
    """
    items = list(notes)
    if quarantined and not any("quarantined.csv" in note for note in notes):
        items.append(
            f"{counted(quarantined, 'item')} could not be read and "
            f"{'was' if quarantined == 1 else 'were'} left out; quarantined.csv lists them."
        )
    return [Heading(text="Notes"), Bullets(items=tuple(items))] if items else []


def provenance_section(recommendation: Recommendation) -> list[Block]:
    """Versions, machine, weights, and the command that repeats the search."""
    section: list[Block] = [Heading(text="How to repeat it")]
    if recommendation.command:
        section.append(Listing(text=recommendation.command))
    if recommendation.provenance:
        rows = tuple(_flat(recommendation.provenance))
        section.append(Table(columns=columns("what", "value"), rows=rows))
    return section


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}, ")
        elif value is not None:
            yield f"{prefix}{key}", str(value)
