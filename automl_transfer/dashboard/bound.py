"""Widgets whose value is in the address: whoever opens it sees the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from automl_transfer.dashboard import address
from automl_transfer.dashboard.wording import plain


def choices(
    label: str, name: str, options: Sequence[str], *, shown: Callable[[str], str] = plain
) -> list[str]:
    """Several of the options; none is as good as all.

    Args:
        label: Above the widget.
        name: In the address.
        options: What can be chosen.
        shown: An option for people.
    """
    key = f"choices-{name}"
    chosen = address.words(name, options)
    st.session_state[key] = chosen
    st.multiselect(
        label,
        options,
        key=key,
        format_func=shown,
        placeholder="all",
        on_change=lambda: _put(name, st.session_state[key]),
    )
    return chosen


def choice(label: str, name: str, options: dict[str, str]) -> str:
    """One of the options, the first of which is meant where the address says nothing.

    Args:
        label: Above the widget.
        name: In the address.
        options: What can be chosen, and what it is called.
    """
    key = f"choice-{name}"
    asked = address.text(name)
    first = next(iter(options))
    chosen = asked if asked in options else first
    st.session_state[key] = chosen
    st.selectbox(
        label,
        list(options),
        key=key,
        format_func=options.__getitem__,
        on_change=lambda: _put(
            name, None if st.session_state[key] == first else st.session_state[key]
        ),
    )
    return str(chosen)


def pages(rows: int, size: int, name: str = "page") -> slice:
    """Draws what turns the pages of a table, if it has several.

    Args:
        rows: Of the table.
        size: Of a page.
        name: In the address.

    Returns:
        The rows of the chosen page.
    """
    last = max(1, -(-rows // size))
    now = min(max(1, address.number(name) or 1), last)
    if last > 1:
        with st.container(horizontal=True, vertical_alignment="center"):
            _turn("Previous", name, now - 1, now == 1)
            first, end = (now - 1) * size + 1, min(now * size, rows)
            st.text(f"{first:,} to {end:,} of {rows:,}")
            _turn("Next", name, now + 1, now == last)
    return slice((now - 1) * size, now * size)


def _turn(label: str, name: str, to: int, disabled: bool) -> None:
    st.button(
        label,
        key=f"{name}-{label}",
        disabled=disabled,
        on_click=lambda: address.put(**{name: None if to == 1 else to}),
    )


def _put(name: str, value: Any) -> None:
    # What is on the third page of one selection may not be there in another.
    address.put(**{name: value, "page": None})
