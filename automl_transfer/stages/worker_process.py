"""A worker: a process of its own for each device, which advances trials that it is given.

Only the standard library is imported before Ctrl-C is left to the search and the number of
threads is set.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from automl_transfer.registry import Registry
    from automl_transfer.stages.advancing import Ended
    from automl_transfer.stages.context import Bench
    from automl_transfer.stages.handover import Hello, Order, Setup

_TELL_SECONDS = 0.5
"""Between two messages of how far an order is."""


def serve(connection: Connection, device: str, threads: int) -> None:
    """Answers messages until the other end is closed.

    Args:
        connection: To the search.
        device: On which this process trains.
        threads: Of the CPU, unless the user has said it with ``OMP_NUM_THREADS``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    threading.Thread(target=_end_with_search, daemon=True, name="end with search").start()
    # Their place is the terminal of the search, which shows a table; it has given its own.
    warnings.simplefilter("ignore")
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        _work(connection, device)  # until the search is over


def _end_with_search() -> None:
    """Ends this process when the search has ended in whatever way, also amid a long step."""
    search = multiprocessing.parent_process()
    if search is not None:
        multiprocessing.connection.wait([search.sentinel])
        os._exit(1)


def _work(connection: Connection, device: str) -> None:
    from automl_transfer.entries import one_line
    from automl_transfer.stages.handover import Present, Ready, Refused

    try:
        registry = _registry(connection.recv())
        connection.send(Present(inventory=registry.inventory))
        _import_ahead()
        bench = _bench(connection.recv(), registry, device)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except (Exception, SystemExit) as error:
        connection.send(Refused(reason=one_line(error)))
        return
    connection.send(Ready())
    while True:
        connection.send(_carried_out(connection, *bench, connection.recv()))


def _registry(hello: Hello) -> Registry:
    from automl_transfer.plugins import load_registry

    return load_registry(
        disabled=hello.disabled,
        extra=hello.plugins(),
        builtin=hello.builtin,
        third_party=hello.third_party,
    )


def _import_ahead() -> None:
    """Loads what training needs while the search is still at its first stages."""
    from automl_transfer.stages import advancing  # noqa: F401
    from automl_transfer.training import tuning  # noqa: F401


def _bench(setup: Setup, registry: Registry, device: str) -> tuple[Bench, Setup]:
    from automl_transfer.training.device import choose_device, prepare_process

    bench = setup.bench(registry)
    bench.set_device(choose_device(device, "--devices"))
    prepare_process(bench.device)
    return bench, setup


def _carried_out(connection: Connection, bench: Bench, setup: Setup, order: Order) -> Ended:
    from automl_transfer.errors import reason_of
    from automl_transfer.stages.advancing import Ended, carried_out
    from automl_transfer.stages.handover import Steps

    row, started = order.row, time.monotonic()
    told = started

    def stop() -> bool:
        return time.monotonic() - started >= order.seconds_left

    def tell(done: int, total: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _TELL_SECONDS:
            told = time.monotonic()
            connection.send(Steps(done=done, total=total))

    try:
        setup.take_up(bench, row.configuration.backbone)
    except (Exception, SystemExit) as error:
        seconds = time.monotonic() - started
        return Ended(
            number=row.number, device=str(bench.device), seconds=seconds, reason=reason_of(error)
        )

    def lost(error: BaseException) -> bool:
        return isinstance(error, (BrokenPipeError, ConnectionResetError))

    return carried_out(
        bench, row, order.ladder, order.rung, order.parked, stop, tell, passed_on=lost
    )
