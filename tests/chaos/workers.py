"""Processes of the chaos tests. Run as ``python -m tests.chaos.workers WHAT URL ...``."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from automl_transfer.jobs import Pulse, Sweeper
from automl_transfer.store import Store

GRACE = 1.5


def start(url: str) -> None:
    """Opens a study that others open at the same moment."""
    store = Store(url, "s", create=True)
    store.put(f"was here {os.getpid()}", True)
    store.close()


def work(url: str, ledger: str, seconds: str) -> None:
    """Takes jobs, as a worker does, and notes durably which it was told are done."""
    store = Store(url, "s", create=True)
    jobs = store.jobs(GRACE)
    name = f"worker-{os.getpid()}"
    own: list = []
    sweeper = Sweeper(jobs)

    def live() -> None:
        jobs.show(name, {})
        for job in list(own):
            jobs.beat(job)
        sweeper.sweep()

    pulse = Pulse(live, lambda: jobs.between_beats)
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    idle = 0
    while idle < 20:
        job = jobs.claim(name)
        if job is None:
            idle = 0 if any(one.state == "running" for one in jobs.standings()) else idle + 1
            time.sleep(0.05)
            continue
        idle = 0
        own.append(job)
        note(file, "begun", job.key, job.attempt)
        time.sleep(float(seconds))
        value = {"value": int(job.key) * 7, "by": os.getpid()}
        taken = jobs.finish(job, value)
        own.remove(job)
        note(file, "told" if taken else "stale", job.key, value["value"])
    pulse.stop()
    store.close()


def note(file: int, *words: object) -> None:
    os.write(file, (json.dumps([*words, os.getpid()]) + "\n").encode())
    os.fsync(file)


def silent(url: str) -> None:
    """Takes a job and never shows a sign of life."""
    store = Store(url, "s", create=True)
    job = store.jobs(GRACE).claim("silent")
    assert job is not None
    print(job.key, flush=True)
    time.sleep(600)


def reap(url: str) -> None:
    """Looks after the leases of others until it is killed."""
    sweeper = Sweeper(Store(url, "s", create=True).jobs(GRACE))
    while True:
        sweeper.sweep()
        time.sleep(0.02)


def rows(url: str, count: str) -> None:
    """Adds rows one by one, and says which it was told are there."""
    from tests.test_store import outcome

    store = Store(url, "s", create=True)
    for number in range(int(count)):
        store.append(outcome(number, value=number / 1000))
        print(number, flush=True)


def lead(directory: str, workers: str, storage: str = "") -> None:
    """A whole search over the toy data, with workers of its own that have its plugin."""
    from automl_transfer.cli import _leave_behind
    from automl_transfer.cli.interrupt import TerminatedError, two_steps
    from tests.chaos.toy import request, searching

    wanted = request(Path(directory), int(workers), storage or None)
    events = searching(Path(directory), wanted)
    try:
        with two_steps():
            for event in events:
                print(type(event).__name__, getattr(event, "text", ""), flush=True)
    except TerminatedError:
        events.close()  # type: ignore[attr-defined]
        _leave_behind(143)
    _leave_behind(0)


def toy_worker(directory: str, storage: str = "", hang: str = "600") -> None:
    """A worker of such a search."""
    from automl_transfer.cli.interrupt import leaving
    from automl_transfer.working import Worker
    from tests.chaos.toy import plugins

    made = Worker(
        "toy",
        plugins(Path(directory)),
        studies=Path(directory) / "studies",
        storage=storage or None,
        device="cpu",
        threads=1,
        idle=60.0,
        hang=float(hang),
        grace=GRACE,
        tell=lambda text: print(text, flush=True),
    )
    with leaving(made.leave) as came:
        tally = made.run()
    print(json.dumps({"jobs": tally.jobs, "reason": tally.reason}), flush=True)
    if came:
        sys.exit(128 + came[0])


if __name__ == "__main__":
    assert threading.current_thread() is threading.main_thread()
    known = {
        "start": start,
        "work": work,
        "silent": silent,
        "reap": reap,
        "rows": rows,
        "lead": lead,
        "toy_worker": toy_worker,
    }
    known[sys.argv[1]](*sys.argv[2:])
