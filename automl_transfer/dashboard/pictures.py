"""Small pictures of samples, as many in a row as there is room for, with words beneath."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from automl_transfer.dashboard.wording import code_span, plain

WIDTH = 104
"""Pixels: three fit side by side on a phone."""
_LONGEST = 48
"""Characters of a name beneath a picture; the end of a path says more than its beginning."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One sample."""

    position: int
    """Row of the manifest."""
    source: str
    words: str = ""
    """Lines of what is to be said of it."""


def pictures(
    samples: Sequence[Shown], views: Mapping[int, tuple[str, bytes]], width: int = WIDTH
) -> None:
    """Draws samples.

    Args:
        samples: All of them.
        views: Media type and content of those that have a view, by row of the manifest.
        width: Of each, in pixels.
    """
    with st.container(horizontal=True, gap="small"):
        for one in samples:
            with st.container(width=width, gap="small"):
                _picture(views.get(one.position), width)
                name = plain(one.source)
                short = name if len(name) <= _LONGEST else f"…{name[-_LONGEST:]}"
                st.caption(" ".join(map(code_span, [*one.words.splitlines(), short])))


def _picture(view: tuple[str, bytes] | None, width: int) -> None:
    # SVG can hold scripts, and of other kinds of data there is only the name.
    if view is None or not view[0].startswith("image/") or "svg" in view[0]:
        st.caption("no picture")
        return
    try:
        st.image(view[1], width=width)
    except Exception:  # whatever a damaged picture raises, the others are still to be seen
        st.caption("a picture that cannot be drawn")
