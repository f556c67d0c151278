from __future__ import annotations

import shlex
import subprocess
import sys
import time

import pytest

from automl_transfer.cli import beginning

PROGRAM = """
import time
from automl_transfer.cli.beginning import began
print(time.monotonic() - began(), time.process_time())
"""


@pytest.mark.parametrize(
    ("age", "computed", "counted"),
    [
        (0.4, 0.1, 0.4),  # waiting counts where the system tells the start
        (0.0, 5.0, 5.0),  # and computing everywhere
        (200.0, 0.1, 0.1 * beginning.CROWDED),  # but not what another program had taken
    ],
)
def test_time_counts_from_the_start_of_the_program(
    monkeypatch: pytest.MonkeyPatch, age: float, computed: float, counted: float
) -> None:
    monkeypatch.setattr(beginning, "_age", lambda: age)
    monkeypatch.setattr(time, "process_time", lambda: computed)
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)
    assert 1000.0 - beginning.began() == pytest.approx(counted)


def test_a_shell_before_it_does_not_count() -> None:
    line = f"sleep 5; exec {shlex.quote(sys.executable)} -c {shlex.quote(PROGRAM)}"
    ran = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True)
    age, computed = map(float, ran.stdout.split())
    assert age <= beginning.CROWDED * computed + 0.5
