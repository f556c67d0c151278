"""All studies, and what to do when there are none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from automl_transfer.dashboard import cached, places, studies_rows, tables
from automl_transfer.dashboard.guarded import fragment
from automl_transfer.dashboard.places import Place
from automl_transfer.dashboard.wording import counted, plain
from automl_transfer.jsonable import digest

FIRST_COMMANDS = (
    "automl-transfer data sample digits ./images\n"
    "automl-transfer search --data ./images --budget 5m"
)
EVERY = "5s"
"""How often the list is looked through again."""


def draw(root: Path, found: Mapping[str, Path], place: Place) -> None:
    """Draws the list of studies.

    Args:
        root: The directory that was looked into.
        found: Directories of the studies by name.
        place: The page that a study is opened on.
    """
    if not found:
        _none(root)
        fragment("The list of studies", lambda: _appeared(root), every=EVERY)
        return
    fragment("The list of studies", lambda: _table(root, place), every=EVERY)


def _none(root: Path) -> None:
    st.subheader("There are no studies yet", anchor=False)
    st.text(f"Looked in: {plain(root.absolute())}")
    st.text("A search makes one. For a first one, in this directory:")
    st.code(FIRST_COMMANDS, language="bash")
    st.text("This page shows it as soon as it has begun. If it lies elsewhere:")
    st.code("automl-transfer dashboard DIRECTORY", language="bash")


def _appeared(root: Path) -> None:
    if cached.listed(root):
        st.rerun()


def _table(root: Path, place: Place) -> None:
    directories = cached.listed(root)
    frame = studies_rows.studies(
        {name: cached.snapshot(path) for name, path in directories.items()}
    )
    names = list(directories)
    running = int((frame["state"] == "running").sum())
    going = f", {running} running" if running else ""
    st.subheader(f"{counted(len(names), 'study', 'studies')}{going}", anchor=False)
    st.text("Select a row, or a name above, to open a study.")
    key = f"studies-{digest(list(map(plain, names)), 12)}"
    chosen = tables.table(
        frame,
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "study": st.column_config.TextColumn("study", width="medium"),
            "trials": st.column_config.NumberColumn("trials", width="small"),
            "same data": st.column_config.TextColumn(
                "same data",
                width="small",
                help="Studies with the same letter have the same samples and labels: of those "
                "alone the scores may be compared.",
            ),
            "best": st.column_config.TextColumn("best, validation"),
            "score": st.column_config.TextColumn(
                "score", help="On samples that the search never saw."
            ),
            "interval": st.column_config.TextColumn("95 % interval"),
            "winner": st.column_config.TextColumn("winner, or what is wrong", width="large"),
        },
    )
    _open(chosen["selection"]["rows"], names, place)


def _open(rows: Sequence[int], names: Sequence[str], place: Place) -> None:
    if rows:
        places.go(place, study=names[rows[0]])
