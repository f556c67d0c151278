"""Which backbones go on after the first look at them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.cards import BackboneCard

ALWAYS = 2
"""Backbones that go on in any case: a ranking of few samples errs."""
HEDGED = 6
"""From so many backbones on, the favourite of the static prior goes on in any case."""


@dataclass(frozen=True, kw_only=True)
class FirstLook:
    """A backbone on the first share of the development part."""

    card: BackboneCard
    score: float
    """The ranker's."""
    hits: NDArray[np.float64]
    """Which samples ridge regression got right, each left out in turn, shape (n,); of labels and
    numbers, how right: see :func:`.metrics.merits`."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a backbone goes on, and why."""

    kept: bool
    reason: str

    @property
    def text(self) -> str:
        """``stopped: clearly worse than ...``."""
        return f"{'kept' if self.kept else 'stopped'}: {self.reason}"


def weight(card: BackboneCard) -> float:
    """What the static prior goes by: the larger network. 0 when nothing is declared.

    An order by size that never looks at the data beats published estimates on a standard
    benchmark (tau_w .91, arXiv:2510.06448), and fails on a pool as mixed as a hub (.39): so it
    hedges, and never decides.
    """
    if card.cost is None:
        return 0.0
    return card.cost.gmacs if card.cost.gmacs is not None else card.cost.params / 1e7


def judge(looks: Sequence[FirstLook]) -> Mapping[str, Verdict]:
    """The better half goes on, and of the worse half what is not clearly worse than the best.

    Clearly: by more than one standard error of the paired difference in hits, over the same
    samples. From :data:`HEDGED` backbones on, the largest network goes on too (a hedge: one slot
    for a choice that is blind to the data, Renggli et al., CVPR 2022).
    """
    ranked = sorted(looks, key=lambda look: (-look.score, look.card.id))
    half = max(ALWAYS, math.ceil(len(ranked) / 2))
    found = {}
    for place, look in enumerate(ranked):
        if place < half:
            found[look.card.id] = Verdict(kept=True, reason=f"place {place + 1} of {len(ranked)}")
            continue
        ahead = ranked[0].hits - look.hits
        error = float(ahead.std() / math.sqrt(len(ahead)))
        gap = f"{100 * ahead.mean():.1f} points behind {ranked[0].card.id}"
        if ahead.mean() <= error:
            reason = f"in the worse half, but only {gap} (standard error {100 * error:.1f})"
            found[look.card.id] = Verdict(kept=True, reason=reason)
        else:
            reason = f"{gap} on {len(ahead)} samples (standard error {100 * error:.1f})"
            found[look.card.id] = Verdict(kept=False, reason=reason)
    if len(ranked) >= HEDGED:
        favourite = max(ranked, key=lambda look: (weight(look.card), look.score)).card.id
        if not found[favourite].kept:
            reason = f"a hedge, as the largest network; {found[favourite].reason}"
            found[favourite] = Verdict(kept=True, reason=reason)
    return found
