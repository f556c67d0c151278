"""Very many samples, a page of them at a time."""

from __future__ import annotations

from collections.abc import Sequence

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.dashboard import bound
from automl_transfer.dashboard.pictures import Shown, pictures
from automl_transfer.dashboard.snapshot import Snapshot

SIZE = 24
"""Samples of a page."""
_WIDTH = 160
"""Pixels of each: two fit side by side on a phone."""


def draw(study: Snapshot, samples: Sequence[Shown], name: str = "page") -> None:
    """Draws a page of the samples.

    Args:
        study: Whose.
        samples: All of them, in order.
        name: Of the page's number in the address.
    """
    part = samples[bound.pages(len(samples), SIZE, name)]
    views = StudyDirectory(study.directory).read_stills(one.position for one in part)
    pictures(part, views, _WIDTH)
