"""Where two trials differ: by class, and sample by sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import pandas as pd

from automl_transfer.dashboard.pictures import Shown
from automl_transfer.dashboard.predictions import Predicted
from automl_transfer.dashboard.wording import plain

Right = Literal["first", "second", "neither"]


@dataclass(frozen=True, kw_only=True)
class Disagreement:
    """A sample of which two trials say different things."""

    right: Right
    shown: Shown


def class_differences(one: Predicted, other: Predicted, classes: Sequence[str]) -> pd.DataFrame:
    """Recall of the first less that of the second, in points, the largest difference first.

    The interval is that of Agresti and Min for paired shares (Statistics in Medicine, 2005): half
    a sample is added to each of the four cells. They hold for all classes together (Bonferroni):
    of a hundred classes, some would differ by chance.
    """
    targets = one.samples.targets
    first = one.probabilities.argmax(axis=1) == targets
    second = other.probabilities.argmax(axis=1) == targets
    rows = []
    critical = NormalDist().inv_cdf(1 - 0.025 / max(1, len(np.unique(targets))))
    for place, name in enumerate(classes):
        of = targets == place
        n = int(of.sum())
        if not n:
            continue
        gained, lost = int((first & ~second & of).sum()), int((second & ~first & of).sum())
        low, high = _agresti_min(gained, lost, n, critical)
        rows.append(
            {
                "class": plain(name),
                "samples": n,
                "difference of recall": 100 * (gained - lost) / n,
                "95 % interval": f"{100 * low:+.1f} to {100 * high:+.1f} points",
                "shown": "yes" if low > 0 or high < 0 else "no: may be chance",
            }
        )
    columns = ["class", "samples", "difference of recall", "95 % interval", "shown"]
    frame = pd.DataFrame(rows, columns=columns)
    order = frame["difference of recall"].abs().sort_values(ascending=False, kind="stable").index
    return frame.loc[order].reset_index(drop=True)


def _agresti_min(gained: int, lost: int, samples: int, critical: float) -> tuple[float, float]:
    n, b, c = samples + 2, gained + 0.5, lost + 0.5
    centre = (b - c) / n
    half = critical * math.sqrt(max(b + c - (b - c) ** 2 / n, 0.0)) / n
    return max(centre - half, -1.0), min(centre + half, 1.0)


def disagreements(one: Predicted, other: Predicted, classes: Sequence[str]) -> list[Disagreement]:
    """Samples that the two take for different classes, those first on which both are surest."""
    targets, samples = one.samples.targets, one.samples
    first, second = one.probabilities.argmax(axis=1), other.probabilities.argmax(axis=1)
    sure = np.minimum(one.probabilities.max(axis=1), other.probabilities.max(axis=1))
    apart = np.flatnonzero(first != second)
    apart = apart[np.argsort(-sure[apart], kind="stable")]
    found = []
    for at in apart.tolist():
        right: Right = (
            "first"
            if first[at] == targets[at]
            else "second"
            if second[at] == targets[at]
            else "neither"
        )
        words = f"{classes[targets[at]]}\n{classes[first[at]]} | {classes[second[at]]}"
        shown = Shown(position=int(samples.positions[at]), source=samples.sources[at], words=words)
        found.append(Disagreement(right=right, shown=shown))
    return found
