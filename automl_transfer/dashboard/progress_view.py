"""The top of the search page, drawn again by itself while the search runs."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from automl_transfer.dashboard import cached, places
from automl_transfer.dashboard.derived import derived
from automl_transfer.dashboard.drawing import drawn
from automl_transfer.dashboard.improving import RULE, chance_of, improvement, sentence
from automl_transfer.dashboard.progress_chart import best_so_far, lower_edge
from automl_transfer.dashboard.progress_rows import MOST_POINTS, Progress, progress
from automl_transfer.dashboard.sections import section
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import counted, metric_words, score_text

_AXES = {"time": "Over time", "trials": "Over trials"}


def draw(directory: Path, name: str) -> None:
    """Draws the sentence and the best so far.

    Args:
        directory: Of the study.
        name: Of the study, in addresses.
    """
    study = cached.snapshot(directory)
    if not isinstance(study, Snapshot):
        return  # the head of the page says what is wrong
    found = derived(study, "progress", lambda: progress(study))
    judged = improvement(found, chance_of(study))
    st.markdown(f"#### {sentence(study, judged)}")
    if found.rows.empty:
        return
    axis = section("Axis", "axis", _AXES)
    chart = derived(
        study,
        f"progress over {axis}",
        lambda: best_so_far(found, study.metric, by_time=axis == "time"),
    )
    drawn(chart, _words(study, found, axis))
    if judged is not None:
        places.link(
            "trial", f"The last gain: trial {judged.trial}", study=name, trial=judged.trial
        )
        if judged.verdict != "few":
            st.caption(RULE)


def _words(study: Snapshot, found: Progress, axis: str) -> str:
    parts = []
    finished = found.finished
    if not finished.empty:
        first, last = finished["best"].iloc[0], finished["best"].iloc[-1]
        gains = counted(int(finished["gain"].sum()) - 1, "step")
        parts.append(
            f"The line is the best {metric_words(study.metric)} on the validation part until "
            f"then: {score_text(study.metric, first)} at first, {score_text(study.metric, last)} "
            f"after {gains} up."
        )
    parts.append("A point is a trial: colour by stage, shape by state.")
    if len(found.rows) > MOST_POINTS:
        parts.append(
            f"Drawn are {MOST_POINTS:,} of {len(found.rows):,}: all that were a gain, and a "
            "regular sample of the others."
        )
    edge = lower_edge(found)
    if edge is not None:
        below = int((found.rows["value"] < edge).sum())
        one = counted(below, "trial is", "trials are")
        parts.append(f"{one} worse than the chart reaches, and drawn at its edge.")
    if axis == "time" and not found.timed:
        parts.append("When they ran is not known, so they stand in the order in which they ended.")
    return " ".join(parts)
