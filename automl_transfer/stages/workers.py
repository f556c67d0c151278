"""One process a device, which fine-tune side by side; this one decides and records.

A process that dies is replaced, its trial is begun once more from its last rung, and then it
fails: the search goes on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import shutil
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_transfer.errors import PluginError, UsageError
from automl_transfer.events import Note, Progress
from automl_transfer.stages.advancing import Begun, Ended, Step
from automl_transfer.stages.handover import (
    Hello,
    Order,
    Present,
    Ready,
    Refused,
    Setup,
    Steps,
    hand_over,
)
from automl_transfer.stages.worker_process import serve

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from automl_transfer.registry import Registry
    from automl_transfer.stages.context import Context

WAIT_SECONDS = 0.5
"""Between two looks at the clock while nothing is heard."""
START_SECONDS = 120.0
"""In which a process must say what its plugins offer."""
LATE_SECONDS = 10.0
"""Past the end of the time, after which a process that has not noticed it is ended."""
END_SECONDS = 2.0
"""For a process that is told to end, before it is killed."""
ATTEMPTS = 2
"""Of a trial whose process dies."""
STARTS = 3
"""Of a process in a row, after which its device is given up; at once if it says why not."""


@dataclass(kw_only=True)
class _Worker:
    """A place for a process, and who is there."""

    device: str
    process: SpawnProcess | None = None
    connection: Connection | None = None
    ready: bool = False
    order: Order | None = None
    starts: int = 0
    """In a row that came to nothing."""
    refusal: str = "it did not start"
    """Why the last one could not work."""

    @property
    def given_up(self) -> bool:
        """Whether no more processes are started here."""
        return self.starts >= STARTS


class Workers:
    """Processes that advance trials. Close them, whatever happens."""

    def __init__(self, devices: Sequence[str], registry: Registry, home: Path) -> None:
        """Starts them; see :meth:`check`.

        Args:
            devices: A name for each process.
            registry: What they must offer as well.
            home: For files that they share; removed by :meth:`close`.

        Raises:
            UsageError: A plugin cannot be handed to another process.
        """
        from automl_transfer.training.device import usable_cores

        self._registry = registry
        self._home = home
        self._threads = max(1, usable_cores() // len(devices))
        self._hello = Hello.of(registry.sources)
        self._setup: Setup | None = None
        shutil.rmtree(home, ignore_errors=True)  # of a search that was killed
        self._workers = [_Worker(device=device) for device in devices]
        try:
            for worker in self._workers:
                self._start(worker)
        except BaseException:
            self.close()
            raise

    @property
    def count(self) -> int:
        """How many trials are advanced side by side."""
        return max(1, sum(not worker.given_up for worker in self._workers))

    @property
    def sharing(self) -> int:
        """Processes that compute on one and the same device."""
        return max(Counter(worker.device for worker in self._workers).values())

    def check(self) -> None:
        """Waits until all have said what their plugins offer.

        Raises:
            PluginError: One offers something else than this process, or could not load it.
            UsageError: One ended while it started.
        """
        until = time.monotonic() + START_SECONDS
        waiting = [worker for worker in self._workers if worker.process is not None]
        for worker in waiting:
            message: Any = None
            with contextlib.suppress(EOFError, OSError):
                if worker.connection is not None and worker.connection.poll(
                    max(0.0, until - time.monotonic())
                ):
                    message = worker.connection.recv()
            if message is None:
                raise UsageError(
                    "Each of --devices needs a process of its own, but that for "
                    f"{worker.device} {self._end(worker)} before it had loaded the plugins. A "
                    "script that calls search() must do so below `if __name__ == '__main__':`; "
                    "without --devices one process does everything."
                )
            trouble = self._trouble(message)
            if trouble:
                raise PluginError(
                    f"The process for {worker.device} must offer what this one does, but "
                    f"{trouble}. Plugins that are not installed must be importable from a fresh "
                    "process; without --devices one process does everything."
                )

    def advance(
        self, context: Context, orders: Sequence[Order], left: Callable[[], float]
    ) -> Generator[Step, None, None]:
        """Carries out orders side by side, each by whoever is free.

        Args:
            context: Screened; always the same one.
            orders: Of different trials.
            left: Seconds that are left for them.

        Yields:
            What happens, as it does. Each order has exactly one end.
        """
        if self._setup is None:
            from automl_transfer.training.device import give_back_memory

            give_back_memory(context.device)
            self._setup = Setup.of(context, self._home)
            for worker in self._workers:
                self._tell(worker, self._setup)
        waiting, attempts = deque(orders), Counter[int]()
        try:
            while waiting or self._busy():
                while waiting and (left() <= 0 or not self._in_use()):
                    yield self._not_begun(waiting.popleft(), left())
                yield from self._hand_out(context, waiting, left)
                for worker, message in self._heard():
                    if isinstance(message, Ended):
                        worker.order, worker.starts = None, 0
                        yield message
                    elif isinstance(message, Steps) and worker.order is not None:
                        what = f"trial {worker.order.row.number}, steps"
                        yield Progress(what=what, done=message.done, total=message.total)
                    elif isinstance(message, Ready):
                        worker.ready = True
                    elif not isinstance(message, Present) or self._trouble(message):
                        yield from self._lost(worker, message, waiting, attempts)
                if left() < -LATE_SECONDS:
                    for worker in self._busy():
                        yield self._cut_off(worker)
        finally:
            for worker in self._busy():
                self._cut_off(worker)

    def close(self) -> None:
        """Ends all processes, whatever they are at, and removes what they shared."""
        for worker in self._workers:
            _terminate(worker)
        for worker in self._workers:
            self._end(worker)
        shutil.rmtree(self._home, ignore_errors=True)

    # Orders ------------------------------------------------------------------------------------

    def _hand_out(
        self, context: Context, waiting: deque[Order], left: Callable[[], float]
    ) -> Iterator[Step]:
        for worker in self._in_use():
            if worker.process is None:
                self._start(worker)
            if not waiting or not worker.ready or worker.order is not None:
                continue
            order = waiting.popleft()
            backbone = order.row.configuration.backbone
            if self._setup is not None:
                candidate = context.candidates[backbone]
                hand_over(candidate, self._setup.candidates[backbone].features)
            worker.order = replace(order, seconds_left=left())
            yield Begun(number=order.row.number)
            self._tell(worker, worker.order)

    def _heard(self) -> list[tuple[_Worker, Any]]:
        """What there is to hear, after a while at the most; None is the end of a process."""
        there = [worker.connection for worker in self._workers if worker.connection is not None]
        speaking = multiprocessing.connection.wait(there, WAIT_SECONDS)
        heard: list[tuple[_Worker, Any]] = []
        for worker in self._workers:
            if worker.connection is None or worker.connection not in speaking:
                continue
            message: Any = None
            # A message that was cut off by a kill is no message.
            with contextlib.suppress(EOFError, OSError):
                message = worker.connection.recv()
            heard.append((worker, message))
        return heard

    def _lost(
        self, worker: _Worker, message: Any, waiting: deque[Order], attempts: Counter[int]
    ) -> Iterator[Step]:
        """What comes of a process that has died, or that cannot work."""
        order, worker.order = worker.order, None
        end, trouble = self._end(worker), self._trouble(message)
        worker.refusal = trouble or end
        if order is None:
            worker.starts = STARTS if trouble else worker.starts + 1
        else:
            number = order.row.number
            attempts[number] += 1
            again = attempts[number] < ATTEMPTS
            text = f"The process on {worker.device} {end} while it trained trial {number}"
            if again:
                waiting.appendleft(order)
                yield Note(text=f"{text}, which is begun again.", level="warning")
            else:
                yield Ended(
                    number=number,
                    device=worker.device,
                    seconds=0.0,
                    reason=f"error: its process {end}, {attempts[number]} times",
                )
        if worker.given_up:
            yield Note(
                text=f"No more trials on {worker.device}: its process could not work "
                f"({worker.refusal}).",
                level="warning",
            )
        else:
            self._start(worker)

    def _not_begun(self, order: Order, left: float) -> Ended:
        reason = None
        if left > 0:
            why = "; ".join(f"{worker.device}: {worker.refusal}" for worker in self._workers)
            reason = f"error: no process is left to train it ({why})"
        return Ended(number=order.row.number, device="", seconds=0.0, reason=reason)

    def _cut_off(self, worker: _Worker) -> Ended:
        """Ends a process amid its order; the next one is started when there is a next order."""
        order, worker.order = worker.order, None
        _terminate(worker)
        self._end(worker)
        number = -1 if order is None else order.row.number
        return Ended(number=number, device=worker.device, seconds=0.0)

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.order is not None]

    def _in_use(self) -> list[_Worker]:
        return [worker for worker in self._workers if not worker.given_up]

    # Processes ---------------------------------------------------------------------------------

    def _start(self, worker: _Worker) -> None:
        spawning = multiprocessing.get_context("spawn")
        worker.connection, theirs = spawning.Pipe()
        process = spawning.Process(
            target=serve,
            args=(theirs, worker.device, self._threads),
            name=f"automl-transfer on {worker.device}",
            daemon=True,
        )
        worker.process, worker.ready = process, False
        process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        try:
            self._tell(worker, self._hello)
        except Exception as error:  # whatever a plugin raises that cannot be pickled
            raise UsageError(
                "With several --devices each process loads the plugins, so one that is not "
                f"installed must be a module or an object that can be pickled, but: {error}. "
                "Without --devices one process does everything."
            ) from error
        if self._setup is not None:
            self._tell(worker, self._setup)

    def _tell(self, worker: _Worker, message: object) -> None:
        """Sends a message; one that is not there to hear it is noticed when it is listened to."""
        if worker.connection is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                worker.connection.send(message)

    def _end(self, worker: _Worker) -> str:
        """Ends a process that may have ended, and says how it did."""
        process, connection = worker.process, worker.connection
        worker.connection, worker.ready = None, False
        if connection is not None:
            connection.close()
        if process is None or process.pid is None:
            worker.process = None
            return "was not started"
        process.join(END_SECONDS)
        if process.is_alive():
            _terminate(worker)
            process.join(END_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
        code = process.exitcode
        process.close()
        worker.process = None
        return _ending(code)

    def _trouble(self, message: Any) -> str | None:
        """Why a process with this answer cannot work, in words, or None."""
        if isinstance(message, Refused):
            return message.reason
        if isinstance(message, Present):
            return "; ".join(self._registry.differences(message.inventory)) or None
        return None


def _terminate(worker: _Worker) -> None:
    if worker.process is not None and worker.process.pid is not None:
        worker.process.terminate()


def _ending(code: int | None) -> str:
    if code is None or code >= 0:
        return f"ended with exit code {code}"
    with contextlib.suppress(ValueError):
        name = signal.Signals(-code).name
        hint = ", as it is when memory runs out" if name == "SIGKILL" else ""
        return f"was ended by {name}{hint}"
    return f"was ended by signal {-code}"
