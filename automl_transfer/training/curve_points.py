"""Points of a learning curve from looks at nested subsets, and how sure they are together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.metrics import holding
from automl_transfer.target import Targets, columns, kind_of
from automl_transfer.training.nested import Look

REPLICATES = 200
"""Of the whole curve, by the bootstrap."""
_WEIGHTS_AT_ONCE = 1 << 18
"""Numbers of a block of replicates."""

Scorer = Callable[[NDArray[np.float32], Targets, NDArray[np.float64]], NDArray[np.float64]]
"""Predictions of shape (m, c), targets of m samples and weights of shape (r, m) to scores of
shape (r,) or (r, k): k curves at once."""


@dataclass(frozen=True, kw_only=True)
class CurvePoints:
    """Scores by size: K sizes, B replicates."""

    sizes: NDArray[np.float64]
    """Mean samples of the subsets, ascending, shape (K,)."""
    counts: tuple[int, ...]
    """Subsets of each size."""
    values: NDArray[np.float64]
    """Shape (K, ...)."""
    draws: NDArray[np.float64]
    """The same in bootstrap replicates of the whole curve, shape (B, K, ...)."""


def curve_points(
    found: Sequence[Look],
    targets: Targets,
    units: NDArray[np.int64],
    score: Scorer,
    seed: int,
) -> CurvePoints:
    """Averages over the subsets of a size.

    Replicates draw units anew, the same for all sizes: what makes all scores higher or lower
    together does not blur their differences (Efron and Tibshirani, An Introduction to the
    Bootstrap, chapter 8: resample what is independent). They draw from the subsets of a size, too.

    Args:
        found: Looks, any order.
        targets: Of all samples.
        units: What is independent of each other, shape (n,).
        score: What is measured.
        seed: Decides the replicates.
    """
    generator = np.random.default_rng([seed, 79])
    scored = np.unique(np.concatenate([look.places for look in found]))
    numbers, inverse = np.unique(units[scored], return_inverse=True)
    even = np.full(len(numbers), 1 / len(numbers))
    drawn = np.ones((1 + REPLICATES, len(numbers)), dtype=np.int32)
    for replicate in drawn[1:]:
        replicate[:] = generator.multinomial(len(numbers), even)
    sizes, values, draws, counts = [], [], [], []
    for step in sorted({look.step for look in found}):
        of_step = [look for look in found if look.step == step]
        scores = np.stack(
            [
                _scored(score, look, targets, drawn, inverse[np.searchsorted(scored, look.places)])
                for look in of_step
            ]
        )  # (R, 1 + B, ...)
        chosen = generator.integers(len(of_step), size=(len(of_step), REPLICATES))
        replicates = scores[:, 1:][chosen, np.arange(REPLICATES)]  # (R, B, ...)
        sizes.append(np.mean([look.size for look in of_step]))
        values.append(scores[:, 0].mean(axis=0))
        draws.append(replicates.mean(axis=0))
        counts.append(len(of_step))
    return CurvePoints(
        sizes=np.array(sizes),
        counts=tuple(counts),
        values=np.stack(values),
        draws=np.stack(draws, axis=1),
    )


def _scored(
    score: Scorer,
    look: Look,
    targets: Targets,
    drawn: NDArray[np.int32],
    numbers: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Scores of a look, shape (r, ...), some replicates at once.

    Args:
        score: What is measured.
        look: Of m samples.
        targets: Of all samples.
        drawn: How often each unit is in a replicate, shape (r, units).
        numbers: Units of the samples of the look, shape (m,).
    """
    each = max(1, _WEIGHTS_AT_ONCE // max(1, len(numbers)))
    parts = [
        score(
            look.predictions,
            targets[look.places],
            drawn[start : start + each, numbers].astype(np.float64),
        )
        for start in range(0, len(drawn), each)
    ]
    return np.concatenate(parts)


def recalls(
    predictions: NDArray[np.float32], targets: Targets, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Recall of each class or label under each row of weights, shape (r, c); not-a-number without
    any."""
    true = columns(targets, predictions.shape[1])
    if kind_of(targets) == "single-label":
        hit = true * (predictions.argmax(axis=1) == targets)[:, None]
    else:
        hit = true * holding(predictions)
    with np.errstate(invalid="ignore"):
        found: NDArray[np.float64] = (weights @ hit) / (weights @ true)
    return found
