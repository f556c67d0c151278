"""Each search under way and its trackers, by study."""

from __future__ import annotations

from automl_transfer.events import Event, Recommended, SearchStarted
from automl_transfer_trackers.choice import opened
from automl_transfer_trackers.session import Session


class Tracking:
    """Hands the events of every search of this process to the session that follows it."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}

    def follow(self, study: str, event: Event) -> None:
        """Takes one event of the search of ``study``."""
        if isinstance(event, SearchStarted):
            # A notebook may stop a search and begin it anew; the one before has not said goodbye.
            self._end(study, finished=False)
            if lanes := opened():
                self._sessions[study] = Session(event, lanes)
            return
        if (session := self._sessions.get(study)) is None:
            return
        session.follow(event)
        if isinstance(event, Recommended):
            self._end(study, finished=True)

    def _end(self, study: str, *, finished: bool) -> None:
        if (session := self._sessions.pop(study, None)) is not None:
            session.end(finished=finished)


TRACKING = Tracking()
