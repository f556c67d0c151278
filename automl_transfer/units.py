"""Which samples must stay on one side of every split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automl_transfer.dataset import Sample


def units(
    samples: Sequence[Sample], clusters: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Numbers the sets of samples that are linked, however indirectly.

    Linked are samples of the same content, of one cluster, and of one group of the user's.

    Args:
        samples: In any order.
        clusters: Shape (n,), the same number for samples that look alike.

    Returns:
        Shape (n,), from 0 in the order of the smallest id of each set: so the numbers depend on
        contents alone, not on the order of the samples or on where they lie.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(samples)
    if not n:
        return np.zeros(0, dtype=np.int64)
    nodes: dict[tuple[str, object], int] = {}
    ends: list[tuple[int, int]] = []
    for place, sample in enumerate(samples):
        keys: list[tuple[str, object]] = [("id", sample.id)]
        if sample.group:
            keys.append(("group", sample.group))
        if clusters is not None:
            keys.append(("cluster", int(clusters[place])))
        ends += [(place, nodes.setdefault(key, n + len(nodes))) for key in keys]
    rows, columns = np.array(ends).T
    size = n + len(nodes)
    graph = coo_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(size, size))
    found = connected_components(graph, directed=False)[1][:n]
    first: dict[int, str] = {}
    for sample, number in zip(samples, found.tolist(), strict=True):
        first[number] = min(sample.id, first.get(number, sample.id))
    order = {number: rank for rank, number in enumerate(sorted(first, key=first.__getitem__))}
    return np.array([order[number] for number in found.tolist()], dtype=np.int64)
