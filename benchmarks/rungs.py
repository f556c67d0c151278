"""B9: every rung decision replayed on recorded full curves.

    python benchmarks/rungs.py record --data DIR --out CURVES.jsonl [--rungs 150 450 1350]
    python benchmarks/rungs.py report CURVES.jsonl [--write]

``record`` trains each trial to its full length (``--pruner none``, random proposals) and keeps
its value on the validation part at each rung; at a rung the learning rate has been brought down,
and the trial goes on from where it was before that. ``report`` draws many batches from the trials
of a set and replays successive halving on them, on all rungs and without the first: the best
third goes on from each rung, and one more of more than three. The search lets one more go on where
the validation part cannot tell it from the last of the third, so that it lies between the two.
P(best kept) is how often the trial with the best final value is among those that are trained to
the end (a trial as good as the best counts as the best); the cost is in units of training every
trial of the batch to the end, the steps of a decay that a promoted trial has to repeat included.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import _report
import numpy as np

RUNGS = (150, 450, 1350)
BATCHES = (9, 12)
DRAWS = 2000
DECAY = 0.3
HEADER = ("set", "rungs (steps)", "batch", "go on", "P(best kept)", "cost", "points lost")
MORE = {0: "a third", 1: "a third and one"}


def record(options: argparse.Namespace) -> None:
    """Runs one search and appends its curves."""
    import automl_transfer
    from automl_transfer.stages import confirm, tune
    from automl_transfer.stages import ladder as module

    rungs = tuple(options.rungs)
    module.FIRST = rungs[0]  # type: ignore[misc]
    # The full length is a number of epochs; here it is one of steps, for every set alike.
    tune.ladder = lambda each, **_: rungs  # type: ignore[assignment]
    tune.BATCH = options.trials  # type: ignore[misc]
    tune.OF_AN_ARM = options.trials  # type: ignore[misc]
    # Without a clock the finalists would be trained to their full length as well, several times.
    confirm.choose_finalists = lambda *_: []  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as directory:
        study = automl_transfer.search(
            options.data,
            trials=options.trials + 10,
            study="rungs",
            studies=directory,
            backbones=[options.backbone],
            heads=["ridge", "linear", "mlp"],
            strategies=["frozen", *options.strategy],
            sampler="random",
            pruner="none",
            seed=options.seed,
            offline=True,
        )
        rows = [row for row in study.trials if row.stage == "tune" and row.state == "finished"]
        study.close()
    with options.out.open("a", encoding="utf-8") as file:
        for row in rows:
            values = {str(point.step): point.value for point in row.curve}
            told = {
                "set": Path(options.data).name,
                "seed": options.seed,
                "backbone": options.backbone,
                "strategy": row.configuration.strategy,
                "values": values,
            }
            file.write(json.dumps(told) + "\n")


def replay(
    curves: np.ndarray[Any, Any],
    rungs: tuple[int, ...],
    ladder: tuple[int, ...],
    batch: int,
    more: int,
    seed: int,
) -> tuple[float, float, float]:
    """P(best kept), cost, and points lost to the best, over random batches.

    Args:
        curves: Values at ``rungs``, shape (trials, rungs).
        rungs: Steps that were recorded.
        ladder: Rungs that are used; the last is the full length.
        batch: Trials of a batch.
        more: That go on beside a third, if there are more than three.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    kept, costs, lost = [], [], []
    places = [rungs.index(rung) for rung in ladder]
    for _ in range(DRAWS):
        alive = rng.choice(len(curves), size=min(batch, len(curves)), replace=False)
        best = curves[alive, -1].max()
        steps, before, number = 0.0, 0, len(alive)
        for place, rung in zip(places, ladder, strict=True):
            start = before - math.floor(before * DECAY)
            steps += len(alive) * (rung - start)
            before = rung
            if rung != ladder[-1]:
                order = np.argsort(-curves[alive, place], kind="stable")
                alive = alive[order[: math.ceil(len(alive) / 3) + more * (len(alive) > 3)]]
        found = curves[alive, -1].max()
        kept.append(found >= best)
        lost.append(best - found)
        costs.append(steps / (number * ladder[-1]))
    return float(np.mean(kept)), float(np.mean(costs)), 100 * float(np.mean(lost))


def report(options: argparse.Namespace) -> None:
    """Replays all that is recorded."""
    rows = [json.loads(line) for line in options.curves.read_text().splitlines()]
    groups: dict[tuple[int, ...], dict[str, list[list[float]]]] = {}
    for row in rows:
        values = dict(sorted((int(step), value) for step, value in row["values"].items()))
        groups.setdefault(tuple(values), {}).setdefault(row["set"], []).append([*values.values()])
    # A trial that was not trained to the end has rungs of its own, and is too rare for a batch.
    table: list[tuple[object, ...]] = []
    for rungs, sets in sorted(groups.items()):
        for ladder in (rungs, rungs[1:]):
            for batch, more in itertools.product(BATCHES, MORE):
                each = []
                for name, curves in sets.items():
                    if len(ladder) > 1 and len(curves) >= batch:
                        values, how = np.array(curves), (batch, more)
                        each.append(replay(values, rungs, ladder, *how, seed=len(table)))
                        title = f"{name} ({len(curves)} trials)"
                        table.append(_row(title, ladder, *how, each[-1]))
                if len(each) > 1:
                    mean = tuple(float(np.mean(column)) for column in zip(*each, strict=True))
                    table.append(_row("**mean of the sets**", ladder, batch, more, mean))
    page = _report.page(
        "Rung decisions, replayed",
        "Targets: P(best kept) >= .85 at a cost <= .4.",
        _report.table(HEADER, table),
        (__doc__ or "").split("\n\n", 2)[2],
    )
    _report.write(Path(__file__).with_suffix(".md"), page, wanted=options.write)


def _row(
    name: str, ladder: tuple[int, ...], batch: int, more: int, found: tuple[float, ...]
) -> tuple[object, ...]:
    kept, cost, lost = found
    steps = " → ".join(map(str, ladder))
    return name, steps, batch, MORE[more], f"{kept:.2f}", f"{cost:.2f}", f"{lost:.2f}"


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("record")
    one.add_argument("--data", required=True)
    one.add_argument("--backbone", default="bundled/efficientnet_lite0@96")
    one.add_argument("--strategy", action="append", default=None)
    one.add_argument("--trials", type=int, default=24)
    one.add_argument("--seed", type=int, default=0)
    one.add_argument("--rungs", type=int, nargs="+", default=RUNGS)
    one.add_argument("--out", type=Path, required=True)
    one.set_defaults(run=record)
    two = commands.add_parser("report")
    two.add_argument("curves", type=Path)
    two.add_argument("--write", action="store_true")
    two.set_defaults(run=report)
    options = parser.parse_args()
    if getattr(options, "strategy", 0) is None:
        options.strategy = ["last-stages"]
    options.run(options)


if __name__ == "__main__":
    main()
