"""When a search really ends, against its ``--budget``, on a machine that is busy (bar B5).

    python benchmarks/budget.py --data IMAGES --write

Each search is a fresh process with an empty cache and a new study; the time is that from its start
to its end as the user would see it, imports included. Meanwhile another process multiplies
matrices without a pause, on as many cores as ``--busy`` says. Writes ``benchmarks/budget.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import _report

LOW, HIGH = 0.85, 1.05
BUDGETS = ["30s", "2m", "10m"]
UNITS = {"s": 1, "m": 60, "h": 3600}
OUTPUT = Path(__file__).with_suffix(".md")
LOAD = """
import numpy as np
a = np.random.default_rng(0).random((512, 512))
while True:
    a @ a
"""


def seconds(text: str) -> float:
    return float(text[:-1]) * UNITS[text[-1]]


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keeps that many cores busy; where a search meets them is up to the operating system."""
    one = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    started = [subprocess.Popen([sys.executable, "-c", LOAD], env=one) for _ in range(processes)]
    try:
        time.sleep(2)
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


@dataclass(frozen=True, kw_only=True)
class Run:
    """One search."""

    wall: float
    """Seconds from the start of its process to its end."""
    cpu: float = 0.0
    """Seconds that cores have worked for it."""
    own: float | None = None
    """Seconds by its own clock."""
    wrong: str = ""


def search(data: str, budget: str, backbones: list[str], seed: int) -> Run:
    """Runs one search in a fresh process, with an empty cache."""
    with tempfile.TemporaryDirectory() as scratch:
        words = [sys.executable, "-m", "automl_transfer", "search", "--data", data]
        words += ["--budget", budget, "--seed", str(seed), "--offline", "--quiet", "--json"]
        words += ["--studies", f"{scratch}/studies"]
        for backbone in backbones:
            words += ["--backbone", backbone]
        environment = os.environ | {"AUTOML_TRANSFER_CACHE_DIR": f"{scratch}/cache"}
        began, worked = time.monotonic(), _worked()
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        wall, cpu = time.monotonic() - began, _worked() - worked
    if done.returncode != 0:
        wrong = (done.stderr.strip().splitlines() or ["no message"])[-1][:200]
        return Run(wall=wall, cpu=cpu, wrong=wrong)
    return Run(wall=wall, cpu=cpu, own=json.loads(done.stdout)["seconds"])


def _worked() -> float:
    """Seconds that cores have worked for processes of ours that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def page(results: dict[str, list[Run]], processes: int) -> str:
    """The table as a page."""
    rows = []
    for budget, runs in results.items():
        ended = [run for run in runs if not run.wrong]
        ratios = [run.wall / seconds(budget) for run in ended] or [float("nan")]
        outside = [run.wall - run.own for run in ended if run.own is not None] or [float("nan")]
        rows.append(
            [
                budget,
                len(runs),
                f"{statistics.median(ratios):.3f}",
                f"{min(ratios):.3f} to {max(ratios):.3f}",
                f"{sum(LOW <= ratio <= HIGH for ratio in ratios)} of {len(runs)}",
                f"{statistics.median(outside):.1f} s",
                f"{statistics.median(run.cpu / run.wall for run in runs):.2f}",
            ]
        )
    header = ["budget", "runs", "median ratio", "range", "within the bar", "not on its own clock"]
    header.append("cores that worked for it")
    texts = [
        "Seconds from the start to the end of `automl-transfer search` (a process of its own, "
        "imports included, with an empty cache) over the seconds of its `--budget`, while "
        f"{processes} other process(es) multiplied matrices without a pause. The bar: within "
        f"[{LOW}, {HIGH}]. What is not on its own clock passes after the answer: the report, and "
        "the end of Python. The last column tells how busy the machine was with other programs: "
        "a search of 30 s needs about 9 s of a core for imports, reading and writing alone.",
        _report.table(header, rows),
    ]
    wrong = [f"{name}: {run.wrong}" for name, runs in results.items() for run in runs if run.wrong]
    if wrong:
        texts.append("Failed, and counted as outside the bar: " + "; ".join(wrong))
    return _report.page("The end of a search against its budget", *texts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="class folders")
    parser.add_argument("--budgets", nargs="+", default=BUDGETS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--busy", type=int, default=1, help="processes that keep cores busy")
    parser.add_argument("--backbone", action="append", default=[], help="as for the search")
    parser.add_argument("--write", action="store_true", help="write budget.md")
    options = parser.parse_args()
    results: dict[str, list[Run]] = {budget: [] for budget in options.budgets}
    with busy(options.busy):
        for repeat in range(options.repeats):
            for budget in options.budgets:
                found = search(options.data, budget, options.backbone, seed=repeat)
                results[budget].append(found)
                print(budget, f"{found.wall:.1f} s", found.wrong, file=sys.stderr, flush=True)
        text = page(results, options.busy)
    _report.write(OUTPUT, text, wanted=options.write)


if __name__ == "__main__":
    main()
