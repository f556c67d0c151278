"""Jobs: each is done once, whoever dies, is away or comes late."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from automl_transfer.errors import StudyError
from automl_transfer.jobs import Sweeper
from automl_transfer.store import Store
from tests.chaos.processes import started, until
from tests.chaos.servers import Server
from tests.chaos.workers import GRACE
from tests.test_store import outcome

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


def ledger(path: Path) -> list[list]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def post(store: Store, count: int) -> None:
    jobs = store.jobs(GRACE)
    for number in range(count):
        jobs.post(str(number), {"number": number}, number)


def test_four_workers_do_two_hundred_jobs_once_each(url: str, tmp_path: Path) -> None:
    store = Store(url, "s", create=True)
    post(store, 200)
    path = tmp_path / "ledger"
    workers = [started("work", url, str(path), "0") for _ in range(4)]
    codes = [worker.wait(200) for worker in workers]
    assert codes == [0, 0, 0, 0], [worker.stderr.read() for worker in workers if worker.stderr]
    begun = Counter(row[1] for row in ledger(path) if row[0] == "begun")
    assert len({row[3] for row in ledger(path)}) > 1, "one worker did them all"
    assert begun == Counter(str(number) for number in range(200))
    assert [one.state for one in store.jobs().standings()] == ["done"] * 200
    store.close()


def test_fifty_kills_lose_alter_and_double_nothing(url: str, tmp_path: Path, turn: int) -> None:
    store = Store(url, "s", create=True)
    post(store, 200)
    path, generator = tmp_path / "ledger", random.Random(turn)
    workers = [started("work", url, str(path), "0.2", log=tmp_path / "log") for _ in range(3)]
    kills = 0
    while kills < 50:
        time.sleep(0.05 + generator.random() * 0.15)
        place = generator.randrange(3)
        if workers[place].poll() is None and any(
            row[-1] == workers[place].pid for row in ledger(path)
        ):
            workers[place].send_signal(signal.SIGKILL)
            assert workers[place].wait() == -signal.SIGKILL
            kills += 1
            workers[place] = started("work", url, str(path), "0.2", log=tmp_path / "log")
        if all(one.state in ("done", "failed") for one in store.jobs().standings()):
            break
    for worker in workers:
        assert worker.wait(200) == 0, (tmp_path / "log").read_text()[-2000:]
    found = store.jobs().standings()
    assert kills == 50, "the kills did not come to pass"
    assert len(found) == 200
    assert {one.state for one in found} <= {"done", "failed"}
    told = {row[1]: row[2] for row in ledger(path) if row[0] == "told"}
    count = Counter(row[1] for row in ledger(path) if row[0] == "told")
    assert all(times == 1 for times in count.values())
    stored = {one.key: one.result["value"] for one in found if one.state == "done"}
    assert {key: stored.get(key) for key in told} == told
    begun = Counter(row[1] for row in ledger(path) if row[0] == "begun")
    assert max(begun.values()) <= 2
    assert all(one.result.keys() == {"died"} for one in found if one.state == "failed")
    store.close()


def test_a_kill_before_the_first_sign_of_life_is_one_retry(url: str, tmp_path: Path) -> None:
    store = Store(url, "s", create=True)
    post(store, 1)
    dead = started("silent", url)
    assert dead.stdout is not None and dead.stdout.readline() == "0\n"
    dead.kill()
    dead.wait()
    assert [(one.state, one.beats) for one in store.jobs().standings()] == [("running", 0)]
    worker = started("work", url, str(tmp_path / "ledger"), "0")
    assert worker.wait(60) == 0
    rows = ledger(tmp_path / "ledger")
    assert [row[:3] for row in rows] == [["begun", "0", 2], ["told", "0", 0]]
    store.close()


def test_reapers_that_are_killed_give_each_job_back_once(url: str, turn: int) -> None:
    store = Store(url, "s", create=True)
    jobs = store.jobs(GRACE)
    post(store, 40)
    for _ in range(40):
        assert jobs.claim("dead") is not None
    generator = random.Random(1 + turn)
    reapers = [started("reap", url) for _ in range(4)]
    kills = 0
    until_end = time.monotonic() + 60
    while any(one.state == "running" for one in jobs.standings()):
        assert time.monotonic() < until_end
        time.sleep(generator.random() * 0.4 + GRACE * (kills % 3 == 0))
        place = generator.randrange(4)
        reapers[place].kill()
        kills += 1
        reapers[place] = started("reap", url)
    for reaper in reapers:
        reaper.kill()
        reaper.wait()
    assert kills
    taken = [jobs.claim("next") for _ in range(40)]
    assert [job.attempt for job in taken if job is not None] == [2] * 40
    assert jobs.claim("next") is None
    store.close()


def test_a_worker_that_was_away_discards_its_result_and_goes_on(url: str, tmp_path: Path) -> None:
    store = Store(url, "s", create=True)
    post(store, 1)
    path = tmp_path / "ledger"
    slow = started("work", url, str(path), "3")
    until(lambda: len(ledger(path)) == 1)
    slow.send_signal(signal.SIGSTOP)
    time.sleep(GRACE)
    other = started("work", url, str(path), "0.1")
    until(lambda: any(row[0] == "told" for row in ledger(path)))
    time.sleep(GRACE)
    slow.send_signal(signal.SIGCONT)
    until(lambda: any(row[0] == "stale" for row in ledger(path)))
    post(store, 2)
    assert slow.wait(60) == 0
    assert other.wait(60) == 0
    rows = ledger(path)
    assert [row for row in rows if row[0] == "stale"] == [["stale", "0", 0, slow.pid]]
    (first, second) = store.jobs().standings()
    assert (first.state, first.result["by"], second.state) == ("done", other.pid, "done")
    store.close()


def test_leases_do_not_look_at_the_time_of_day(tmp_path: Path, monkeypatch) -> None:
    store = Store(f"sqlite:///{tmp_path / 'rows.db'}", "s", create=True)
    jobs, now = store.jobs(10.0), 0.0
    post(store, 1)
    job = jobs.claim("alive")
    assert job is not None
    sweeper = Sweeper(jobs, clock=lambda: now)
    monkeypatch.setattr(time, "time", lambda: 4e9)
    for _ in range(20):
        now += 2.0
        assert jobs.beat(job) == float("inf")
        assert sweeper.sweep() == []
    monkeypatch.setattr(time, "time", lambda: 1.0)
    for _ in range(5):
        now += 2.0
        assert sweeper.sweep() == []
    now += 2.0
    assert [state for _, state in sweeper.sweep()] == ["waiting"]
    assert jobs.beat(job) is None
    store.close()


def test_while_nobody_could_show_a_sign_of_life_no_lease_ends(tmp_path: Path) -> None:
    """The database was away, or all processes of this machine stood still."""
    store = Store(f"sqlite:///{tmp_path / 'rows.db'}", "s", create=True)
    jobs, now = store.jobs(30.0), 0.0
    post(store, 2)
    first, second = jobs.claim("first"), jobs.claim("second")
    assert first is not None and second is not None
    sweeper = Sweeper(jobs, clock=lambda: now)
    assert sweeper.sweep() == []
    now += 3600.0
    assert sweeper.sweep() == []
    for _ in range(4):  # the others come back within their pauses between two attempts
        now += 5.0
        assert sweeper.sweep() == []
    assert jobs.beat(first) == float("inf")
    now += 5.0
    assert [one.key for one, _ in sweeper.sweep()] == [second.key]
    store.close()


@pytest.mark.parametrize("turn", range(8))
def test_four_at_once_may_begin_on_a_fresh_database(url: str, turn: int) -> None:
    starters = [started("start", url) for _ in range(4)]
    assert [one.wait(60) for one in starters] == [0] * 4, [
        one.stderr.read() for one in starters if one.stderr
    ]
    store = Store(url, "s")
    assert all(store.get(f"was here {one.pid}") for one in starters)
    store.close()


def test_a_server_that_is_restarted_amid_writing_loses_and_doubles_nothing(
    server: Server,
) -> None:
    url = server.fresh()
    writer = started("rows", url, "400")
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(60)]
    server.stop("fast")
    time.sleep(1.0)
    server.start()
    server.stop("immediate")
    time.sleep(8.0)
    server.start()
    rest, errors = writer.communicate(timeout=120)
    assert writer.returncode == 0, errors
    assert "is away" in errors and "is back" in errors, "nobody noticed"
    told = [*said, *rest.splitlines(keepends=True)]
    assert [int(line) for line in told] == list(range(400))
    store = Store(url, "s")
    assert [(row.number, row.value) for row in store.trials()] == [
        (number, number / 1000) for number in range(400)
    ]
    store.close()


def test_a_server_that_stays_away_is_said(server: Server) -> None:
    url = server.fresh()
    store = Store(url, "s", create=True, patience=2.0)
    server.stop("fast")
    try:
        began = time.monotonic()
        with pytest.raises(StudyError, match="cannot be written: .*Check that it is there"):
            store.append(outcome(0))
        assert time.monotonic() - began >= 1.0
    finally:
        server.start()
    store.append(outcome(0))
    assert len(store.trials()) == 1
    store.close()


def test_time_zones_of_workers_do_not_matter(server: Server, tmp_path: Path, monkeypatch) -> None:
    url = server.fresh()
    store = Store(url, "s", create=True)
    post(store, 20)
    monkeypatch.setenv("PGTZ", "America/New_York")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    workers = [started("work", url, str(tmp_path / "ledger"), "0.3") for _ in range(2)]
    assert [worker.wait(200) for worker in workers] == [0, 0]
    rows = ledger(tmp_path / "ledger")
    assert Counter(row[0] for row in rows) == {"begun": 20, "told": 20}
    other = Store(url, "s")
    zone = other._database.read(lambda one: one.scalar(sa.text("SHOW TIME ZONE")))
    assert zone == "UTC"
    other.close()
    store.close()


def test_nothing_is_prepared_for_a_session(server: Server) -> None:
    """A pooler may give each transaction another one."""
    store = Store(server.fresh(), "s", create=True)
    for number in range(12):
        store.append(outcome(number))
    asked = sa.text("SELECT count(*) FROM pg_prepared_statements")
    assert store._database.read(lambda one: one.scalar(asked)) == 0
    store.close()


def test_who_does_not_want_to_wait_does_not_wait_again(tmp_path: Path, monkeypatch) -> None:
    """Ctrl-C while the database is away: what is told on the way out is tried once."""
    from automl_transfer import database

    monkeypatch.setattr(database, "_BUSY_SECONDS", 0.01)
    store = Store(f"sqlite:///{tmp_path / 'rows.db'}", "s", create=True)
    store.close()
    store = Store(f"sqlite:///{tmp_path / 'rows.db'}", "s", create=True)
    other = sqlite3.connect(tmp_path / "rows.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        raise KeyboardInterrupt

    monkeypatch.setattr("tenacity.nap.time.sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        store.append(outcome(0))
    for _ in range(2):
        with pytest.raises(StudyError, match="in use by another process"):
            store.append(outcome(0))
    assert len(pauses) == 1
    other.rollback()
    store.append(outcome(0))
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(KeyboardInterrupt):
        store.append(outcome(1))
    other.rollback()
    store.append(outcome(1))
    store.hurry()
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StudyError, match="in use by another process"):
        store.append(outcome(2))
    other.close()
    store.close()


@pytest.mark.parametrize("seconds", [10, 70])
def test_a_locked_file_is_waited_for_and_then_said(tmp_path: Path, seconds: int) -> None:
    store = Store(f"sqlite:///{tmp_path / 'rows.db'}", "s", create=True)
    other = sqlite3.connect(tmp_path / "rows.db", check_same_thread=False, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    locked = time.monotonic()
    timer = threading.Timer(seconds, other.rollback)
    timer.start()
    try:
        if seconds == 10:
            store.append(outcome(0))
            assert time.monotonic() - locked >= 9
        else:
            with pytest.raises(StudyError, match="in use by another process"):
                store.append(outcome(0))
            assert time.monotonic() - locked >= 55
    finally:
        timer.join()
    if seconds == 70:
        store.append(outcome(0))
    assert [row.number for row in store.trials()] == [0]
    store.close()


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """A file of limited size stands for the disk: SQLite fails in the same way."""
    path = tmp_path / "rows.db"
    store = Store(f"sqlite:///{path}", "s", create=True)
    store.append(outcome(0))
    with sqlite3.connect(path) as other:
        pages = other.execute("PRAGMA page_count").fetchone()[0]
    store.close()
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from automl_transfer.store import Store; from tests.test_store import outcome\n"
        "store = Store(sys.argv[1], 's', create=True)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))\n"
        "for number in range(1, 5000):\n"
        "    store.append(outcome(number)); print(number, flush=True)\n"
    )
    found = subprocess.run(
        [os.sys.executable, "-c", script, f"sqlite:///{path}", str(pages * 4096 + 200_000)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert "StudyError" in found.stderr and "cannot be written" in found.stderr
    told = [int(line) for line in found.stdout.split()]
    assert told
    store = Store(f"sqlite:///{path}", "s", create=True)
    assert [row.number for row in store.trials()][: len(told) + 1] == [0, *told]
    store.append(outcome(9999))
    store.close()
