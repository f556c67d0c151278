"""Our search on one data set, for B3 and B4: cold, as a user would call it.

    python benchmarks/compare_ours.py SPLIT.csv --root IMAGES --backbones DIR... --budget 300 \
        --out answer.json

Runs ``automl-transfer search`` as a process of its own with an empty cache and a new study. The
clock is stopped when that process has ended, its refit and its report included; only then is the
stored model asked for its test predictions, so that all systems can be compared sample by sample,
and so are the models that were the best on the way (``_moments.py``).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import _moments

STUDY = "compared"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("split", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--backbones", nargs="+", type=Path, required=True)
    parser.add_argument("--budget", type=float, required=True, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--started", type=float, help="time.time() of the start")
    parser.add_argument("--strategy", action="append", default=[], help="as for the search")
    parser.add_argument("--prefer", default="latency", help="as for the search")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        started = options.started or time.time()
        studies = Path(scratch) / "studies"
        with _moments.Watcher(studies / STUDY, Path(scratch) / "moments") as watcher:
            run_search(options, Path(scratch))
            wall = time.time() - started
        found = read_answer(options, studies, watcher, started, wall)
    options.out.write_text(json.dumps(found), encoding="utf-8")


def run_search(options: argparse.Namespace, scratch: Path) -> None:
    """The search; its standard error goes to ours."""
    words = [sys.executable, "-m", "automl_transfer", "search", "--offline", "--quiet", "--json"]
    words += ["--data", str(options.split), "--root", str(options.root), "--metric", "accuracy"]
    words += ["--budget", f"{options.budget:.0f}s", "--seed", str(options.seed)]
    words += ["--prefer", options.prefer, "--study", STUDY, "--studies", str(scratch / "studies")]
    for backbone in options.backbones:
        words += ["--backbone", f"local:{backbone.resolve()}"]
    for strategy in options.strategy:
        words += ["--strategy", strategy]
    environment = os.environ | {"AUTOML_TRANSFER_CACHE_DIR": str(scratch / "cache")}
    subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=True)


def read_answer(
    options: argparse.Namespace,
    studies: Path,
    watcher: _moments.Watcher,
    started: float,
    wall: float,
) -> dict[str, Any]:
    """What the study says, and what its models say of the test part: the final one last."""
    import automl_transfer

    with options.split.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    paths = [options.root / row["path"] for row in rows]
    study = automl_transfer.open_study(STUDY, studies=studies)
    recommendation = study.recommendation
    if recommendation is None:
        raise SystemExit("The search ended without an answer.")
    model = study.model
    matrix, errors = model.probabilities(paths)
    unread = [error for error in errors if error is not None]
    if unread:
        raise SystemExit(f"All test images must be readable, but: {unread[:3]}.")
    winner = recommendation.winner
    backbone = winner.configuration.backbone.rpartition("/")[2]
    best: dict[str, float] = {}
    for trial in study.trials:
        if trial.state == "finished" and trial.value is not None:
            best[trial.stage] = max(trial.value, best.get(trial.stage, 0.0))
    return {
        "wall": wall,
        "own_seconds": recommendation.seconds,
        "own_test_score": recommendation.test.value,
        "refitted": recommendation.refitted,
        "trials": dict(recommendation.trials),
        "best_by_stage": best,
        "winning_stage": winner.stage,
        "answers": [
            *_moments.scored(watcher, study, paths, started),
            {
                "at": wall,
                "validation": winner.value,
                "what": f"{backbone} + {winner.configuration.head}, "
                f"{winner.configuration.strategy}",
                "predicted": matrix.argmax(axis=1).tolist(),
            },
        ],
    }


if __name__ == "__main__":
    main()
