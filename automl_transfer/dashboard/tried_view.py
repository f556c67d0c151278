"""The section *What was tried* of the search page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from automl_transfer.dashboard import bound, heat_map, places, tables
from automl_transfer.dashboard.derived import derived
from automl_transfer.dashboard.drawing import clickable
from automl_transfer.dashboard.frame import View
from automl_transfer.dashboard.wording import counted, metric_words
from automl_transfer.jsonable import digest

_ALL = ""


def tried(view: View) -> None:
    """Draws the map; a click on a cell leads to its trials."""
    study = view.study
    if not study.everything:
        st.info("No trial has begun yet.")
        return
    heads = heat_map.heads(study)
    asked = bound.choice("Head", "head", {_ALL: "all heads", **{name: name for name in heads}})
    head = None if asked == _ALL else asked
    found = derived(study, f"tried {asked}", lambda: heat_map.tried(study, head))
    if not found.cells.empty:
        never = counted(found.never, "pair was", "pairs were")
        words = (
            f"A cell is the best {metric_words(study.metric)} of a backbone with a strategy, on "
            "the validation part, and beneath it the number of trials; darker is better. "
            f"{never} never tried; what no trial had at all is not drawn, and *Screened out* says "
            "why. Click a cell, of the map or of the table, to see its trials."
        )
        chart = derived(study, f"map of {asked}", lambda: heat_map.heat_map(found, study.metric))
        state = clickable(chart, words + _cap(found), f"tried-{head or ''}")
        _follow(view, head, _cell(state))
        with st.expander("The same as a table"):
            _follow(view, head, _of_table(heat_map.as_table(found, study.metric)))


def _cap(found: heat_map.Tried) -> str:
    if found.backbones <= heat_map.MOST_BACKBONES and found.strategies <= heat_map.MOST_STRATEGIES:
        return ""
    return (
        f" Shown are the best {min(found.backbones, heat_map.MOST_BACKBONES)} of "
        f"{found.backbones:,} backbones and {min(found.strategies, heat_map.MOST_STRATEGIES)} of "
        f"{found.strategies:,} strategies."
    )


def _cell(state: Any) -> Mapping[str, Any] | None:
    """What was clicked, as the browser says it."""
    try:
        cells = state["selection"]["cell"]
        return cells[0] if cells and isinstance(cells[0], Mapping) else None
    except (KeyError, TypeError, IndexError):
        return None


def _of_table(frame: pd.DataFrame) -> Mapping[str, Any] | None:
    """Draws the table; what was clicked in it."""
    backbones = list(frame.iloc[:, 0])
    # Streamlit keeps a selection by position: a table in another order must be another table.
    key = f"tried-cells-{digest([backbones, list(frame.columns)], 12)}"
    state = tables.table(frame, key=key, on_select="rerun", selection_mode="single-cell")
    try:
        row, column = state["selection"]["cells"][0]
        cell = {"backbone": backbones[row]}
        return cell if column == frame.columns[0] else {**cell, "strategy": str(column)}
    except (KeyError, TypeError, IndexError, ValueError):
        return None


def _follow(view: View, head: str | None, cell: Mapping[str, Any] | None) -> None:
    if cell is None:
        return
    asked = {name: str(cell[name]) for name in ("backbone", "strategy") if name in cell}
    if asked:
        asked |= {} if head is None else {"head": head}
        places.go("leaderboard", study=view.name, **asked)
