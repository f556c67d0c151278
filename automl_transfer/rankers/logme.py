"""LogME: how likely the labels are under a linear model, its weights integrated out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from automl_transfer.cards import RankerCard
from automl_transfer.kinds import KINDS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from automl_transfer.target import Targets

CARD = RankerCard(
    id="logme",
    factory="automl_transfer.rankers.logme:score",
    kinds=KINDS,
    summary="logarithm of maximum evidence (arXiv:2102.11005)",
)
RATIOS = tuple(2.0 ** (power / 4) for power in range(-120, 41))
"""Precision of the weights over that of the noise, in units of the sum of the eigenvalues."""


def score(
    *,
    features: NDArray[np.float32],
    labels: Targets,
    classes: int,
    seed: int,
) -> float:
    """Mean over the classes of the highest log evidence of a sample's one-hot label, or number.

    Weights are normal with precision alpha, labels normal about the linear model with precision
    beta; the evidence is taken where it is highest over the two (You et al., arXiv:2102.11005).
    At a ratio t = alpha / beta the best beta has a closed form, so that what remains is one curve
    over t, in terms of the eigenvalues s of x'x: looked up on a grid, it has no local maximum to
    get caught in, as the paper's fixed-point iteration may.

    Args:
        features: Shape (n, d), frozen; may be memory-mapped.
        labels: In the form of their kind.
        classes: Columns of a prediction.
        seed: Not needed: nothing is left to chance.
    """
    import numpy as np

    from automl_transfer.target import kind_of, totals
    from automl_transfer.training.spectrum import Regressed, spectrum

    if kind_of(labels) == "regression":
        # The evidence has no intercept; the mean of numbers says nothing of the features.
        labels = labels - labels.mean()
    found = spectrum(Regressed.as_they_are(features, labels, classes))
    n = len(labels)
    # The squared length of each column; zeros and ones are their own squares.
    numbers = kind_of(labels) == "regression"
    counts = totals(labels**2 if numbers else labels, classes)
    # That a class without samples has none is certain, whatever the features.
    counts, energy = counts[counts > 0], found.targets[:, counts > 0] ** 2  # (c,), (r, c)
    if not len(counts):
        return 0.0
    out_of_reach = np.maximum(counts - energy.sum(axis=0), 0.0)
    ratios = np.array(RATIOS) * max(float(found.eigenvalues.sum()), np.finfo(float).tiny)
    kept = ratios[:, None] / (ratios[:, None] + found.eigenvalues)  # t / (t + s), (T, r)
    # The squared residual plus t times the squared length of the weights.
    misfit = np.maximum(kept @ energy + out_of_reach, 1e-12 * counts)
    log_volume = np.log(kept).sum(axis=1)[:, None]
    evidence = 0.5 * (log_volume - n * (1 + np.log(2 * np.pi / n) + np.log(misfit)))  # (T, c)
    return float(evidence.max(axis=0).mean() / n)
