"""What is to be predicted of a sample, and the forms that targets take as arrays.

Targets of n samples carry their kind in their form, so that a metric or a solver that is given
them needs no other word for it:

- ``single-label``: class indices, int64, shape (n,);
- ``multi-label``: which of c labels hold, uint8 of zeros and ones, shape (n, c);
- ``regression``: numbers, float64, shape (n,).

Predictions have a column for each output, shape (n, c): class probabilities that add up to 1;
a probability for each label; or one column of numbers, in the unit of the targets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_transfer.kinds import Kind

Targets = NDArray[Any]

STRATA = 10
"""Parts of equal size into which numbers are divided, to be drawn from in proportion."""
FEWEST_IN_STRATUM = 5


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a model is trained to predict."""

    kind: Kind = "single-label"
    names: tuple[str, ...]
    """Of the classes or the labels; of numbers, their name."""
    mean: float = 0.0
    """Of the numbers of the training part: models learn, and give, ``(y - mean) / scale``."""
    scale: float = 1.0
    """Their standard deviation, in the unit of the targets."""

    @property
    def outputs(self) -> int:
        """Columns of a prediction."""
        return len(self.names)


def kind_of(targets: Targets) -> Kind:
    """The kind of targets, by their form."""
    if targets.ndim == 2:
        return "multi-label"
    return "regression" if np.issubdtype(targets.dtype, np.floating) else "single-label"


def columns(targets: Targets, outputs: int) -> NDArray[np.float64]:
    """Targets with a column for each output, shape (n, outputs): one-hot, zeros and ones, or the
    numbers themselves."""
    kind = kind_of(targets)
    if kind == "single-label":
        found: NDArray[np.float64] = np.eye(outputs)[targets]
        return found
    return targets.astype(np.float64).reshape(len(targets), outputs)


def totals(targets: Targets, outputs: int) -> NDArray[np.float64]:
    """Sums of :func:`columns` over the samples, shape (outputs,), without making them: of many
    classes they take a thousand times what the targets take."""
    if kind_of(targets) == "single-label":
        return np.bincount(targets, minlength=outputs).astype(np.float64)
    return np.atleast_1d(targets.sum(axis=0, dtype=np.float64))


def strata_of(targets: Targets) -> NDArray[np.int64]:
    """What a draw of the samples should have in proportion, an index for each, shape (n,).

    The class; of the labels of a sample, the rarest (after Sechidis, Tsoumakas and Vlahavas, On
    the Stratification of Multi-Label Data, 2011, who also serve the rarest label first), or one
    more index for samples without any; of numbers, :data:`STRATA` parts of about equal size, fewer
    where they would have less than :data:`FEWEST_IN_STRATUM` samples. Equal numbers are in one.
    """
    kind = kind_of(targets)
    if kind == "single-label":
        return targets.astype(np.int64)
    if kind == "multi-label":
        counts = targets.sum(axis=0, dtype=np.int64)
        rarity = np.where(targets > 0, counts, np.iinfo(np.int64).max)
        if not targets.shape[1]:
            return np.zeros(len(targets), dtype=np.int64)
        rarest: NDArray[np.int64] = rarity.argmin(axis=1).astype(np.int64)
        return np.where(targets.any(axis=1), rarest, targets.shape[1])
    parts = max(1, min(STRATA, len(targets) // FEWEST_IN_STRATUM))
    edges = np.quantile(targets, np.arange(1, parts) / parts)
    found: NDArray[np.int64] = np.searchsorted(np.unique(edges), targets, side="right")
    return found


def outputs_of(kind: Kind, stratum: int, values: Sequence[float]) -> tuple[int, ...]:
    """Indices of the outputs that a sample is an example of: its class; its labels; the number."""
    if kind == "multi-label":
        return tuple(int(value) for value in values)
    return (stratum,) if kind == "single-label" else (0,)


def unit_of(targets: Targets) -> tuple[float, float]:
    """Mean and standard deviation of numbers; of equal ones, the deviation counts as 1."""
    deviation = float(np.std(targets))
    return float(np.mean(targets)), deviation if deviation > 0 else 1.0
