"""Small pictures of samples, as many in a row as there is room for, their names beneath."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from automl_transfer.dashboard.gallery import Shown
from automl_transfer.dashboard.wording import code_span, plain

_WIDTH = 104
"""Pixels: three fit side by side on a phone."""
_LONGEST = 48
"""Characters of a name beneath a picture; the end of a path says more than its beginning."""


def pictures(samples: Sequence[Shown], views: Mapping[int, tuple[str, bytes]]) -> None:
    """Draws samples.

    Args:
        samples: All of them.
        views: Media type and content of those that have a view, by row of the manifest.
    """
    with st.container(horizontal=True, gap="small"):
        for one in samples:
            with st.container(width=_WIDTH, gap="small"):
                _picture(views.get(one.position))
                name = plain(one.source)
                short = name if len(name) <= _LONGEST else f"…{name[-_LONGEST:]}"
                said = f"{code_span(one.words)} " if one.words else ""
                st.caption(f"{said}{code_span(short)}")


def _picture(view: tuple[str, bytes] | None) -> None:
    # SVG can hold scripts, and of other kinds of data there is only the name.
    if view is None or not view[0].startswith("image/") or "svg" in view[0]:
        st.caption("no picture")
        return
    try:
        st.image(view[1], width=_WIDTH)
    except Exception:  # whatever a damaged picture raises, the others are still to be seen
        st.caption("a picture that cannot be drawn")
