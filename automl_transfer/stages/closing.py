"""The very end of a search, of which nothing can be left out."""

from __future__ import annotations

from automl_transfer.budget import crowding

CLOSING = 2.5
"""Seconds on an idle core to build the winner's network, to write model and report, and to end."""


FIRST_ANSWER = 2.0
"""Likewise to fit the first heads to the features of a backbone, to keep the best of them, and to
find that there is no time for more."""


def answer_seconds() -> float:
    """Seconds from the features of a backbone to the end of the search at least."""
    return (FIRST_ANSWER + CLOSING) * crowding()


def closing_seconds() -> float:
    """Seconds that the end takes at least, as crowded as the machine is at present."""
    return CLOSING * crowding()
