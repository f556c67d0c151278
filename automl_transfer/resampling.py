"""Bootstrap resamples as weights, by sample or by whole clusters of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

_WEIGHTS_AT_ONCE = 1 << 18
"""Numbers of a block of resamples."""
_WEIGHTS_IN_ALL = 40_000_000
"""Samples times resamples: from 20,000 samples on there are fewer than 2,000 resamples, since
their noise shrinks with the interval itself."""
_FEWEST = 200


def clusters_of(n: int, groups: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """A cluster, from 0 on, for each of n samples: its group, or each sample by itself."""
    if groups is None:
        return np.arange(n)
    found: NDArray[np.int64] = np.unique(groups, return_inverse=True)[1].astype(np.int64)
    return found


def resampled_weights(
    clusters: NDArray[np.int64], count: int, seed: int
) -> Iterator[NDArray[np.float64]]:
    """Yields blocks of weights, shape (b, n), in all ``count`` rows, or fewer of large data.

    Clusters are drawn with replacement, as many as there are, and all samples of one with it
    (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8): samples of
    one cluster are alike, and an interval that takes them for independent is too narrow.

    Args:
        clusters: Shape (n,), of :func:`clusters_of`.
        count: How many resamples; at most as many as keep n times their number within 4e7, but
            200 of any data.
        seed: Decides the draw.
    """
    generator = np.random.default_rng(seed)
    drawn = int(clusters.max()) + 1
    count = min(count, max(_FEWEST, _WEIGHTS_IN_ALL // len(clusters)))
    at_once = max(1, _WEIGHTS_AT_ONCE // len(clusters))
    for start in range(0, count, at_once):
        rows = min(at_once, count - start)
        weights = generator.multinomial(drawn, np.full(drawn, 1 / drawn), size=rows)
        yield weights.astype(np.float64)[:, clusters]


def evaluated(
    evaluates: Sequence[Callable[[NDArray[np.float64]], NDArray[np.float64]]],
    weights: Iterator[NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Each function of each resample, the same resamples for all: shape (r, f).

    Resamples for which one of them is not defined are left out.
    """
    blocks = [np.stack([evaluate(block) for evaluate in evaluates], axis=1) for block in weights]
    values = np.concatenate(blocks)
    kept: NDArray[np.float64] = values[np.isfinite(values).all(axis=1)]
    return kept
