"""B3: how soon a search of ours has the test score at which the plain script ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import _report
import numpy as np
from _answers import Run, accuracy

if TYPE_CHECKING:
    from _comparison import Results

Series = list[tuple[float, float]]
"""Seconds since the start of the process, and the test score from then on."""

EXPLAINED = """\
The target is the plain script's test score at the end of its longest run. *First*: the earliest
moment with at least that score. *For good*: the earliest after which it never falls below it
again; chance in a test part helps the first figure more than this one. Scores are means over the
seeds, so a moment counts once every seed has an answer. Of the sets and seeds for which the script
had the longest time."""
WHOLE = """\
**Whole searches.** One search for each budget, from the start of the process to its end, refit
and report included. The least budget is 30 s."""
WITHIN = """\
**Within one search**, the longest of ours: the best model so far, as the search keeps it on disk
(`_moments.py`); its last point is the end of the search. Which model is the best is decided on
the validation part alone."""


def sections(results: Results, system: str) -> list[str]:
    """The explanation and two tables.

    Args:
        results: All that was run.
        system: A search of ours.
    """
    results = _compared(results)
    whole = [(name, *_whole(results, system, name)) for name in results.sets]
    within = [(name, *_within(results, system, name)) for name in results.sets]
    explained = f"{EXPLAINED} Ours: *{system}*."
    return [explained, WHOLE, _table(results, whole), WITHIN, _table(results, within)]


def _compared(results: Results) -> Results:
    """The sets and seeds for which the plain script had the longest time of all."""
    longest = max((_longest(results, "plain", name) for name in results.sets), default=0.0)
    known = {
        (run["set"], run["seed"])
        for run in results.runs
        if run["system"] == "plain" and run["budget"] == longest
    }
    return type(results)([run for run in results.runs if (run["set"], run["seed"]) in known])


def _longest(results: Results, system: str, name: str) -> float:
    own = [r["budget"] for r in results.runs if (r["system"], r["set"]) == (system, name)]
    return max(own, default=0.0)


def _whole(results: Results, system: str, name: str) -> tuple[Series, int]:
    series = []
    seeds = 0
    for budget in results.budgets:
        runs = _runs(results, system, name, budget)
        score, count = results.score(system, name, budget)
        if count and count >= seeds:
            seeds = count
            series.append((float(np.mean([run["wall"] for run in runs])), score))
    return series, seeds


def _within(results: Results, system: str, name: str) -> tuple[Series, int]:
    runs = _runs(results, system, name, _longest(results, system, name))
    lines = [_moments(run) for run in runs]
    if not lines:
        return [], 0
    start = max(line[0][0] for line in lines)
    moments = sorted({start, *(at for line in lines for at, _ in line if at > start)})
    series = []
    for moment in moments:
        now = [[score for at, score in line if at <= moment][-1] for line in lines]
        series.append((moment, float(np.mean(now))))
    return series, len(lines)


def _runs(results: Results, system: str, name: str, budget: float) -> list[Run]:
    found = [results.run(system, name, seed, budget) for seed in results.seeds]
    return [run for run in found if run is not None]


def _moments(run: Run) -> Series:
    return [(answer["at"], accuracy(run, answer)) for answer in run["answers"]]


def reached(series: Series, target: float) -> tuple[float | None, float | None]:
    """When the target is reached first, and for good."""
    first = next((at for at, score in series if score >= target), None)
    last = None
    for at, score in reversed(series):
        if score < target:
            break
        last = at
    return first, last


def _table(results: Results, found: list[tuple[str, Series, int]]) -> str:
    rows: list[list[object]] = []
    ratios: dict[str, list[float]] = {"first": [], "for good": []}
    for name, series, seeds in found:
        longest = _longest(results, "plain", name)
        target, count = results.score("plain", name, longest)
        if not series or not count:
            continue
        since = [run["answers"][-1]["at"] for run in _runs(results, "plain", name, longest)]
        row: list[Any] = [name, f"{100 * target:.1f} ({count})", f"{longest:.0f} s"]
        row.append(f"{np.mean(since):.0f} s")
        for kind, moment in zip(ratios, reached(series, target), strict=True):
            ratios[kind].append(np.inf if moment is None else moment / longest)
            row.append("not" if moment is None else f"{moment:.0f} s, 1/{longest / moment:.1f}")
        rows.append([*row, seeds, f"{100 * series[-1][1]:.1f}"])
    if not rows:
        return "Not run."
    header = ["set", "plain's end (seeds)", "after", "had it since"]
    header += ["ours first", "ours for good", "our seeds", "our end"]
    medians = [f"{kind} {_fraction(float(np.median(r)))}" for kind, r in ratios.items()]
    return "\n\n".join(
        [
            f"Median over {len(rows)} sets: {', '.join(medians)}; a set where it is not reached "
            "counts as never.",
            _report.table(header, rows),
        ]
    )


def _fraction(ratio: float) -> str:
    return f"1/{1 / ratio:.1f}" if np.isfinite(ratio) else "not reached"
