"""Samples as a grid: a small view where one was kept, what is to be said of it, and its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.dashboard import bound
from automl_transfer.dashboard.snapshot import Snapshot
from automl_transfer.dashboard.wording import printable

SIZE = 24
"""Samples of a page."""
COLUMNS = 6


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One sample."""

    position: int
    """Row of the manifest."""
    source: str
    words: str
    """What is to be said of it."""


def draw(study: Snapshot, samples: Sequence[Shown], name: str = "page") -> None:
    """Draws a page of the samples.

    Args:
        study: Whose.
        samples: All of them, in order.
        name: Of the page's number in the address.
    """
    part = samples[bound.pages(len(samples), SIZE, name)]
    views = StudyDirectory(study.directory).read_stills(one.position for one in part)
    row(part, views)
    if part and not views:
        st.caption("Of these samples no view was kept.")


def row(samples: Sequence[Shown], views: Mapping[int, tuple[str, bytes]]) -> None:
    """Draws samples side by side, in as many rows as it takes.

    Args:
        samples: All of them.
        views: Media type and content of those that have one, by row of the manifest.
    """
    for start in range(0, len(samples), COLUMNS):
        line = samples[start : start + COLUMNS]
        for column, one in zip(st.columns(COLUMNS), line, strict=False):
            with column:
                _draw(one, views.get(one.position))


def _draw(one: Shown, view: tuple[str, bytes] | None) -> None:
    if view is not None and view[0].startswith("image/") and "svg" not in view[0]:
        # A picture that cannot be drawn is no reason to show no other.
        try:
            st.image(view[1], width="stretch")
        except Exception:
            st.caption("This view cannot be drawn.")
    st.text(printable(f"{one.words}\n{one.source}" if one.words else one.source))
