"""What can be taken along: the model, the report, and the command that repeats the search."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import streamlit as st

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.dashboard import rows, tables
from automl_transfer.dashboard.frame import View
from automl_transfer.dashboard.wording import plain
from automl_transfer.report.figures import room

MOST = 500_000_000
"""Bytes of a model that the page hands out; a larger one is copied from its directory."""


def draw(view: View) -> None:
    """Draws the downloads and the origin of the answer."""
    study = view.study
    files = StudyDirectory(study.directory)
    st.markdown("**Take it along**")
    with st.container(horizontal=True):
        if files.page.is_file():
            st.download_button(
                "Report (HTML)",
                files.page.read_bytes,
                file_name=f"{study.name}-report.html",
                mime="text/html",
                on_click="ignore",
            )
        size = _size(files.model)
        if 0 < size <= MOST:
            st.download_button(
                f"Model ({room(size)})",
                lambda: _zipped(files.model),
                file_name=f"{study.name}-model.zip",
                mime="application/zip",
                on_click="ignore",
            )
    if size:
        st.text(f"The trained model lies in {plain(files.model)}")
    st.text("The command that repeats the search, or resumes it:")
    st.code(plain(study.command), language=None, wrap_lines=True)
    with st.expander("How it was made"):
        notes = study.notes or (study.recommendation.notes if study.recommendation else ())
        if notes:
            st.markdown("**Notes**")
            lines = "\n".join(f"- {plain(note)}" for note in notes)
            st.code(lines, language=None, wrap_lines=True)
        st.markdown("**Versions and machine**")
        stored = study.provenance or (
            study.recommendation.provenance if study.recommendation else {}
        )
        tables.table(rows.facts(stored))
        st.text(f"Directory: {plain(study.directory)}")


def _size(model: Path) -> int:
    try:
        return sum(file.stat().st_size for file in model.iterdir() if file.is_file())
    except OSError:
        return 0


def _zipped(model: Path) -> bytes:
    """The files of a model, not compressed: weights hardly become smaller."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(model.iterdir()):
            if file.is_file():
                archive.write(file, file.name)
    return packed.getvalue()
