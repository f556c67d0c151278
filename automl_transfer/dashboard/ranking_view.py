"""The ranking: filters, the table, and the choice of a trial that survives new rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from automl_transfer.dashboard import address, rows, tables
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import metric_words
from automl_transfer.jsonable import digest

MOST_ROWS = 1000
"""Rows of the table that are sent to the browser; the filters reach the others."""
_REMEMBERS = tables.knows("selection_default")
"""Newer versions of Streamlit can draw a table with a row selected."""


def show(snapshot: Snapshot, name: str) -> None:
    """Draws the filters and the table; a selected row puts its trial into the address."""
    frame = rows.ranking(snapshot)
    if frame.empty:
        st.info("No trial has begun yet. This table fills as the search goes on.")
        return
    frame = rows.filtered(frame, _filters(frame))
    if frame.empty:
        st.info("No trial fits these filters. Remove one of them.")
        return
    if len(frame) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS:,} of {len(frame):,} trials; the filters narrow them.")
        frame = frame.head(MOST_ROWS)
    _table(frame, snapshot.metric, name)


def _filters(frame: pd.DataFrame) -> dict[str, list[str]]:
    chosen = {}
    columns = ("backbone", "head", "strategy", "state")
    for place, column in zip(st.columns(len(columns)), columns, strict=True):
        options = sorted(set(frame[column]))
        chosen[column] = place.multiselect(
            column.capitalize(), options, key=f"filter-{column}", placeholder="all"
        )
    return chosen


def _table(frame: pd.DataFrame, metric: str, name: str) -> None:
    numbers = [int(number) for number in frame["trial"]]
    # Streamlit keeps a selection by position, so that it would slip to another trial when a row
    # comes in above it: a table with other rows is another table, with its row selected anew.
    key = f"ranking-{digest([name, numbers], 12)}"
    wanted = address.wanted_trial()
    position = [place for place, number in enumerate(numbers) if str(number) == wanted]
    selection: dict[str, Any] = {"selection": {"rows": position}}
    options: dict[str, Any] = {"selection_default": selection} if _REMEMBERS else {}
    if _REMEMBERS and key in st.session_state:
        held = list(st.session_state[key]["selection"]["rows"])
        if held != position:
            # The address has changed by a link or by going back.
            st.session_state[key] = selection
            del options["selection_default"]
    tables.table(
        frame.assign(
            value=tables.scaled(frame["value"], metric), trainable=100 * frame["trainable"]
        ),
        key=key,
        height=min(38 + 35 * len(frame), 460),
        on_select=lambda: _choose(key, numbers, name),
        selection_mode="single-row",
        column_config=_columns(metric),
        **options,
    )


def _choose(key: str, numbers: Sequence[int], name: str) -> None:
    selected = list(st.session_state[key]["selection"]["rows"])
    address.go_to(name, numbers[selected[0]] if selected else None)


def _columns(metric: str) -> dict[str, Any]:
    column = st.column_config
    return {
        "rank": column.NumberColumn("rank", width="small"),
        "trial": column.NumberColumn("trial", width="small"),
        "backbone": column.TextColumn("backbone", width="medium"),
        "head": column.TextColumn("head", width="small"),
        "strategy": column.TextColumn("strategy", width="small"),
        "value": column.NumberColumn(
            metric_words(metric),
            format=tables.number_format(metric),
            help="On validation data, on which the ranking was also made: a little optimistic.",
        ),
        "interval": column.TextColumn(
            "95 % interval", help="Bootstrap over the validation samples."
        ),
        "seconds": column.NumberColumn("seconds", format="%.1f"),
        "trainable": column.NumberColumn(
            "trainable",
            format="%.2f %%",
            help="Share of all parameters that the freeze strategy let train.",
        ),
        "state": column.TextColumn("state", width="small"),
        "curve": column.LineChartColumn("curve", help="The metric by epoch.", width="small"),
    }
