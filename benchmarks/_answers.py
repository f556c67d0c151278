"""The lines that ``compare.py run`` wrote, and what the systems answered in them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from _systems import ANYTIME
from numpy.typing import NDArray

Run = dict[str, Any]


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
    last = run["answers"][-1]
    return f"{last['what']}: {accuracy(run, last):.3f}"


def accuracy(run: Run, answer: dict[str, Any]) -> float:
    """Of one of its answers, on the test part."""
    return float(np.equal(answer["predicted"], run["truth"]).mean())
