"""A tracker in a thread of its own, so that neither a slow server nor a broken disk holds up the
search or the other trackers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeAlias

from automl_transfer.request import hide_password
from automl_transfer_trackers.tracker import Tracker

Call: TypeAlias = Callable[[Tracker], None]
PATIENCE = 30.0
"""Seconds that a tracker may take for one step once the search has ended."""
LONG = 5.0
"""Seconds after which whoever waits for a tracker is told so."""

_LOG = logging.getLogger(__name__)


class Lane:
    """Hands calls to a tracker one by one, in their order. After a failure it is off."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        self.name = name
        self._tracker = tracker
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self._done = 0
        self._off = False
        self._thread = threading.Thread(target=self._run, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def tell(self, call: Call) -> None:
        """Hands over a call and does not wait for it."""
        if not self._off:
            self._calls.put(call)

    def end(self, *, finished: bool) -> None:
        """Lets the tracker close, after all that it has been told."""
        self.tell(lambda tracker: tracker.close(finished=finished))
        self._calls.put(None)

    def ended(self, seconds: float) -> bool:
        """Waits so long for the end, and says whether it has come."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def wait(self) -> None:
        """Waits for the end as long as there is any progress towards it."""
        done = self._done
        if self.ended(LONG):
            return
        _LOG.warning(
            "The tracker %s is still writing (%d steps are left). Ctrl-C leaves them out.",
            self.name,
            self._calls.qsize(),
        )
        while not self.ended(PATIENCE):
            if done == self._done:
                self._off = True
                _LOG.warning("The tracker %s does not answer; the rest is left out.", self.name)
                return
            done = self._done

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            if not self._off:
                self._take(call)
            self._done += 1

    def _take(self, call: Call) -> None:
        try:
            call(self._tracker)
            if self._calls.empty():
                # A process that is killed leaves what has been told, not what fills a buffer.
                self._tracker.flush()
        except (Exception, SystemExit) as error:
            if self._off:
                return  # given up, and told so
            self._off = True
            _LOG.warning(
                "The tracker %s is off for the rest of this search, which goes on: %s",
                self.name,
                hide_password(f"{type(error).__name__}: {error}")[:500],
            )
