"""The section *Failed and pruned* of the search page."""

from __future__ import annotations

import streamlit as st

from automl_transfer.budget import format_duration
from automl_transfer.dashboard import places, search_rows
from automl_transfer.dashboard.derived import derived
from automl_transfer.dashboard.frame import View
from automl_transfer.dashboard.search_rows import Failure
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import counted

MOST_REASONS, MOST_LINKS = 20, 5
"""Groups, and trials of each, that are shown."""


def failures(view: View) -> None:
    """Draws why trials failed, what can be done, and what pruning saved."""
    study = view.study
    st.text(_pruned(study))
    found = derived(study, "failures", lambda: search_rows.failures(study))
    if not found:
        st.text("No trial failed.")
        return
    total = sum(len(one.numbers) for one in found)
    st.markdown(
        f"**{counted(total, 'trial')} of {len(study.trials):,} failed**, for "
        f"{counted(len(found), 'reason')}"
    )
    for one in found[:MOST_REASONS]:
        _reason(view, one)
    if len(found) > MOST_REASONS:
        st.caption(f"The {MOST_REASONS} most frequent of {len(found):,} reasons.")
    places.link("leaderboard", "All that failed", study=view.name, state="failed")


def _reason(view: View, one: Failure) -> None:
    with st.container(border=True):
        st.markdown(f"**{counted(len(one.numbers), 'trial')}**")
        st.code(one.reason, language=None, wrap_lines=True)
        if one.hint:
            st.text(f"What to do: {one.hint}")
        with st.container(horizontal=True):
            for number in one.numbers[:MOST_LINKS]:
                places.link("trial", f"Trial {number}", study=view.name, trial=number)
            if len(one.numbers) > MOST_LINKS:
                st.text(f"and {len(one.numbers) - MOST_LINKS:,} more")


def _pruned(study: Snapshot) -> str:
    count = study.counts["pruned"]
    if not count:
        return "No trial was pruned."
    saved = derived(study, "saved", lambda: search_rows.seconds_saved(study)) or 0.0
    words = (
        f"{counted(count, 'trial was', 'trials were')} pruned: stopped early, behind others or by "
        "the end of the budget."
    )
    if saved < 1:
        return words
    return (
        f"{words} That saved about {format_duration(saved)}: an estimate, of the epochs that they "
        "were still allowed or, where that is not stored, of what finished trials of their kind "
        "took."
    )
