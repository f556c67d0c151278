from __future__ import annotations

import subprocess
import sys
import time

from automl_transfer.cli import beginning

PROGRAM = """
import time
time.sleep(0.3)
from automl_transfer.cli.beginning import began
print(time.monotonic() - began())
"""


def test_time_counts_from_the_start_of_the_process() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    # Waiting counts where the system tells the start, computing everywhere.
    least = 0.3 if sys.platform == "linux" else 0.0
    assert float(ran.stdout) > least, ran.stderr


def test_where_the_start_is_not_told_it_is_what_was_computed(monkeypatch) -> None:
    monkeypatch.setattr(beginning, "_age", lambda: 0.0)
    monkeypatch.setattr(time, "process_time", lambda: 5.0)
    assert time.monotonic() - beginning.began() > 4.9
