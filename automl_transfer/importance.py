"""Which choices mattered in a search, one at a time, and how much of that chance alone would show.

Tables of importances print confident bars for pure noise. Here each figure stands beside the one
that shuffled results give; what does not exceed it is not told from chance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.outcome import Outcome

LEAST = 10
"""Trials without which nothing is said."""
MOST = 5000
"""Trials that are looked at."""
SHUFFLES = 200
_EACH = 40
"""Shuffles for each choice, so that the quantile lies within them."""
_MANY, _GROUPS = 6, 5
"""A number with more different values is cut into so many groups of equal count."""


@dataclass(frozen=True, kw_only=True)
class Importance:
    """How much of the scatter of the trials' values goes with one choice."""

    name: str
    """``backbone``, ``head``, ``strategy``, or a hyper-parameter."""
    trials: int
    """Those that have it."""
    groups: int
    share: float
    """Correlation ratio, eta squared (Fisher, Statistical Methods for Research Workers, 1925):
    between the groups, of the whole sum of squares; 0 to 1."""
    null: float
    """What shuffles stay below, for all choices together in 95 % of searches (Bonferroni)."""
    best: str
    """The group with the highest median: its value, or from where to where."""
    median: float
    """Of that group's trials."""

    @property
    def beyond_chance(self) -> bool:
        """Whether it mattered more than shuffles show."""
        return self.share > self.null


def importances(outcomes: Sequence[Outcome], seed: int) -> list[Importance]:
    """What mattered among trials of one stage, what exceeds chance most first.

    Each choice is looked at alone: a choice that always came with another has the share of both.

    Args:
        outcomes: Trials; of those that were stopped early the value at that time counts, those
            that failed are passed over.
        seed: Decides the shuffles, and which of very many trials are looked at.
    """
    # Without those that were stopped early, what makes trials bad would hardly be seen.
    ended = ("finished", "pruned")
    rows = [row for row in outcomes if row.state in ended and row.value is not None]
    generator = np.random.default_rng([seed, 47])
    if len(rows) > MOST:
        rows = [rows[at] for at in np.sort(generator.choice(len(rows), MOST, replace=False))]
    factors = _factors(rows)
    found = [
        _importance(
            name, [row for row in rows if of(row) is not None], of, generator, len(factors)
        )
        for name, of in factors.items()
    ]
    known = [one for one in found if one is not None]
    return sorted(known, key=lambda one: (one.null - one.share, one.name))


def _factors(rows: Sequence[Outcome]) -> dict[str, Callable[[Outcome], object]]:
    members: dict[str, Callable[[Outcome], object]] = {
        "backbone": lambda row: row.configuration.backbone,
        "head": lambda row: row.configuration.head,
        "strategy": lambda row: row.configuration.strategy,
    }
    names = sorted({name for row in rows for name in row.configuration.params})
    return members | {
        name: (lambda row, name=name: row.configuration.params.get(name)) for name in names
    }


def _importance(
    name: str,
    rows: Sequence[Outcome],
    of: Callable[[Outcome], object],
    generator: np.random.Generator,
    choices: int,
) -> Importance | None:
    if len(rows) < LEAST:
        return None
    groups, labels = _grouped([of(row) for row in rows])
    values = np.array([row.value for row in rows], dtype=float)
    if len(labels) < 2 or np.ptp(values) == 0:
        return None
    # Of many choices that do not matter, one or the other would pass a test of its own.
    turns = max(SHUFFLES, _EACH * choices)
    shuffled = [_ratio(generator.permutation(values), groups, len(labels)) for _ in range(turns)]
    medians = [float(np.median(values[groups == place])) for place in range(len(labels))]
    best = int(np.argmax(medians))
    return Importance(
        name=name,
        trials=len(rows),
        groups=len(labels),
        share=_ratio(values, groups, len(labels)),
        null=float(np.quantile(shuffled, 1 - 0.05 / choices)),
        best=labels[best],
        median=medians[best],
    )


def _grouped(found: Sequence[object]) -> tuple[NDArray[np.int64], list[str]]:
    """The group of each, shape (n,), and what the groups are called."""
    numeric = all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in found)
    if numeric and len(set(found)) > _MANY:
        numbers = np.array(found, dtype=float)
        edges = np.unique(
            np.quantile(numbers, np.linspace(0, 1, _GROUPS + 1)[1:-1], method="lower")
        )
        cut = np.searchsorted(edges, numbers, side="right")
        places, groups = np.unique(cut, return_inverse=True)
        parts = [numbers[cut == place] for place in places]
        return groups.astype(np.int64), [f"{part.min():.3g} to {part.max():.3g}" for part in parts]
    names = [str(one) for one in found]
    labels, groups = np.unique(names, return_inverse=True)
    return groups.astype(np.int64), [str(label) for label in labels]


def _ratio(values: NDArray[np.float64], groups: NDArray[np.int64], count: int) -> float:
    centred = values - values.mean()
    sums = np.bincount(groups, centred, minlength=count)
    sizes = np.maximum(np.bincount(groups, minlength=count), 1)
    whole = float((centred**2).sum())
    return float((sums**2 / sizes).sum() / whole) if whole > 0 else 0.0
