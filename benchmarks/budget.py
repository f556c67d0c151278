"""When a search really ends, against its ``--budget``, on a machine that is busy (bar B5).

    python benchmarks/budget.py --data IMAGES --write

Each search is a fresh process with an empty cache and a new study; the time is that from its start
to its end as the user would see it, imports included. Meanwhile another process multiplies
matrices without a pause, on as many cores as ``--busy`` says. Writes ``benchmarks/budget.md``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


def search(data: str, budget: str, backbones: list[str], seed: int) -> tuple[float, str]:
    """Seconds from start to end of one search, and what went wrong, if anything did."""
    with tempfile.TemporaryDirectory() as scratch:
        words = [sys.executable, "-m", "automl_transfer", "search", "--data", data]
        words += ["--budget", budget, "--seed", str(seed), "--offline", "--quiet", "--json"]
        words += ["--studies", f"{scratch}/studies"]
        for backbone in backbones:
            words += ["--backbone", backbone]
        environment = os.environ | {"AUTOML_TRANSFER_CACHE_DIR": f"{scratch}/cache"}
        began = time.monotonic()
        done = subprocess.run(words, env=environment, capture_output=True, text=True)
        wall = time.monotonic() - began
    if done.returncode == 0:
        return wall, ""
    return wall, (done.stderr.strip().splitlines() or ["no message"])[-1][:200]


def page(results: dict[str, list[tuple[float, str]]], processes: int) -> str:
    rows = []
    for budget, runs in results.items():
        ratios = [wall / seconds(budget) for wall, wrong in runs if not wrong]
        inside = sum(LOW <= ratio <= HIGH for ratio in ratios)
        rows.append(
            [
                budget,
                len(runs),
                f"{statistics.median(ratios):.3f}" if ratios else "–",
                f"{min(ratios):.3f} to {max(ratios):.3f}" if ratios else "–",
                f"{inside} of {len(runs)}",
            ]
        )
    wrong = [f"{budget}: {text}" for budget, runs in results.items() for _, text in runs if text]
    texts = [
        "Seconds from the start to the end of `automl-transfer search` (a process of its own, "
        "imports included, with an empty cache) over the seconds of its `--budget`, while "
        f"{processes} other process(es) multiplied matrices without a pause. The bar: within "
        f"[{LOW}, {HIGH}].",
        _report.table(["budget", "runs", "median ratio", "range", "within the bar"], rows),
    ]
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
    results: dict[str, list[tuple[float, str]]] = {budget: [] for budget in options.budgets}
    with busy(options.busy):
        for repeat in range(options.repeats):
            for budget in options.budgets:
                found = search(options.data, budget, options.backbone, seed=repeat)
                results[budget].append(found)
                print(budget, f"{found[0]:.1f} s", found[1], file=sys.stderr, flush=True)
        text = page(results, options.busy)
    _report.write(OUTPUT, text, wanted=options.write)


if __name__ == "__main__":
    main()
