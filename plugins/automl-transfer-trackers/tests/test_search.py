"""A whole search of the host, tracked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from test_tensorboard import row, texts

from automl_transfer.study import open_study

SEARCHES = """
import os, sys
from pathlib import Path
import automl_transfer
from automl_transfer.testing.toy import toy_plugin, write_toy_data
here = Path(sys.argv[1])
for name, trackers in (("plain", "none"), ("tracked", "tensorboard")):
    os.environ["AUTOML_TRANSFER_TRACKERS"] = trackers
    automl_transfer.search(
        write_toy_data(here / "data.toy.csv", n=120), trials=9, epochs=2, study="toy",
        studies=here / name, backbones=("toy/*",), offline=True, device="cpu",
        hold_out="yes", plugins=[toy_plugin(here)],
    )
"""


def python(*arguments: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def trials(studies: Path) -> list[tuple[object, ...]]:
    study = open_study("toy", studies)
    try:
        return [(row.number, row.configuration, row.state, row.value) for row in study.trials]
    finally:
        study.close()


def test_a_search_is_tracked_whole_and_comes_to_the_same_result(tmp_path: Path) -> None:
    cache = {"AUTOML_TRANSFER_CACHE_DIR": str(tmp_path / "cache")}
    assert python("-c", SEARCHES, str(tmp_path), **cache) == ""
    tracked, plain = tmp_path / "tracked", tmp_path / "plain"

    shown = python("-m", "automl_transfer", "show", "toy", "--studies", str(tracked), "--json")
    runs = sorted((tracked / "toy" / "tensorboard").glob("trial-*"))
    assert Counter(row(run)["state"] for run in runs) == json.loads(shown)["trials"]
    assert len(runs) == 9
    answer = json.loads(shown)["recommendation"]
    search = tracked / "toy" / "tensorboard" / "search"
    assert texts(search, "recommendation")[0].startswith(
        "## {backbone} + {head}, {strategy}".format(**answer["winner"]["configuration"])
    )

    assert not (plain / "toy" / "tensorboard").exists()
    assert trials(tracked) == trials(plain)
