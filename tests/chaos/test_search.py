"""A whole search among kills comes to what it would have come to."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import pytest

from automl_transfer.study import Study
from tests.chaos.processes import started, until
from tests.chaos.searching import log, trials
from tests.toy_search import comparable

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


def test_workers_that_are_killed_change_no_trial(
    directory: Path, alone: list[tuple[object, ...]], turn: int
) -> None:
    leader = started("lead", str(directory), "1", log=directory / "log")
    until(lambda: (directory / "studies" / "toy" / "study.db").exists())
    places = [started("toy_worker", str(directory), log=directory / "w") for _ in range(2)]
    generator, kills = random.Random(turn), 0
    while leader.poll() is None:
        time.sleep(0.6 + generator.random())
        killed = generator.randrange(2)
        busy = log(directory, "w").count("to step")
        if busy > kills and kills < 4 and places[killed].poll() is None:
            places[killed].kill()
            kills += 1
            places[killed] = started("toy_worker", str(directory), log=directory / "w")
    assert leader.wait() == 0, log(directory)[-3000:]
    assert kills >= 2
    assert "to step" in log(directory, "w"), "no worker had a trial"
    found = comparable(trials(directory))
    # A trial whose process dies twice fails; all others are as they would have been.
    pairs = [(row, other) for row, other in zip(found, alone, strict=True) if row != other]
    others = [pair for pair in pairs if "died, 2 times" not in str(pair[0][4])]
    assert not others, f"now, and alone: {others}"
    assert len(pairs) <= kills // 2


def test_sigterm_keeps_the_trial_for_another_worker(
    directory: Path, alone: list[tuple[object, ...]]
) -> None:
    leader = started("lead", str(directory), "1", log=directory / "log")
    until(lambda: (directory / "studies" / "toy" / "study.db").exists())
    worker = started("toy_worker", str(directory), log=directory / "w")
    until(lambda: "to step" in log(directory, "w"), 120)
    time.sleep(0.4)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(10) == 143
    assert "is kept, for another worker" in log(directory, "w")
    assert leader.wait(200) == 0
    assert comparable(trials(directory)) == alone


def test_a_search_that_is_killed_again_and_again_comes_to_the_same(
    directory: Path, alone: list[tuple[object, ...]], turn: int
) -> None:
    generator = random.Random(3 + turn)
    kills = 0
    for _ in range(6):
        leader = started("lead", str(directory), "1", log=directory / "log")
        time.sleep(4.0 + 4.0 * generator.random())
        if leader.poll() is None:
            leader.send_signal(signal.SIGKILL)
            kills += 1
        leader.wait()
    assert kills >= 3
    assert started("lead", str(directory), "1", log=directory / "log").wait(200) == 0
    assert comparable(trials(directory)) == alone


@pytest.mark.parametrize("second", [False, True])
def test_sigterm_ends_a_search_within_ten_seconds_and_it_goes_on_amid_a_rung(
    directory: Path, alone: list[tuple[object, ...]], second: bool
) -> None:
    leader = started("lead", str(directory), "1", log=directory / "log")
    parked = directory / "studies" / "toy" / "parked"
    until(lambda: log(directory).count("Progress") > 12 and parked.parent.exists(), 120)
    until(lambda: "StageStarted" in log(directory) and log(directory).count("TrialStarted") > 6)
    time.sleep(0.7)
    leader.send_signal(signal.SIGTERM)
    if second:
        leader.send_signal(signal.SIGTERM)
    assert leader.wait(10) == 143
    if not second:
        study = Study(directory / "studies" / "toy")
        assert study.status["state"] == "interrupted"
        study.close()
        assert list(parked.glob("*/amid/trial.json"))
    assert started("lead", str(directory), "1", log=directory / "log").wait(200) == 0
    assert comparable(trials(directory)) == alone
