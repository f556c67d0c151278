"""The state of a search, as the documents ``status`` and ``timeline`` tell whoever watches."""

from __future__ import annotations

import os
import time

from automl_transfer.events import Event, StageStarted
from automl_transfer.stages.context import Context
from automl_transfer.stages.planned_ends import planned_ends

PAUSE = 0.5
"""Seconds between two notes of the time spent."""


class Status:
    """Keeps the document ``status`` for whoever watches."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stage = "load"
        self._written = 0.0
        # Of all sessions: a study that is resumed goes on with it.
        kept = context.store.get("timeline", [])
        rows = kept if isinstance(kept, list) else []
        self._timeline = [row for row in rows if isinstance(row, dict) and "ended" in row]
        context.store.put("planned", planned_ends(context))
        self._began("load")

    def _began(self, stage: str | None) -> None:
        """Ends the stage under way, and begins the next one, if there is one."""
        now = self._context.watch.elapsed
        if self._timeline and self._timeline[-1]["ended"] is None:
            self._timeline[-1]["ended"] = now
        if stage is not None:
            self._timeline.append({"stage": stage, "began": now, "ended": None})
        self._context.store.put("timeline", self._timeline)

    def follow(self, event: Event) -> None:
        """Notes a new stage, and now and then the time spent."""
        new = isinstance(event, StageStarted) and event.stage != self._stage
        if isinstance(event, StageStarted):
            self._stage = event.stage
        if new:
            self._began(self._stage)
        if new or time.monotonic() - self._written >= PAUSE:
            self.write("running")

    def write(self, state: str, stage: str | None = None, error: str | None = None) -> None:
        """Stores the state of the search."""
        self._stage = stage or self._stage
        if state != "running":
            self._began(None)
        self._written = time.monotonic()
        request = self._context.request
        self._context.store.put(
            "status",
            {
                "state": state,
                "stage": self._stage,
                "spent": self._context.watch.elapsed,
                "budget": request.budget_seconds,
                "trials": request.trials,
                "pid": os.getpid(),
                "updated": time.time(),
                "error": error,
            },
        )
