"""The section *What mattered* of the search page."""

from __future__ import annotations

import streamlit as st

from automl_transfer.dashboard import tables
from automl_transfer.dashboard.budget_chart import STAGES
from automl_transfer.dashboard.drawing import drawn
from automl_transfer.dashboard.importance_chart import (
    BEYOND,
    MOST_BARS,
    importance_chart,
    importance_rows,
)
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import code_span, counted, metric_words


def mattered(study: Snapshot) -> None:
    """Draws the choices of each stage beside what chance reaches."""
    if not study.importances:
        st.info("What mattered is computed when the search ends.")
        return
    drawn_any = False
    for stage, stored in study.importances.items():
        frame = importance_rows(stored)
        if frame.empty:
            continue
        drawn_any = True
        beyond = list(frame.loc[frame["verdict"] == BEYOND, "choice"])
        what = f" ({STAGES[stage]})" if stage in STAGES else ""
        names = ", ".join(map(code_span, beyond[:5])) + (", ..." if len(beyond) > 5 else "")
        said = f"more than chance: {names}" if beyond else "no choice is told from chance"
        st.markdown(f"**Stage {code_span(stage)}**{what}: {said}")
        drawn(importance_chart(frame), _words(len(frame)))
        with st.expander(f"The {counted(len(frame), 'choice')} as a table"):
            _table(frame, study.metric)
    if not drawn_any:
        st.info(
            "Nothing can be said of what mattered: no stage has enough finished trials that "
            "differ in a choice."
        )


def _words(choices: int) -> str:
    cap = f" Drawn are the first {MOST_BARS} of {choices}." if choices > MOST_BARS else ""
    return (
        "A bar is the share of the scatter of the scores that goes with one choice. The tick is "
        "what shuffled results stay below, for all choices together with 95 %: a bar that does "
        "not pass it is grey, marked 'chance', and not distinguishable from chance. Choices are "
        "looked at one at a time, so one that always came with another has the share of both."
        f"{cap}"
    )


def _table(frame: object, metric: str) -> None:
    import pandas as pd

    assert isinstance(frame, pd.DataFrame)
    column = st.column_config
    tables.table(
        frame.assign(
            share=100 * frame["share"],
            chance=100 * frame["chance"],
            median=tables.scaled(frame["median"], metric),
        ),
        column_config={
            "share": column.NumberColumn(format="%.0f %%"),
            "chance": column.NumberColumn("chance reaches", format="%.0f %%"),
            "best": column.TextColumn("best value"),
            "median": column.NumberColumn(
                f"its median {metric_words(metric)}", format=tables.number_format(metric)
            ),
        },
    )
