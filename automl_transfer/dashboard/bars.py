"""Intervals as small pictures for the cells of a table: all on one scale, tiers by shape too."""

from __future__ import annotations

import math
from urllib.parse import quote

import pandas as pd

_WIDTH, _HEIGHT, _EDGE = 136, 24, 6
_COLOURS = {1: "#0072B2", 2: "#B26E00", 3: "#808080"}
"""Readable on white and on black."""
_OTHER = "#808080"


def interval_bars(frame: pd.DataFrame) -> list[str | None]:
    """A picture for each row, as a data address; None for a row without a score.

    Args:
        frame: Columns ``value``, ``low``, ``high`` (all may be missing) and ``tier``.
    """
    ends = frame[["low", "value", "high"]].min(axis=1), frame[["low", "value", "high"]].max(axis=1)
    least, most = float(ends[0].min()), float(ends[1].max())
    span = most - least if most > least else 1.0

    def place(value: float) -> float:
        return _EDGE + (_WIDTH - 2 * _EDGE) * (value - least) / span

    found: list[str | None] = []
    for tier, low, value, high in frame[["tier", "low", "value", "high"]].itertuples(index=False):
        if math.isnan(value):
            found.append(None)
            continue
        known = None if pd.isna(tier) else int(tier)
        bar = None if math.isnan(low) else (place(low), place(high))
        found.append(_picture(place(value), bar, known))
    return found


def _picture(at: float, bar: tuple[float, float] | None, tier: int | None) -> str:
    colour, middle = _COLOURS.get(tier or 0, _OTHER), _HEIGHT / 2
    line = ""
    if bar is not None:
        line = (
            f'<path d="M{bar[0]:.1f} {middle}H{bar[1]:.1f}M{bar[0]:.1f} {middle - 4}v8'
            f'M{bar[1]:.1f} {middle - 4}v8" stroke="{colour}" stroke-width="2" fill="none"/>'
        )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}">{line}'
        f"{_mark(at, middle, tier, colour)}</svg>"
    )
    return f"data:image/svg+xml,{quote(svg)}"


def _mark(at: float, middle: float, tier: int | None, colour: str) -> str:
    """A disc for tier 1, a square for tier 2, a triangle for tier 3, else a ring."""
    if tier == 1:
        return f'<circle cx="{at:.1f}" cy="{middle}" r="5" fill="{colour}"/>'
    if tier == 2:
        return (
            f'<rect x="{at - 4.5:.1f}" y="{middle - 4.5}" width="9" height="9" fill="{colour}"/>'
        )
    if tier == 3:
        return f'<path d="M{at - 5:.1f} {middle - 4}h10l-5 9z" fill="{colour}"/>'
    return (
        f'<circle cx="{at:.1f}" cy="{middle}" r="4" stroke="{colour}" stroke-width="2" '
        'fill="none"/>'
    )
