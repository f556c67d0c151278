"""Statistics and tables of the comparison, from the lines that ``compare.py run`` wrote."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import _report
import numpy as np
from _systems import ABOUT, ANYTIME, ENDS_BY_ITSELF
from numpy.typing import NDArray

Run = dict[str, Any]
Diffs = list[NDArray[np.float64]]
"""For each seed, per test sample: right (1) or wrong (0) of one system less that of another."""

RESAMPLES = 4000


def read(paths: Iterable[Path]) -> list[Run]:
    """The lines of all files; only those of one choice of backbones and cores can be compared.

    Raises:
        SystemExit: They are of several.
    """
    runs = [
        json.loads(line)
        for path in paths
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    kinds = {(tuple(run["backbones"]), run["constant"], run["cores"]) for run in runs}
    if len(kinds) > 1:
        raise SystemExit(
            "All runs of a comparison must have the same backbones, constant and number of "
            f"cores, but there are {len(kinds)} kinds: {sorted(kinds)}. Use another --results."
        )
    return runs


def correct(run: Run, budget: float) -> NDArray[np.float64] | None:
    """Which test samples the answer at ``budget`` gets right; None if there is none by then.

    An answer that comes late is that of its own budget all the same; the table of wall times says
    how late. An anytime system's must have been there in time.
    """
    answers = run["answers"]
    if run["system"] in ANYTIME:
        answers = [answer for answer in answers if answer["at"] <= budget]
    if not answers:
        return None
    return np.equal(answers[-1]["predicted"], run["truth"]).astype(np.float64)


def shown(run: Run) -> str:
    """The last answer in words."""
    if not run["answers"]:
        return "no answer"
    found = np.equal(run["answers"][-1]["predicted"], run["truth"]).mean()
    return f"{run['answers'][-1]['what']}: {found:.3f}"


class Results:
    """The lines, by what they answer."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.failed = [run for run in runs if "error" in run]
        self.runs = [run for run in runs if "error" not in run]
        everything = [*self.runs, *self.failed]
        self.systems = [name for name in ABOUT if any(r["system"] == name for r in everything)]
        self.sets = sorted({run["set"] for run in everything})
        self.seeds = sorted({run["seed"] for run in everything})
        self.budgets = sorted(
            {run["budget"] for run in everything if run["system"] not in ANYTIME}
            | {max((r["budget"] for r in everything), default=0.0)}
        )

    def run(self, system: str, name: str, seed: int, budget: float) -> Run | None:
        """The line that answers for a cell of the grid."""
        own = [
            run
            for run in self.runs
            if (run["system"], run["set"], run["seed"]) == (system, name, seed)
        ]
        exact = [run for run in own if run["budget"] == budget]
        longer = [run for run in own if system in ANYTIME and run["budget"] > budget]
        ended = [
            run
            for run in own
            if system in ENDS_BY_ITSELF and run["complete"] and run["budget"] < budget
        ]
        found = exact or sorted(longer, key=lambda run: run["budget"]) or ended
        return found[0] if found else None

    def right(self, system: str, name: str, seed: int, budget: float) -> NDArray[Any] | None:
        """As :func:`correct`. No answer by then counts as the most frequent class of the test
        part, which is more than a user would have."""
        run = self.run(system, name, seed, budget)
        if run is None:
            return None
        found = correct(run, budget)
        if found is None:
            true = np.asarray(run["truth"])
            found = (true == np.bincount(true).argmax()).astype(np.float64)
        return found

    def score(self, system: str, name: str, budget: float) -> tuple[float, int]:
        """Test accuracy, mean over the seeds, and how many seeds there are."""
        found = [self.right(system, name, seed, budget) for seed in self.seeds]
        means = [float(right.mean()) for right in found if right is not None]
        return (float(np.mean(means)) if means else float("nan")), len(means)

    def differences(self, one: str, other: str, name: str, budget: float) -> Diffs:
        """Paired over the seeds that both have."""
        found = []
        for seed in self.seeds:
            a = self.right(one, name, seed, budget)
            b = self.right(other, name, seed, budget)
            if a is not None and b is not None:
                found.append(a - b)
        return found


def resample(parts: Diffs, generator: np.random.Generator, seeds_too: bool) -> float:
    """One bootstrap draw of the mean over seeds of the mean over samples."""
    if seeds_too:
        parts = [parts[place] for place in generator.integers(len(parts), size=len(parts))]
    return float(np.mean([generator.choice(part, len(part)).mean() for part in parts]))


def interval(draw: Callable[[np.random.Generator], float]) -> tuple[float, float]:
    """The 95 % percentile interval of what ``draw`` draws."""
    generator = np.random.default_rng(0)
    values = [draw(generator) for _ in range(RESAMPLES)]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def sign_test(parts: Diffs) -> float:
    """Two-sided exact McNemar test over all samples on which the two differ."""
    from scipy.stats import binomtest

    pooled = np.concatenate(parts)
    wins, losses = int((pooled > 0).sum()), int((pooled < 0).sum())
    return float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def holm(values: Sequence[float]) -> list[float]:
    """p values after Holm's correction (Holm 1979), in the given order."""
    order = np.argsort(values)
    corrected = np.empty(len(values))
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, values[place] * (len(values) - rank)))
        corrected[place] = highest
    return corrected.tolist()


def duration(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"


def points(value: float) -> str:
    return f"{100 * value:+.1f}"


def scores_table(results: Results) -> str:
    rows = []
    for budget in results.budgets:
        for name in results.sets:
            cells = []
            for system in results.systems:
                value, seeds = results.score(system, name, budget)
                cells.append(f"{100 * value:.1f} ({seeds})" if seeds else "–")
            if any(cell != "–" for cell in cells):
                rows.append([f"{name}, {duration(budget)}", *cells])
    return _report.table(["set, budget", *results.systems], rows)


def against(results: Results, other: str, one: str = "ours") -> str:
    """Section on one opponent: cell by cell, then over all."""
    cells = [
        (budget, name, parts)
        for budget in results.budgets
        for name in results.sets
        if (parts := results.differences(one, other, name, budget))
    ]
    if not cells:
        return f"### {one} against {other}\n\nNot run."
    tests = [sign_test(parts) for _, _, parts in cells]
    corrected = holm(tests)
    rows = []
    worse = better = still_worse = 0
    for (budget, name, parts), p, q in zip(cells, tests, corrected, strict=True):
        mean = float(np.mean([part.mean() for part in parts]))
        low, high = interval(lambda g, parts=parts: resample(parts, g, False))
        wide = interval(lambda g, parts=parts: resample(parts, g, True))
        worse += high < 0
        better += low > 0
        still_worse += mean < 0 and q < 0.05
        said = "worse" if high < 0 else "better" if low > 0 else ""
        seeds_too = f"{points(wide[0])} to {points(wide[1])}" if len(parts) > 1 else "one seed"
        row = [f"{name}, {duration(budget)}", len(parts), points(mean)]
        rows.append([*row, f"{points(low)} to {points(high)}", seeds_too, f"{p:.3f}", said])
    lines = []
    for budget in results.budgets:
        here = [parts for each, _, parts in cells if each == budget]
        if here:
            lines.append(overall(here, duration(budget)))
    header = ["set, budget", "seeds", "difference", "95 %, samples", "95 %, seeds and samples"]
    return "\n\n".join(
        [
            f"### {one} against {other}",
            f"Points of test accuracy, {one} less {other}, paired by sample. Significantly worse "
            f"(the interval over the samples lies below 0) in {worse} of {len(cells)} cells, "
            f"better in {better}; worse after Holm's correction of the exact McNemar tests: "
            f"{still_worse}. With no true difference about one cell in forty would be worse by "
            "chance alone.",
            "\n".join(f"- {line}" for line in lines),
            _report.table([*header, "McNemar p", "verdict"], rows),
        ]
    )


def overall(cells: list[Diffs], when: str) -> str:
    """The mean over the sets, with an interval over sets, seeds and samples."""
    mean = float(np.mean([np.mean([part.mean() for part in parts]) for parts in cells]))

    def draw(generator: np.random.Generator) -> float:
        chosen = generator.integers(len(cells), size=len(cells))
        return float(np.mean([resample(cells[place], generator, True) for place in chosen]))

    low, high = interval(draw)
    return (
        f"{when}: {points(mean)} points on average over {len(cells)} sets "
        f"({points(low)} to {points(high)}, resampling sets, seeds and samples)."
    )


def reach(results: Results, system: str) -> str:
    """B3: when the score at which the plain script ends is reached."""
    longest = max((r["budget"] for r in results.runs if r["system"] == "plain"), default=0.0)
    rows: list[list[object]] = []
    ratios: list[float] = []
    for name in results.sets:
        target, seeds = results.score("plain", name, longest)
        ladder = []
        for budget in results.budgets:
            found = [results.run(system, name, seed, budget) for seed in results.seeds]
            there = [run for run in found if run is not None]
            value, count = results.score(system, name, budget)
            if count and count == seeds:
                ladder.append((float(np.mean([run["wall"] for run in there])), value))
        if not seeds or not ladder:
            continue
        good = [place for place, (_, value) in enumerate(ladder) if value >= target]
        lasting = [place for place in good if all(value >= target for _, value in ladder[place:])]
        cells = []
        for places in (good, lasting):
            ratio = ladder[places[0]][0] / longest if places else float("inf")
            cells.append(f"{ladder[places[0]][0]:.0f} s, 1/{1 / ratio:.1f}" if places else "not")
        ratios.append(ladder[lasting[0]][0] / longest if lasting else float("inf"))
        own = [plain_time(results.run("plain", name, seed, longest)) for seed in results.seeds]
        known = [value for value in own if value is not None]
        when = f"{np.mean(known):.0f} s" if known else "–"
        steps = "; ".join(f"{wall:.0f} s {100 * value:.1f}" for wall, value in ladder)
        rows.append([name, f"{100 * target:.1f} ({seeds})", when, *cells, steps])
    if not rows:
        return "Not run."
    median = float(np.median(ratios))
    said = f"1/{1 / median:.1f}" if np.isfinite(median) else "not reached"
    header = ["set", f"plain after {duration(longest)} (seeds)", "had it since"]
    header += [f"{system} first at", f"{system} for good at", f"{system}: wall, score"]
    return "\n\n".join(
        [
            f"**Median over {len(rows)} sets, for good: {said}** (a set where it is not reached "
            "counts as infinite).",
            _report.table(header, rows),
        ]
    )


def plain_time(run: Run | None) -> float | None:
    return run["answers"][-1]["at"] if run is not None and run["answers"] else None


def stages_table(results: Results) -> str:
    """Whether tuning was of use: the winner's stage in each run of ours."""
    rows = []
    for budget in results.budgets:
        found = [run for run in results.runs if run["system"] == "ours"]
        found = [run for run in found if run["budget"] == budget]
        if found:
            tuned = sum(run["winning_stage"] == "tune" for run in found)
            trials = np.median([sum(run["trials"].values()) for run in found])
            refits = sum(run["refitted"] for run in found)
            rows.append([duration(budget), len(found), tuned, refits, f"{trials:.0f}"])
    header = ["budget", "runs", "winner from tune", "winner refitted", "trials (median)"]
    return _report.table(header, rows) if rows else "Not run."


def walls_table(results: Results) -> str:
    rows = []
    for system in results.systems:
        own = [run for run in results.runs if run["system"] == system]
        ratios = [run["wall"] / run["budget"] for run in own]
        if ratios:
            rows.append(
                [system, len(own), f"{np.median(ratios):.2f}", f"{min(ratios):.2f}"]
                + [f"{max(ratios):.2f}"]
            )
    return _report.table(["system", "runs", "median", "least", "most"], rows)


def missing(results: Results) -> str:
    lines = []
    for system in results.systems:
        gaps = [
            f"{name} seed {seed} {duration(budget)}"
            for budget in results.budgets
            for name in results.sets
            for seed in results.seeds
            if results.run(system, name, seed, budget) is None
        ]
        if gaps:
            first = "; ".join(gaps[:6]) + (" ..." if len(gaps) > 6 else "")
            lines.append(f"- {system}: {len(gaps)} cells ({first})")
    lines += [
        f"- failed: {run['system']} {run['set']} seed {run['seed']} {duration(run['budget'])}: "
        f"{run['error']}"
        for run in results.failed
    ]
    never = [name for name in ABOUT if name not in results.systems]
    lines += [f"- {name}: not run at all" for name in never]
    return "\n".join(lines) or "Nothing: every cell of the grid was run."


def page(runs: Sequence[Run]) -> str:
    """The whole report."""
    results = Results(runs)
    first = (results.runs or results.failed)[0]
    others = [name for name in results.systems if name != "ours"]
    return _report.page(
        "Against what one would write or install instead",
        f"Test accuracy at equal wall time, {len(results.sets)} sets, seeds "
        f"{', '.join(map(str, results.seeds))}, {first['cores']} core(s) a run. Backbones to "
        f"choose from: {', '.join(first['backbones'])}; the constant's: {first['constant']}. A "
        "seed decides the parts, the proposals and the training; all systems have the same parts. "
        "Wall time is that of a process, imports and decoding included.",
        "\n".join(f"- **{name}**: {ABOUT[name]}" for name in results.systems),
        "An anytime system (plain) is scored by the best it had by then; before its first answer "
        "it is given the most frequent class. The others are run for each budget. The seeds' test "
        "parts overlap, so intervals over the samples of several seeds are somewhat narrow. "
        "Scores are in %, in brackets the number of seeds.",
        "## Scores",
        scores_table(results),
        *[against(results, other) for other in others],
        "## Time to the score at which the plain script ends",
        "Whole searches of ours with each budget, from the start of the process to its end, the "
        "refit and the report included; means over the seeds. *First*: the shortest that scores "
        "at least as much. *For good*: the shortest such that all longer ones do too; chance in "
        "a test part helps the first figure more than this one. The least budget is 30 s, so no "
        "ratio can be much smaller than 30 s over the plain script's time.",
        reach(results, "ours"),
        "## What tuning adds",
        stages_table(results),
        "## Wall time over budget",
        walls_table(results),
        "## Not run",
        missing(results),
    )
