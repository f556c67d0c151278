"""Sections of a long page, of which the address says the open one; the others cost nothing."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from automl_transfer.dashboard import address


def section(label: str, name: str, options: Mapping[str, str]) -> str:
    """Draws a row of buttons, and says which of the sections is open.

    Args:
        label: What they are, for screen readers.
        name: In the address.
        options: Sections, and what they are called; the first is meant where the address says
            nothing.
    """
    key = f"section-{name}"
    first = next(iter(options))
    asked = address.text(name)
    now = asked if asked is not None and asked in options else first
    st.session_state[key] = now
    st.segmented_control(
        label,
        list(options),
        key=key,
        format_func=options.__getitem__,
        label_visibility="collapsed",
        on_change=lambda: _put(name, str(st.session_state[key] or now), first),
    )
    return now


def _put(name: str, chosen: str, first: str) -> None:
    # A click on the open section closes it in the widget, but one is always open here.
    address.put(**{name: None if chosen == first else chosen})
