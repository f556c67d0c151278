"""The pages, their names in the address, and links between them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import streamlit as st
from streamlit.navigation.page import StreamlitPage

Place = Literal[
    "verdict", "leaderboard", "compare", "errors", "search", "data", "trial", "studies"
]


class _Page(NamedTuple):
    title: str
    question: str


PAGES: Mapping[Place, _Page] = MappingProxyType(
    {
        "verdict": _Page("Verdict", "Which one should I use?"),
        "leaderboard": _Page("Leaderboard", "What else was tried, and how close is it?"),
        "compare": _Page("Compare", "Is one of these really better?"),
        "errors": _Page("Errors", "Where is it wrong?"),
        "search": _Page("Search", "How did the search go, and is it still improving?"),
        "data": _Page("Data", "Can these data be trusted?"),
        "trial": _Page("Trial", "What exactly was tried?"),
        "studies": _Page("Studies", "Which studies are there?"),
    }
)
"""By name. The first one has the bare address."""
_DOORS = Path(__file__).with_name("doors")


def file_of(place: Place) -> Path:
    """The script that draws a page."""
    return _DOORS / f"{place}.py"


def pages() -> list[StreamlitPage]:
    """All pages, as Streamlit wants them."""
    return [
        st.Page(
            file_of(place),
            title=page.title,
            url_path=None if place == "verdict" else place,
            default=place == "verdict",
        )
        for place, page in PAGES.items()
    ]


def link(place: Place, label: str | None = None, **asked: str | int) -> None:
    """Draws a link to a page.

    Args:
        place: Which one.
        label: Markdown; None: the title of the page.
        **asked: What its address says: ``study``, ``trial`` and the like.
    """
    st.page_link(
        str(file_of(place)),
        label=label or PAGES[place].title,
        query_params={name: str(value) for name, value in asked.items()},
    )


def go(place: Place, **asked: str | int) -> None:
    """Leaves for a page; does not return."""
    st.switch_page(
        str(file_of(place)), query_params={name: str(value) for name, value in asked.items()}
    )
