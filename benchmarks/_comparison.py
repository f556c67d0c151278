"""Tables of the comparison, from the lines that ``compare.py run`` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import _reach
import _report
import numpy as np
from _answers import Run, accuracy, correct
from _paired import Diffs, holm, interval, resample, sign_test
from _systems import ABOUT, ANYTIME, ENDS_BY_ITSELF, OURS
from numpy.typing import NDArray


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


def against(results: Results, one: str, other: str) -> str:
    """Section on one opponent of a system: cell by cell, then over all."""
    cells = [
        (budget, name, parts)
        for budget in results.budgets
        for name in results.sets
        if (parts := results.differences(one, other, name, budget))
    ]
    if not cells:
        return ""
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


def stages_table(results: Results) -> str:
    """Whether tuning was of use: the winner's stage in each run of ours, and what it gained."""
    rows = []
    for system in (name for name in results.systems if name in OURS):
        for budget in results.budgets:
            found = [
                run for run in results.runs if (run["system"], run["budget"]) == (system, budget)
            ]
            if found:
                tuned = [run for run in found if run["winning_stage"] == "tune"]
                gains = [gain for run in tuned if (gain := _over_heads(run)) is not None]
                said = f"{points(float(np.mean(gains)))} ({len(gains)})" if gains else "–"
                trials = np.median([sum(run["trials"].values()) for run in found])
                refits = sum(run["refitted"] for run in found)
                what = f"{system}, {duration(budget)}"
                rows.append([what, len(found), len(tuned), said, refits, f"{trials:.0f}"])
    if not rows:
        return "Not run."
    header = ["system, budget", "runs", "winner from tune", "its gain, points"]
    header += ["winner refitted", "trials (median)"]
    return "\n\n".join(
        [
            "*Its gain*: test accuracy of a fine-tune that won, less that of the best head on "
            "frozen features that the same search had before it (mean, in brackets the number of "
            "runs). The head has learned from the training part alone, the winner from the "
            "validation part as well where it was refitted.",
            _report.table(header, rows),
        ]
    )


def _over_heads(run: Run) -> float | None:
    heads = [answer for answer in run["answers"] if answer["what"].endswith(", frozen")]
    return accuracy(run, run["answers"][-1]) - accuracy(run, heads[-1]) if heads else None


def walls_table(results: Results) -> str:
    rows = []
    for system in results.systems:
        own = [run for run in results.runs if run["system"] == system]
        ratios = [run["wall"] / run["budget"] for run in own]
        if ratios:
            rows.append(
                [system, len(own)] + [f"{pick(ratios):.2f}" for pick in (np.median, min, max)]
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


def page(runs: Sequence[Run], remarks: str) -> str:
    """The whole report, with a text of somebody's own below its head."""
    results = Results(runs)
    first = (results.runs or results.failed)[0]
    own = [name for name in results.systems if name in OURS]
    pairs = [
        *[(one, other) for other in results.systems if other not in OURS for one in own],
        *[(one, "ours") for one in own if one != "ours"],
    ]
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
        remarks,
        "## Scores",
        scores_table(results),
        *[text for one, other in pairs if (text := against(results, one, other))],
        "## Time to the score at which the plain script ends",
        *_reach.sections(results, "accurate" if "accurate" in own else "ours"),
        "## What tuning adds",
        stages_table(results),
        "## Wall time over budget",
        walls_table(results),
        "## Not run",
        missing(results),
    )
