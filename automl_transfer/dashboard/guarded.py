"""Parts of a page that may fail without taking the rest with them."""

from __future__ import annotations

import logging
from collections.abc import Callable

import streamlit as st

_LOG = logging.getLogger(__name__)


def fragment(what: str, draw: Callable[[], None], every: str | None = None) -> None:
    """Draws a part that is drawn anew without the rest of its page; see :func:`guarded`.

    Args:
        what: The part, as the beginning of a sentence.
        draw: Draws it.
        every: How often, such as ``2s``; None: when one of its widgets is used.
    """
    st.fragment(lambda: guarded(what, draw), run_every=every)()


def guarded(what: str, draw: Callable[[], None]) -> None:
    """Draws a part of a page, or says that it cannot be drawn.

    A study is files that another version may have written, and that anything may have damaged.
    What is known to happen has its own words elsewhere; this is for the rest. The reason goes to
    the terminal of the server, where a report of it can be copied from.

    Args:
        what: The part, as the beginning of a sentence.
        draw: Draws it.
    """
    try:
        draw()
    except Exception as error:
        _LOG.exception("%s cannot be drawn", what)
        st.error(
            f"{what} cannot be drawn ({type(error).__name__}): a file of the study is damaged, or "
            "another version wrote it. The terminal of the dashboard tells more; repeating the "
            "search makes the file again."
        )
