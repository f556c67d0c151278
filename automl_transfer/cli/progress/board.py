"""What is known of a running search, folded from its events."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable

from automl_transfer.events import (
    DataLoaded,
    Event,
    Progress,
    SearchStarted,
    StageStarted,
    TrialEnded,
    TrialReported,
    TrialStarted,
)
from automl_transfer.outcome import Outcome, finished


class Board:
    """The state of a search as the user sees it."""

    def __init__(
        self, budget_seconds: float | None, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Starts the clock.

        Args:
            budget_seconds: Time budget of the study over all its sessions; None: there is none.
            now: A clock in seconds.
        """
        self._budget = budget_seconds
        self._now = now
        self._start = now()
        self._spent_before = 0.0
        self._ended: dict[int, Outcome] = {}
        self.study: SearchStarted | None = None
        self.stage: StageStarted | None = None
        self.step: Progress | None = None
        """A long step within the stage."""
        self.metric = "auto"
        self.running: TrialStarted | None = None
        self.report: TrialReported | None = None
        """The last epoch of the running trial."""

    def follow(self, event: Event) -> None:
        """Takes in one event."""
        match event:
            case SearchStarted():
                self.study = event
                self._spent_before = event.spent
            case StageStarted():
                self.stage, self.step = event, None
            case Progress():
                self.step = event if event.done < event.total else None
            case DataLoaded():
                self.metric = event.metric
            case TrialStarted():
                self.running, self.report = event, None
            case TrialReported():
                self.report = event
            case TrialEnded():
                # Several may run at once; the last one that was begun is shown.
                if self.running is not None and self.running.number == event.outcome.number:
                    self.running = self.report = None
                self.remember([event.outcome])
            case _:
                pass

    def remember(self, outcomes: Iterable[Outcome]) -> None:
        """Takes in ended trials, of this session or an earlier one."""
        self._ended |= {outcome.number: outcome for outcome in outcomes}

    @property
    def counts(self) -> Counter[str]:
        """Ended trials by state."""
        return Counter(outcome.state for outcome in self._ended.values())

    @property
    def best(self) -> list[Outcome]:
        """Finished trials, best first."""
        return finished(list(self._ended.values()))

    @property
    def session(self) -> float:
        """Seconds since this session began."""
        return self._now() - self._start

    @property
    def used(self) -> float:
        """Seconds of the budget that are spent, earlier sessions included."""
        return self._spent_before + self.session

    @property
    def left(self) -> float | None:
        """Seconds left, not below 0; None when the budget is in trials only."""
        return None if self._budget is None else max(0.0, self._budget - self.used)
