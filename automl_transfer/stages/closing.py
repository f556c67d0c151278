"""The very end of a search, of which nothing can be left out."""

from __future__ import annotations

from automl_transfer.budget import crowding

CLOSING = 2.5
"""Seconds on an idle core to build the winner's network, to write model and report, and to end."""


def closing_seconds() -> float:
    """Seconds that the end takes at least, as crowded as the machine is at present."""
    return CLOSING * crowding()
