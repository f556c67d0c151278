"""Samples that belong together: connected by equal content or by near copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LARGEST_SHARE = 0.05
"""Of the data, that one cluster may hold before its links are doubted."""
LEAST_LARGEST = 10
_ROUNDS = 4
"""Times that the links of a cluster that is too large are made twice as strict."""


@dataclass(frozen=True, kw_only=True)
class Clusters:
    """A partition of n samples."""

    numbers: NDArray[np.int64]
    """The same number for samples of a cluster, from 0, by the first sample; shape (n,)."""
    links: NDArray[np.int64]
    """Pairs of near copies that are believed, shape (m, 2)."""
    torn: int = 0
    """Samples of clusters that were so large that only their closest links were believed."""


def cluster(
    ids: Sequence[str], pairs: NDArray[np.int64], distances: NDArray[np.float64]
) -> Clusters:
    """Connects equal contents and near copies.

    Links chain: a is near b, b is near c, and so all of a class of even, textureless samples may
    hang together. So a cluster of more than :data:`LARGEST_SHARE` of the data has its near links
    halved in length, again and again; what is still too large falls into equal contents.

    Args:
        ids: Of the samples; equal content, equal id. Length n.
        pairs: Positions of near copies, shape (m, 2).
        distances: How far apart they are, from 0, shape (m,); a length of 1 is just believed.
    """
    n = len(ids)
    exact = _exact(ids)
    limit = max(LEAST_LARGEST, round(LARGEST_SHARE * n))
    believed = np.ones(len(pairs), dtype=bool)
    doubted = np.zeros(n, dtype=bool)
    numbers = exact
    for step in range(_ROUNDS + 2):
        numbers = _connected(exact, pairs[believed])
        # Equal contents belong together however many they are: what counts is what is linked.
        distinct = np.bincount(numbers[np.unique(exact, return_index=True)[1]])
        large = (distinct > limit)[numbers]
        if not large.any():
            break
        doubted |= large
        reach = 0.5 ** (step + 1) if step < _ROUNDS else -1.0
        believed &= ~(large[pairs[:, 0]] & (distances > reach))
    return Clusters(numbers=numbers, links=pairs[believed], torn=int(doubted.sum()))


def _exact(ids: Sequence[str]) -> NDArray[np.int64]:
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(id, len(seen)) for id in ids], dtype=np.int64)


def _connected(exact: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not len(exact):
        return exact
    nodes = int(exact.max()) + 1
    one, other = exact[pairs[:, 0]], exact[pairs[:, 1]]
    graph = coo_matrix((np.ones(len(pairs), dtype=np.int8), (one, other)), shape=(nodes, nodes))
    _, labels = connected_components(graph, directed=False)
    numbers = labels[exact].astype(np.int64)
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    ranked = np.empty(len(first), dtype=np.int64)
    ranked[np.argsort(first)] = np.arange(len(first))
    return ranked[inverse]
