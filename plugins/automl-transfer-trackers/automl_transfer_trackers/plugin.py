"""The hook. This is read whenever plugins are listed: what is heavy waits for an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl_transfer import hookimpl

if TYPE_CHECKING:
    from automl_transfer.events import Event

AUTOML_TRANSFER_API = (1, 0)


@hookimpl
def automl_transfer_trial_event(study: str, event: Event) -> None:
    """Hands an event to the trackers that are switched on."""
    from automl_transfer_trackers.tracking import TRACKING

    TRACKING.follow(study, event)
