"""How charts are put on a page: over its width, and with words for those who do not see them."""

from __future__ import annotations

import inspect
from typing import Any

import streamlit as st

_KNOWN = frozenset(inspect.signature(st.altair_chart).parameters)


def drawn(chart: Any, words: str, **options: Any) -> Any:
    """Draws a chart and, beneath it, what it shows.

    Args:
        chart: Of Altair.
        words: Markdown without names from outside; newer versions of Streamlit also read it to
            those who do not see the chart.
        **options: For ``st.altair_chart``.

    Returns:
        What ``st.altair_chart`` returns: what is selected, if anything can be.
    """
    if "alt" in _KNOWN:
        options["alt"] = words
    found = st.altair_chart(chart, width="stretch", **options)
    st.caption(words)
    return found
