"""A pool of cheap configurations on frozen features, all of them from inner products.

Ridge regression in its dual form, nearest neighbours and class means need only the inner products
of samples, so that one matrix a data set and scaling serves every draw, split and setting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.floating]
Places = NDArray[np.int64]

PENALTIES = 2.0 ** np.linspace(-16, 1, 18)
"""Of ridge regression, in units of the sum of the eigenvalues."""
NEIGHBOURS = (1, 3, 5, 9, 15)
SHARPNESS = 8.0
"""Of the softmax of scores that were regressed on zeros and ones."""


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A scaling of a backbone's features, and a head."""

    gram: int
    head: str
    """``ridge``, ``neighbours`` or ``means``."""
    setting: int
    """Which penalty, or how many neighbours."""
    cost: float
    """Of a prediction: a pass of the backbone, each dearer than the one before; beside it no head
    costs anything."""

    @property
    def kind(self) -> tuple[int, str]:
        """What others share with it that differ in a hyper-parameter alone."""
        return self.gram, self.head


def grams(features: Sequence[Matrix]) -> list[Matrix]:
    """Inner products of raw, standardised and unit-length features, three matrices a backbone."""
    found = []
    for rows in features:
        wide = rows.astype(np.float32)
        deviation = wide.std(axis=0)
        standard = (wide - wide.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
        unit = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
        found += [each @ each.T for each in (wide, standard, unit)]
    return found


def pool(count: int) -> list[Configuration]:
    """All configurations for so many matrices of inner products."""
    found = []
    for gram in range(count):
        heads = [("means", 0)]
        heads += [("ridge", place) for place in range(len(PENALTIES))]
        heads += [("neighbours", number) for number in NEIGHBOURS]
        found += [
            Configuration(gram=gram, head=head, setting=setting, cost=1.0 + gram // 3)
            for head, setting in heads
        ]
    return found


def predict(
    wanted: Sequence[Configuration],
    matrices: Sequence[Matrix],
    labels: NDArray[np.int64],
    classes: int,
    train: Places,
    queries: Places,
) -> NDArray[np.float32]:
    """Probabilities of each configuration, shape (f, m, c), trained on ``train``."""
    found = np.empty((len(wanted), len(queries), classes), dtype=np.float32)
    own = np.eye(classes)[labels[train]]
    for gram in sorted({each.gram for each in wanted}):
        here = [place for place, each in enumerate(wanted) if each.gram == gram]
        inner = matrices[gram][np.ix_(train, train)].astype(np.float64)
        across = matrices[gram][np.ix_(queries, train)].astype(np.float64)
        of = {head: [p for p in here if wanted[p].head == head] for head in HEADS}
        if of["ridge"]:
            settings = [wanted[place].setting for place in of["ridge"]]
            found[of["ridge"]] = _ridge(inner, across, own, settings)
        if of["neighbours"] or of["means"]:
            lengths = matrices[gram].diagonal()
            near = across / np.sqrt(np.outer(lengths[queries], lengths[train]))
            for place in of["neighbours"]:
                found[place] = _neighbours(near, own, wanted[place].setting)
            for place in of["means"]:
                found[place] = _means(inner, across, own)
    return found


HEADS = ("ridge", "neighbours", "means")


def _ridge(
    inner: Matrix, across: Matrix, own: Matrix, settings: Sequence[int]
) -> NDArray[np.float32]:
    """Centred features, an intercept that is not penalised: as in ``training/ridge.py``."""
    mean = inner.mean(axis=0)
    centred = inner - mean - mean[:, None] + mean.mean()
    values, vectors = np.linalg.eigh(centred)
    values = np.maximum(values, 0)
    prior = own.mean(axis=0)
    within = vectors.T @ (own - prior)
    beside = (across - across.mean(axis=1, keepdims=True) - mean + mean.mean()) @ vectors
    scores = [
        beside @ (within / (values + PENALTIES[place] * values.sum())[:, None]) + prior
        for place in settings
    ]
    return softmax(SHARPNESS * np.stack(scores))


def _neighbours(near: Matrix, own: Matrix, count: int) -> NDArray[np.float32]:
    """Shares of the classes; of as many votes, the nearer ones decide."""
    count = min(count, near.shape[1])
    best = np.argpartition(-near, count - 1, axis=1)[:, :count]
    weights = 1 + 1e-3 * np.take_along_axis(near, best, axis=1)
    votes = np.einsum("mk,mkc->mc", weights, own[best]) + 1e-2
    return (votes / votes.sum(axis=1, keepdims=True)).astype(np.float32)


def _means(inner: Matrix, across: Matrix, own: Matrix) -> NDArray[np.float32]:
    """Nearest class mean."""
    shares = own / np.maximum(own.sum(axis=0), 1)
    sizes = np.einsum("ic,ij,jc->c", shares, inner, shares, optimize=True)
    distances = sizes - 2 * across @ shares
    return softmax(-distances / max(distances.std(), 1e-12))


def softmax(scores: Matrix) -> NDArray[np.float32]:
    likely = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(likely / likely.sum(axis=-1, keepdims=True), dtype=np.float32)
