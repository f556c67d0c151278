"""What the page shows: the list of studies, or one of them."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from automl_transfer.dashboard import address, cached, studies_view, study_view
from automl_transfer.dashboard.wording import code_span, plain, printable
from automl_transfer.errors import StudyError

_ALL = "All studies"


def show() -> None:
    """Draws the page that the address asks for."""
    st.set_page_config(page_title="automl-transfer", layout="wide")
    root = address.studies_directory()
    try:
        found = cached.listed(root)
    except StudyError as error:
        st.title("automl-transfer", anchor=False)
        st.error("The studies cannot be listed.")
        st.code(printable(error), language=None, wrap_lines=True)
        return
    wanted = address.wanted_study()
    # What the address names is only ever compared with the names that were found.
    name = wanted if wanted in found else None
    _heading(list(found), name)
    if name is not None:
        study_view.show(name, found[name])
        return
    if wanted is not None:
        st.warning(
            f"There is no study {code_span(wanted[:100])} here. The address may be of another "
            "directory, or the study was renamed or removed."
        )
    studies_view.show(root, found)


def _heading(names: Sequence[str], current: str | None) -> None:
    title, switch = st.columns([3, 2], vertical_alignment="bottom")
    title.caption("automl-transfer")
    title.header(code_span(current) if current is not None else "Studies", anchor=False)
    if not names:
        return
    options = [_ALL, *names]
    # Another study in the address makes another widget, so that the two never disagree.
    key = f"study-of-{current if current is not None else ''}"
    switch.selectbox(
        "Study",
        options,
        index=options.index(current) if current is not None else 0,
        key=key,
        format_func=plain,
        on_change=lambda: _switch(key),
    )


def _switch(key: str) -> None:
    chosen = st.session_state[key]
    address.go_to(None if chosen == _ALL else chosen)
