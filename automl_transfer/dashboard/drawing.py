"""How charts are put on a page: over its width, and with words for those who do not see them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitAPIException

_KNOWN = frozenset(inspect.signature(st.altair_chart).parameters)


def drawn(chart: Any, words: str) -> None:
    """Draws a chart and, beneath it, what it shows.

    Args:
        chart: Of Altair.
        words: Markdown without names from outside; newer versions of Streamlit also read it to
            those who do not see the chart.
    """
    _put(chart, words, {})
    st.caption(words)


def clickable(
    chart: Any, words: str, key: str, on_select: Callable[[], None] | None = None
) -> Any:
    """Draws a chart of which something can be selected, as :func:`drawn` does.

    Args:
        chart: Of Altair.
        words: As for :func:`drawn`.
        key: Of the selection.
        on_select: Called before the page is drawn anew with what is selected.

    Returns:
        What is selected; None where this version of Streamlit cannot tell it of charts with
        several layers. There must be another way to the same.
    """
    try:
        found = _put(chart, words, {"on_select": on_select or "rerun", "key": key})
    except StreamlitAPIException:
        found = None
        _put(chart, words, {})
    st.caption(words)
    return found


def _put(chart: Any, words: str, options: dict[str, Any]) -> Any:
    if "alt" in _KNOWN:
        options["alt"] = words
    return st.altair_chart(chart, width="stretch", **options)
