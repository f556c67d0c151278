"""A worker: takes trials of a study that another process leads, on any machine that sees it."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.errors import AutomlTransferError, StudyError, UsageError, reason_of
from automl_transfer.generators import ended
from automl_transfer.jobs import Job, Jobs, Pulse, Sweeper
from automl_transfer.jsonable import from_json
from automl_transfer.later import later
from automl_transfer.outcome import Outcome
from automl_transfer.registry import Registry
from automl_transfer.request import SearchRequest
from automl_transfer.stages.fleet import failure, here_is, result_of
from automl_transfer.stages.following import Silence, usual_hang
from automl_transfer.stages.shared_setup import SHARED, SharedSetup
from automl_transfer.store import GRACE, Store
from automl_transfer.waiting import POLL_SECONDS, awaited

if TYPE_CHECKING:
    from automl_transfer.cards import ModalityCard
    from automl_transfer.dataset import Dataset
    from automl_transfer.stages.context import Bench
    from automl_transfer.stages.handover import Setup

T = TypeVar("T")
IDLE_SECONDS = 1800.0
HUNG = 75
"""Exit code of a process that was given up (EX_TEMPFAIL): whoever started it may start another."""
LET_GO_SECONDS = 5.0
"""After which a trial is put back though no step came to an end: who sends SIGTERM kills soon."""
FAILURES = 2
"""In a row that are not a trial's own, after which something is taken to be wrong with this
process."""
_PAUSE_SECONDS = 3.0
"""After such a failure, so that another process takes what was put back."""
_BETWEEN_STEPS = 1.0
"""If no step ends within so long, what is under way may be left where it is not kept."""


LEFT = "it was asked to leave"


class LeftError(BaseException):
    """This worker is to go: raised between two steps, so that the trial can be kept."""


class LostError(BaseException):
    """The trial was given to another process meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What a worker has done."""

    jobs: int
    reason: str
    """Why it ended."""
    broken: bool = False
    """Something is wrong with this process or its machine; see :data:`HUNG`."""


class Worker:
    """One process that works for a study."""

    def __init__(
        self,
        study: str,
        registry: Registry,
        *,
        studies: str | Path = "studies",
        storage: str | None = None,
        data: str | None = None,
        device: str = "auto",
        threads: int | None = None,
        idle: float = IDLE_SECONDS,
        hang: float | None = None,
        grace: float | None = None,
        parent: int | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Connects to nothing yet; see :meth:`run`.

        Args:
            study: Its name.
            registry: Of the plugins; they must be those of the search.
            studies: Directory of the studies, shared with the search.
            storage: Database URL, when the rows are not in the study's directory.
            data: Where the data are here, if elsewhere than for the search.
            device: Where to train.
            threads: Of the CPU.
            idle: Seconds without anything to do after which it goes.
            hang: Seconds without a step after which a trial is given up, with the process; None:
                see :func:`.usual_hang`.
            grace: Seconds after which a process without a sign of life is given up; None: as
                usual.
            parent: The process that it goes with; None: it goes by itself.
            tell: Called with lines for people.
        """
        self._study = study
        self._files = StudyDirectory(Path(studies) / study)
        self._registry = registry
        self._storage = storage
        self._data = data
        self._device = device
        self._threads = threads
        self._idle = idle
        self._hang = usual_hang() if hang is None else hang
        if self._hang < 1:
            raise UsageError(f"A worker waits for at least 1 s (--hang), but got {hang} s.")
        self._grace = grace
        self._parent = parent
        self._tell = tell
        self._leaving = threading.Event()
        self._left_at = float("inf")
        self._name = here_is()
        self._store: Store | None = None
        self._jobs: Jobs | None = None
        self._job: Job | None = None
        self._left: float | None = float("inf")
        self._silence = Silence(0.0)
        self._bench: tuple[str, Bench, Setup] | None = None
        self._done = 0
        self._failures = 0

    def leave(self) -> None:
        """Ends :meth:`run` soon: the trial under way is kept and put back. From any thread."""
        if self._leaving.is_set():
            return
        self._left_at = time.monotonic()
        self._leaving.set()
        if self._store is not None:
            self._store.hurry()
        later(LET_GO_SECONDS, self._let_go)

    def _let_go(self) -> None:
        """Puts back what is still under way: this process may be about to be killed."""
        job, jobs = self._job, self._jobs
        if job is not None and jobs is not None:
            self._put_back(jobs, job)

    def run(self) -> Tally:
        """Works until the study is finished, nothing was to do for long, or it is to leave.

        Raises:
            PluginError: The plugins here are not those of the search.
            StudyError: The study or its data are not here.
        """
        store = awaited(
            self._files,
            self._study,
            self._storage,
            seconds=self._idle,
            pause=self._leaving.wait,
            tell=self._tell,
        )
        if store is None:
            return self._tally(LEFT)
        self._store = store
        # Of the search: with a shorter one its signs of life would come too late.
        jobs = self._jobs = store.jobs(self._grace or store.get(GRACE))
        sweeper = Sweeper(jobs)
        self._silence = Silence(jobs.between_beats)
        about = {"device": self._device, "pid": os.getpid()}

        def live() -> None:
            if self._parent is not None and os.getppid() != self._parent:
                if not self._leaving.is_set():
                    # Nobody else would end this process if it hangs.
                    later(2 * LET_GO_SECONDS, os._exit, HUNG)
                self.leave()
            jobs.show(self._name, about)
            self._beat(jobs)
            sweeper.sweep()

        live()
        pulse = Pulse(live, lambda: jobs.between_beats)
        self._tell(f"Worker {self._name} is there for study {self._study!r}.")
        try:
            return self._work(store, jobs)
        except LeftError:
            return self._tally(LEFT)
        except StudyError:
            if not self._leaving.is_set():
                raise
            return self._tally(LEFT)  # and the database is away
        finally:
            pulse.stop()
            with contextlib.suppress(StudyError):
                jobs.leave(self._name)
            store.close()

    # Work --------------------------------------------------------------------------------------

    def _work(self, store: Store, jobs: Jobs) -> Tally:
        since = time.monotonic()
        while not self._leaving.is_set():
            if (store.get("status") or {}).get("state") == "finished":
                return self._tally("the search is finished")
            if self._bench is None:
                self._learn(store)
            job = None if self._bench is None else jobs.claim(self._name)
            if job is None:
                if time.monotonic() - since > self._idle:
                    return self._tally(f"there was nothing to do for {self._idle:.0f} s")
                self._leaving.wait(POLL_SECONDS)
                continue
            self._carry_out(store, jobs, job)
            if self._failures >= FAILURES:
                return replace(self._tally("what it did failed again and again"), broken=True)
            since = time.monotonic()
        return self._tally(LEFT)

    def _tally(self, reason: str) -> Tally:
        return Tally(jobs=self._done, reason=reason)

    def _learn(self, store: Store) -> None:
        """Loads what the present state of the search needs; nothing before there is one."""
        setup = SharedSetup.read(store)
        if setup is None:
            return
        from automl_transfer.training.device import choose_device, prepare_process

        if self._jobs is not None and self._grace is None:
            # A search that is resumed may have another one.
            self._jobs.grace = store.get(GRACE) or self._jobs.grace
        setup.require_plugins(self._registry)
        request = self._request()
        dataset, card = self._loaded(request, setup)
        try:
            unpacked = setup.unpacked(request, self._registry, card, dataset, self._files.path)
        except StudyError:
            now = SharedSetup.read(store)
            if now is None or now.revision != setup.revision:
                return  # the search has come further, or ended, while the data were read
            raise
        bench = unpacked.bench(self._registry)
        bench.set_device(choose_device(self._device))
        prepare_process(bench.device, self._threads)
        self._bench = (setup.revision, bench, unpacked)

    def _loaded(self, request: SearchRequest, setup: SharedSetup) -> tuple[Dataset, ModalityCard]:
        from automl_transfer.stages.context import cache_directory
        from automl_transfer.stages.load import opened, recognise_data
        from automl_transfer.training.array_cache import ArrayCache

        if self._bench is not None:
            known = self._bench[2]
            if known.dataset.fingerprint == setup.fingerprint:
                return known.dataset, known.modality
        path = Path(request.data)
        recognised = recognise_data(path, request.options, self._registry)
        cache = ArrayCache(cache_directory(), request.cache_size)
        run = opened(self._registry, recognised, path, request.options, cache)
        return ended(run, self._require_to_stay), recognised[0]

    def _require_to_stay(self, _: object = None) -> None:
        if self._leaving.is_set():
            raise LeftError

    def _carry_out(self, store: Store, jobs: Jobs, job: Job) -> None:
        self._left, self._job = float("inf"), job
        self._silence.end()
        if not self._knows(job):
            # The search has come further since we looked at its state.
            try:
                self._learn(store)
            except BaseException:
                self._put_back(jobs, job)
                raise
            self._silence.end()
        if not self._knows(job):
            self._put_back(jobs, job)
            self._leaving.wait(POLL_SECONDS)
            return
        try:
            result = self._result(jobs, job)
        except LeftError:
            self._put_back(jobs, job)
            self._tell("What was under way is kept, for another worker to go on with.")
            return
        except LostError:
            self._tell("What was done was given to another worker meanwhile; its result counts.")
            return
        except Exception as error:
            self._job = None
            self._failed(jobs, job, error)
            return
        finally:
            self._job = None
        self._failures = 0
        if self._left is None or not self._patiently(lambda: jobs.finish(job, result)):
            self._tell("What was done was given to another worker meanwhile; its result counts.")
            return
        self._done += 1

    def _failed(self, jobs: Jobs, job: Job, error: Exception) -> None:
        """Something went wrong that is not the trial's own: another process may do better."""
        from automl_transfer.training.device import is_of_the_machine

        reason = reason_of(error)
        if is_of_the_machine(error):
            # Not counted: other workers may be on the same disk. The search takes it at last, and
            # fails it if it fails there too.
            self._put_back(jobs, job)
            self._failures = FAILURES
        elif self._patiently(lambda: jobs.fail(job, failure(self._device, reason))):
            self._failures += 1
        else:
            return  # it was not ours any more, and so is what went wrong
        self._tell(f"It failed here, and is put back: {reason}.")
        if self._failures < FAILURES:
            self._leaving.wait(_PAUSE_SECONDS)

    def _patiently(self, work: Callable[[], T]) -> T:
        """Tells of what was done, though the database be away for longer than anybody waits:
        there is nothing better to do."""
        until = time.monotonic() + self._idle
        while True:
            try:
                return work()
            except StudyError:
                if time.monotonic() > until or self._leaving.wait(_PAUSE_SECONDS):
                    raise

    def _put_back(self, jobs: Jobs, job: Job) -> None:
        self._job = None  # so that no sign of life takes it for lost
        with contextlib.suppress(StudyError):  # else its lease ends, and comes to the same
            jobs.release(job)

    def _knows(self, job: Job) -> bool:
        """Whether what is loaded is of the state of the search that a job needs."""
        return self._bench is not None and self._bench[0] == job.payload["revision"]

    def _result(self, jobs: Jobs, job: Job) -> dict[str, Any]:
        """What comes of a job."""
        from automl_transfer.stages.divided import WHAT, compute
        from automl_transfer.training.device import is_of_the_machine

        assert self._bench is not None
        _, bench, setup = self._bench
        if job.payload["what"] == WHAT:
            self._tell(f"{job.payload['backbone']}: {len(job.payload['positions'])} samples.")
            home = self._files.path / SHARED
            try:
                return compute(bench, job.payload, home, self._is_over, self._step)
            except Exception as error:
                if is_of_the_machine(error):
                    raise
                # Here they would be others, or the time is over: the search makes them itself.
                return failure(self._device, reason_of(error))
        return self._trained(jobs, job, bench, setup)

    def _is_over(self) -> bool:
        self._silence.end()
        if time.monotonic() - self._left_at > _BETWEEN_STEPS:
            raise LeftError
        return self._left is None or self._left <= 0

    def _trained(self, jobs: Jobs, job: Job, bench: Bench, setup: Setup) -> dict[str, Any]:
        from automl_transfer.stages.advancing import carried_out, parked_at
        from automl_transfer.training.device import is_of_the_machine

        def ours() -> None:
            try:
                left = self._patiently(lambda: jobs.beat(job))
            except StudyError:
                raise LeftError from None  # of the database: it says nothing of the trial
            if left is None:
                raise LostError

        row = from_json(Outcome, job.payload["row"])
        rung = int(job.payload["rung"])
        parked = self._inside(job.payload["parked"])
        self._tell(f"Trial {row.number}: {row.configuration.title}, to step {rung}.")
        setup.take_up(bench, row.configuration.backbone)
        ended = carried_out(
            bench,
            row,
            tuple(job.payload["ladder"]),
            rung,
            parked,
            self._is_over,
            self._step,
            before_saving=ours,
            passed_on=is_of_the_machine,
        )
        return result_of(ended, parked_at(parked, rung))

    def _step(self, done: int, total: int) -> None:
        self._silence.end()
        self._require_to_stay()

    def _beat(self, jobs: Jobs) -> None:
        """A sign of life for the trial under way, if it goes on; called in a thread."""
        job = self._job
        if job is None:
            return
        silent = self._silence.look()
        if silent > self._hang:
            self._give_up(jobs, job, silent)
        left = jobs.beat(job)
        if self._job is job:
            self._left = left

    def _give_up(self, jobs: Jobs, job: Job, silent: float) -> None:
        """Ends this process: what hangs inside a library or a driver cannot be ended otherwise."""
        reason = (
            f"hung: no step was done for {silent:.0f} s, so the watchdog ended the process; a "
            "file that cannot be read, or a driver, may be the cause"
        )
        with contextlib.suppress(AutomlTransferError):
            jobs.finish(job, failure(self._device, reason, silent))
            jobs.leave(self._name)
        self._tell(f"The trial is {reason}.")
        os._exit(HUNG)

    # The study ---------------------------------------------------------------------------------

    def _request(self) -> SearchRequest:
        request = self._files.read_request()
        if self._data is not None:
            request = replace(request, data=str(Path(self._data).absolute()))
        return replace(request, study=self._study)

    def _inside(self, name: str) -> Path:
        """A path of a job; it must lie in the study."""
        path = (self._files.path / name).resolve()
        if not path.is_relative_to(self._files.path.resolve()):
            raise StudyError(f"A job names a place outside its study: {name!r}.")
        return path
