"""How large, bright and coloured images are, and whether groups of them differ in it.

A model can learn the camera instead of the thing: where the parts or the classes of a data set
were taken in different ways, scores say little about other images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl_transfer.audit import Finding, examples
from automl_transfer.dataset import Dataset
from automl_transfer.modalities.image.near_copies import Pixels, grey

BETWEEN_PARTS = 0.5
"""Cliff's delta from which parts differ; 0.474 is called large (Romano et al., 2006, from Cohen's
d). Parts that were drawn at random stay far below it."""
BETWEEN_CLASSES = 0.95
"""A class of its own size or shape of image is taken otherwise than the rest."""
LEAST = 20
"""Images of a group; of fewer nothing is said."""
SURE = 4.0
"""Standard errors that a delta must be away from 0 as well."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number an image has."""

    name: str
    acquired: bool
    """It tells how an image was taken, not what it shows: classes should not differ in it."""


MEASURES = (
    Measure(name="width in pixels", acquired=True),
    Measure(name="height in pixels", acquired=True),
    Measure(name="width by height", acquired=True),
    Measure(name="brightness (0 to 255)", acquired=False),
    Measure(name="contrast (standard deviation)", acquired=False),
    Measure(name="red above green", acquired=False),
    Measure(name="blue above green", acquired=False),
    Measure(name="saturation", acquired=False),
)


def colours(rows: Pixels) -> NDArray[np.float32]:
    """The measures of :data:`MEASURES` from the fourth on, shape (n, 5).

    Args:
        rows: Whole images, shape (n, h, w, 3).
    """
    luma = grey(rows)
    means = rows.mean(axis=(1, 2), dtype=np.float32)
    spread = rows.max(axis=3).astype(np.float32) - rows.min(axis=3)
    return np.stack(
        [
            luma.mean(axis=(1, 2)),
            luma.std(axis=(1, 2)),
            means[:, 0] - means[:, 1],
            means[:, 2] - means[:, 1],
            spread.mean(axis=(1, 2)),
        ],
        axis=1,
    ).astype(np.float32)


def cliffs_delta(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """P(a > b) - P(a < b) for a of ``one`` and b of ``other`` (Cliff, Psychological Bulletin 114,
    1993), from the ranks of all; -1 to 1, and no outlier moves it."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([one, other]))
    below = ranks[: len(one)].sum() - len(one) * (len(one) + 1) / 2
    return float(2 * below / (len(one) * len(other)) - 1)


def appearance_findings(dataset: Dataset, measured: NDArray[np.float32]) -> Iterator[Finding]:
    """Parts that differ from the training part, and classes that differ from all others.

    Args:
        dataset: With n samples.
        measured: Shape (n, 8), in the order of :data:`MEASURES`; not-a-number where unknown.
    """
    parts = np.array([sample.given_part for sample in dataset.samples])
    train = parts == "train"
    found = list(
        _differences(
            ((part, parts == part, train) for part in ("val", "test")),
            measured,
            range(len(MEASURES)),
            BETWEEN_PARTS,
            "train",
        )
    )
    if found:
        yield Finding(
            kind="parts-look-different",
            severity="warning",
            title=f"Given parts that look different from the training part: {len(found)} "
            "measure(s)",
            count=len(found),
            examples=examples(((), words) for words in found),
            action="the parts are kept as given; the score is of images unlike those learned from",
        )
    if dataset.kind == "regression":
        return
    acquired = [place for place, measure in enumerate(MEASURES) if measure.acquired]
    found = list(
        _differences(
            _classes(dataset),
            measured,
            acquired,
            BETWEEN_CLASSES,
            "other classes",
        )
    )
    if found:
        yield Finding(
            kind="classes-look-different",
            severity="warning",
            title="Classes whose images have another size or shape than all others: "
            f"{len(found)} measure(s)",
            count=len(found),
            examples=examples(((), words) for words in found),
            action="nothing; a model may learn how the images were taken, not what they show",
        )


Group = tuple[str, NDArray[np.bool_], NDArray[np.bool_]]
"""Its name, which images are of it, and which it is compared with."""


def _classes(dataset: Dataset) -> Iterator[Group]:
    """One at a time: of many images and classes all together would be large."""
    targets = dataset.targets
    for label, name in enumerate(dataset.classes):
        mine = targets == label if targets.ndim == 1 else targets[:, label] > 0
        yield repr(name), mine, ~mine


def _differences(
    groups: Iterable[Group],
    measured: NDArray[np.float32],
    places: Sequence[int],
    threshold: float,
    against: str,
) -> Iterator[str]:
    for name, mine, others in groups:
        for place in places:
            values = measured[:, place]
            one, other = (values[which & np.isfinite(values)] for which in (mine, others))
            if min(len(one), len(other)) < LEAST:
                continue
            delta = cliffs_delta(one, other)
            error = np.sqrt((len(one) + len(other) + 1) / (3 * len(one) * len(other)))
            if abs(delta) >= max(threshold, SURE * error):
                yield (
                    f"{name}: {MEASURES[place].name}, median {np.median(one):.3g} against "
                    f"{np.median(other):.3g} in {against} (Cliff's delta {delta:+.2f})"
                )
