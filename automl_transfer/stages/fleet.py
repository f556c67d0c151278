"""Trials that any number of processes advance side by side, this one among them.

What is to be done stands in the database as jobs; whoever works takes one, and this process takes
them as the others do. It alone decides what is to be done, and records what came of it: so the
rungs compare the same trials whoever trained them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from automl_transfer.artifacts import replacing
from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import Backbone, LocalWeights
from automl_transfer.errors import StudyError
from automl_transfer.events import Event, Note
from automl_transfer.jobs import ATTEMPTS, Job, Jobs, Pulse, Standing, Sweeper
from automl_transfer.jsonable import to_json
from automl_transfer.stages.advancing import (
    Begun,
    Ended,
    OpenTrial,
    Step,
    here,
    parked_at,
)
from automl_transfer.stages.context import Context
from automl_transfer.stages.divided import divide
from automl_transfer.stages.local_workers import LocalWorkers
from automl_transfer.stages.shared_setup import SHARED, SharedSetup

if TYPE_CHECKING:
    from automl_transfer.training.run import EpochReport

POLL_SECONDS = 0.3
"""Between two looks while others work."""
COUNT_SECONDS = 1.0
"""For which it is known how many workers there are: planning a batch asks hundreds of times."""
LATE_SECONDS = 10.0
"""Past the end of the time, after which nobody is waited for."""
REPORT = "report.npy"
"""What a trial predicted at a rung, beside its checkpoint."""


_RANDOM = uuid4().hex[:8]


def here_is() -> str:
    """A name for this process that no other has, nor one in another container."""
    return f"{socket.gethostname()}-{_RANDOM}-{os.getpid()}"


class Fleet:
    """The processes that work for a search, seen from the one that leads it."""

    def __init__(self, context: Context, jobs: Jobs) -> None:
        """Takes back what an earlier session has offered.

        Args:
            context: Of the search.
            jobs: Of its study.
        """
        self.local: LocalWorkers | None = None
        """Workers that this process has started; closed with the fleet."""
        self._context = context
        self._jobs = jobs
        self._watch = Sweeper(jobs)
        self._own: Job | None = None
        self._lost = False
        self._left: Callable[[], float] = lambda: float("inf")
        self._said: SimpleQueue[str] = SimpleQueue()
        self._setup: tuple[str, ...] | None = None
        self._revision = ""
        self._counted = (-float("inf"), 0)
        self._offered: dict[str, tuple[Any, int]] = {}
        SharedSetup.withdraw(context)
        jobs.withdraw()

    def helpers(self) -> int:
        """Other processes that work for this study now."""
        now = time.monotonic()
        if now - self._counted[0] >= COUNT_SECONDS:
            self._counted = (now, len(self._watch.alive()))
        return self._counted[1]

    @property
    def is_wanted(self) -> bool:
        """Whether trials are to be offered to others."""
        return self.local is not None or self.helpers() > 0

    def advance(
        self,
        trials: Sequence[OpenTrial],
        ladder: tuple[int, ...],
        rung: int,
        left: Callable[[], float],
        parked: Callable[[int], Path],
    ) -> Generator[Step, None, None]:
        """Advances trials to a rung, each in whichever process is free.

        Args:
            trials: At earlier rungs.
            ladder: All rungs.
            rung: Which they are to reach.
            left: Seconds that are left for them.
            parked: Directory of a trial, by its number.

        Yields:
            What happens. Each trial has exactly one end.
        """
        self._publish()
        waiting = {f"{trial.row.number:06d}/{rung:08d}": trial for trial in trials}
        for place, (key, trial) in enumerate(waiting.items()):
            payload = {
                "what": "trial",
                "revision": self._revision,
                "row": to_json(trial.row),
                "ladder": list(ladder),
                "rung": rung,
                "parked": str(parked(trial.row.number).relative_to(self._context.files.path)),
            }
            self._offered[key] = payload, place
            self._jobs.post(key, payload, place)
        begun: set[str] = set()
        try:
            with self._tended(left):
                while waiting:
                    job = self._jobs.claim(here_is()) if left() > 0 else None
                    if job is not None and job.key in waiting:
                        yield from self._train(job, trials, waiting, begun, ladder, rung, parked)
                    elif job is not None:
                        self._jobs.withdraw([job.key])  # of an earlier turn
                    else:
                        time.sleep(POLL_SECONDS)
                    yield from self._heard(waiting, begun, rung, parked)
                    if left() < -LATE_SECONDS:
                        for key in list(waiting):
                            yield from _over(waiting, begun, key)
        finally:
            self._offered.clear()
            # If they stay, the next session takes them back.
            with contextlib.suppress(StudyError):
                self._jobs.withdraw(waiting)

    def extract(
        self,
        card: BackboneCard,
        weights: LocalWeights | None,
        backbone: Backbone,
        positions: NDArray[np.int64],
        limit: float,
    ) -> Iterator[Event]:
        """Features of some samples into the cache, each by whichever process is free; see
        :func:`.divided.divide`."""
        self._publish()
        context = self._context
        with self._tended(lambda: limit - context.watch.elapsed):
            yield from divide(
                context,
                self._jobs,
                here_is(),
                context.files.path / SHARED,
                context.side_by_side,
                card,
                weights,
                backbone,
                positions,
                limit,
                self._revision,
                self._at_work_on,
            )

    def close(self) -> None:
        """Takes back what is offered, and removes what others have read."""
        # Whatever went wrong before is what matters.
        with contextlib.suppress(Exception):
            self._jobs.withdraw()
        if self.local is not None:
            self.local.close()
        with contextlib.suppress(Exception):
            SharedSetup.withdraw(self._context)

    @contextlib.contextmanager
    def _at_work_on(self, job: Job) -> Iterator[None]:
        """Within the block this process shows signs of life for a job."""
        self._own, self._lost = job, False
        try:
            yield
        finally:
            self._own = None

    @contextlib.contextmanager
    def _tended(self, left: Callable[[], float]) -> Iterator[None]:
        """Within the block this process shows signs of life, looks at those of others, and leaves
        them their cores.

        Args:
            left: Seconds that are left for what is offered.
        """
        from automl_transfer.training.device import sharing_cores

        self._left = left
        self._tend()
        pulse = Pulse(self._tend, lambda: self._jobs.between_beats)
        try:
            with sharing_cores(self._context.request.workers):
                yield
        finally:
            pulse.stop()

    def _publish(self) -> None:
        now = tuple(self._context.candidates)
        if self._setup != now:
            self._revision = SharedSetup.publish(self._context).revision
            self._setup = now

    def _train(
        self,
        job: Job,
        trials: Sequence[OpenTrial],
        waiting: dict[str, OpenTrial],
        begun: set[str],
        ladder: tuple[int, ...],
        rung: int,
        parked: Callable[[int], Path],
    ) -> Iterator[Step]:
        """Trains one here, and looks at the others meanwhile."""
        trial = waiting[job.key]
        begun.add(job.key)
        looked = time.monotonic()
        with self._at_work_on(job):
            steps = here(
                self._context,
                [trial],
                ladder,
                rung,
                lambda: self._left() <= 0 or self._lost,
                parked,
                beside=trials,
            )
            for step in steps:
                if isinstance(step, Ended):
                    if self._lost:
                        # This process was away for so long that another has taken it over.
                        trial.tuning = None
                        return
                    self._jobs.withdraw([job.key])
                    del waiting[job.key]
                yield step
                if time.monotonic() - looked >= 1.0:
                    looked = time.monotonic()
                    yield from self._heard(waiting, begun, rung, parked)

    def _tend(self) -> None:
        """Signs of life, and a look at those of others; called in a thread."""
        own = self._own
        if own is not None and self._jobs.beat(own) is None and self._own is own:
            self._lost = True
        self._jobs.say_left(self._left())
        for text in self.local.tend() if self.local is not None else ():
            self._said.put(text)
        for standing, state in self._watch.sweep():
            first = standing.key.partition("/")[0]
            what = f"trial {int(first)}" if first.isdigit() else f"part of the {first}"
            ending = "is begun again" if state == "waiting" else "has failed"
            self._said.put(f"Worker {standing.owner} shows no sign of life; its {what} {ending}.")

    def _heard(
        self,
        waiting: dict[str, OpenTrial],
        begun: set[str],
        rung: int,
        parked: Callable[[int], Path],
    ) -> Iterator[Step]:
        with contextlib.suppress(Empty):
            while True:
                yield Note(text=self._said.get_nowait(), level="warning")
        standings = self._jobs.standings(waiting)
        for key in waiting.keys() - {standing.key for standing in standings}:
            if self._own is None or self._own.key != key:
                # Another search of this study, or a database that was put back to an earlier day.
                self._jobs.post(key, *self._offered[key])
        for standing in standings:
            key = standing.key
            own = self._own is not None and self._own.key == key
            if own or key not in waiting:
                continue
            if standing.state != "waiting" and key not in begun:
                begun.add(key)
                yield Begun(number=waiting[key].row.number)
            if standing.state in ("done", "failed"):
                trial = waiting.pop(key)
                self._jobs.withdraw([key])
                trial.tuning = None
                place = parked_at(parked(trial.row.number), rung)
                yield _ended(trial.row.number, standing, place)
            elif standing.state == "waiting" and self._left() <= 0:
                self._jobs.withdraw([key])
                yield from _over(waiting, begun, key)


def _over(waiting: dict[str, OpenTrial], begun: set[str], key: str) -> Iterator[Step]:
    trial = waiting.pop(key)
    if key not in begun:
        yield Begun(number=trial.row.number)
    yield Ended(number=trial.row.number, device="", seconds=0.0)


def _ended(number: int, standing: Standing, place: Path) -> Ended:
    """What came of a trial elsewhere."""
    if standing.state == "failed":
        died = f"error: the process that trained it died, {ATTEMPTS} times"
        return Ended(number=number, device="", seconds=0.0, reason=died)
    found: dict[str, Any] = standing.result
    report, reason = None, found["reason"]
    if found["report"] is not None:
        try:
            report = _report(found["report"], place)
        except (OSError, ValueError, EOFError) as error:
            reason = (
                f"error: what {standing.owner} made of it cannot be read ({type(error).__name__}: "
                f"{error}); the directory of the study must be shared"
            )
    return Ended(
        number=number,
        device=found["device"],
        seconds=found["seconds"],
        step_seconds=found["step_seconds"],
        report=report,
        reason=reason,
    )


def result_of(ended: Ended, place: Path) -> dict[str, Any]:
    """What a worker tells of a trial at a rung; what it predicted is in a file.

    Args:
        ended: How it ended.
        place: Where its checkpoint is.
    """
    report = ended.report
    if report is not None:
        with replacing(place / REPORT) as temporary:
            np.save(temporary, report.probabilities, allow_pickle=False)
    return {
        "device": ended.device,
        "seconds": ended.seconds,
        "step_seconds": ended.step_seconds,
        "reason": ended.reason,
        "report": None
        if report is None
        else {
            "epoch": report.epoch,
            "epochs": report.epochs,
            "step": report.step,
            "loss": report.loss,
            "seconds": report.seconds,
        },
    }


def failure(device: str, reason: str, seconds: float = 0.0) -> dict[str, Any]:
    """Likewise, of what has failed before it could be told in another way."""
    return {
        "device": device,
        "seconds": seconds,
        "step_seconds": None,
        "reason": reason,
        "report": None,
    }


def _report(found: dict[str, Any], place: Path) -> EpochReport:
    from automl_transfer.training.run import EpochReport

    return EpochReport(
        **found, probabilities=np.load(place / REPORT, allow_pickle=False).astype(np.float32)
    )
