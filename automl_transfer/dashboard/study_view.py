"""One study: the answer first, then the ranking, the curves, what was left out, and the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import streamlit as st

from automl_transfer.dashboard import (
    address,
    cached,
    charts,
    data_view,
    header_view,
    ranking_view,
    rows,
    tables,
    trial_view,
)
from automl_transfer.dashboard.snapshot import Snapshot, Unreadable
from automl_transfer.dashboard.wording import plain, printable

LIVE = "2s"
"""How often the live parts of the page look at a study that is being written."""
IDLE = "15s"
"""How often they look whether a search has been taken up again."""


def show(name: str, directory: Path) -> None:
    """Draws the page of one study.

    Args:
        name: The study's name in the address.
        directory: Where it lies.
    """
    found = cached.snapshot(directory)
    if isinstance(found, Unreadable):
        st.error("This study cannot be read.")
        st.code(printable(found.reason), language=None, wrap_lines=True)
        _refreshed(lambda: _recovered(directory), IDLE)
        return
    every = LIVE if found.standing() == "running" else IDLE
    standing = found.standing()
    _refreshed(lambda: header_view.show(directory, standing), every)
    ranking, curves, left_out, data, origin = st.tabs(
        ["Ranking", "Curves", "Screened and left out", "Data", "How it was made"]
    )
    with ranking:
        shown = address.wanted_trial()
        _refreshed(lambda: _ranking(directory, name, shown), every)
        trial = trial_view.chosen(found)
        watched = trial is not None and trial.state == "running"
        _refreshed(lambda: _trial(directory, name), LIVE if watched else None)
    with curves:
        _curves(found)
    with left_out:
        _left_out(found)
    with data:
        data_view.show(found)
    with origin:
        _origin(found)


def _refreshed(draw: Callable[[], None], every: str | None) -> None:
    """Draws a part of the page now and, by itself, again and again."""
    st.fragment(draw, run_every=every)()


def _recovered(directory: Path) -> None:
    if isinstance(cached.snapshot(directory), Snapshot):
        st.rerun()


def _ranking(directory: Path, name: str, shown: str | None) -> None:
    found = header_view.current(directory)
    if found is None:
        return
    ranking_view.show(found, name)
    if address.wanted_trial() != shown:
        st.rerun()  # Another trial was selected: its details are outside of this part.


def _trial(directory: Path, name: str) -> None:
    found = cached.snapshot(directory)
    if isinstance(found, Snapshot) and found.everything:
        trial_view.show(found, name)


def _curves(found: Snapshot) -> None:
    trained = [trial for trial in found.everything if trial.curve]
    if not trained:
        st.info("No trial has trained in epochs yet: only those have a learning curve.")
        return
    trained.sort(key=lambda trial: -trial.curve[-1].value)
    drawn = trained[: charts.MOST_CURVES]
    frame = rows.curves(drawn)
    selected = trial_view.chosen(found)
    number = selected.number if selected else None
    st.altair_chart(charts.curves(frame, found.metric, number), width="stretch")
    if len(drawn) < len(trained):
        st.caption(f"The best {len(drawn)} of {len(trained):,} trials with a curve.")


def _left_out(found: Snapshot) -> None:
    screened, missing = rows.screen(found), rows.why_not(found)
    st.markdown("**Backbones by their frozen features**, before any training")
    if screened.empty:
        st.text("None has been screened yet.")
    else:
        tables.table(
            screened, column_config={"score": st.column_config.NumberColumn(format="%.4f")}
        )
    st.markdown("**Why not**: what was left out of the search")
    if missing.empty:
        st.text("Nothing was left out.")
    else:
        tables.table(
            missing,
            column_config={"reason": st.column_config.TextColumn("reason", width="large")},
        )


def _origin(found: Snapshot) -> None:
    st.markdown("**The command that repeats or resumes it**")
    st.code(plain(found.command), language=None, wrap_lines=True)
    notes = found.notes or (found.recommendation.notes if found.recommendation else ())
    if notes:
        st.markdown("**Notes**")
        st.code("\n".join(f"- {plain(note)}" for note in notes), language=None, wrap_lines=True)
    st.markdown("**Versions and machine**")
    stored = found.provenance or (found.recommendation.provenance if found.recommendation else {})
    tables.table(rows.facts(stored))
    st.text(f"Directory: {plain(found.directory)}")
