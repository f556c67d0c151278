"""Looks into the images of a data set before a search: headers, appearance, near copies.

Nothing is decoded: headers are read again, which takes a hundredth of the time, and the rest comes
from the whole image at 32 x 32 that opening the data has kept.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl_transfer.audit import Finding, Severity, examples
from automl_transfer.auditing.neighbours import close_codes
from automl_transfer.contracts import Examined, Progress, ReadRows
from automl_transfer.dataset import Dataset
from automl_transfer.modalities.image.appearance import MEASURES, appearance_findings, colours
from automl_transfer.modalities.image.headers import Header, read_header
from automl_transfer.modalities.image.inspecting import in_threads
from automl_transfer.modalities.image.near_copies import (
    LEAST_CONTRAST,
    MOST_BITS,
    near_pairs,
    perceptual_codes,
)

BLOCK = 512
"""Rows that are held at once."""
LOOKS = 8
"""Pairs for each image that are compared closely, the nearest by their hashes first, so that the
time stays in proportion where very many images resemble one another."""
LEAST_LOOKS = 20_000
SMALL = 16
LONG = 16
LOOKED_FOR = (
    "animated, 16-bit, transparent, turned, misnamed, blank and oddly shaped images",
    "sizes and colours far apart between given parts, sizes between classes",
)
_CONTRAST = next(
    place for place, measure in enumerate(MEASURES) if measure.name.startswith("contrast")
)


def examine(dataset: Dataset, rows: ReadRows, progress: Progress | None = None) -> Examined:
    """Findings about images, and pairs of near copies; see :class:`.contracts.Examines`.

    Args:
        dataset: Of images.
        rows: Reads whole images, shape (m, 32, 32, 3).
        progress: Told how many images have been looked at.
    """
    n = len(dataset.samples)
    headers = _headers(dataset)
    measured = np.full((n, len(MEASURES)), np.nan, dtype=np.float32)
    codes = np.zeros(n, dtype=np.uint64)
    for place, header in enumerate(headers):
        if header is not None:
            measured[place, :3] = header.width, header.height, header.width / header.height

    def look(block: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.uint64]]:
        read = rows(block)
        return colours(read), perceptual_codes(read)

    blocks = [np.arange(start, min(start + BLOCK, n)) for start in range(0, n, BLOCK)]
    for block, found in zip(blocks, in_threads(look, blocks), strict=True):
        measured[block, 3:], codes[block] = found
        if progress is not None:
            progress(int(block[-1]) + 1, n)
    pairs, distances = _near(dataset, codes, measured[:, _CONTRAST], rows)
    findings = [
        *_header_findings(dataset, headers),
        *_blank(dataset, measured[:, _CONTRAST]),
        *appearance_findings(dataset, measured),
    ]
    return Examined(
        findings=tuple(findings), looked_for=LOOKED_FOR, pairs=pairs, distances=distances
    )


def _headers(dataset: Dataset) -> list[Header | None]:
    paths = [Path(dataset.root) / sample.source for sample in dataset.samples]
    with warnings.catch_warnings():  # Pillow's, of odd metadata
        warnings.simplefilter("ignore")
        return list(in_threads(read_header, paths))


def _near(
    dataset: Dataset,
    codes: NDArray[np.uint64],
    contrasts: NDArray[np.float32],
    rows: ReadRows,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Near copies among images of different content that are not blank."""
    _, first = np.unique([sample.id for sample in dataset.samples], return_index=True)
    shown = np.sort(first[contrasts[first] >= LEAST_CONTRAST]).astype(np.int64)
    most = max(LEAST_LOOKS, LOOKS * len(shown))
    return near_pairs(shown[close_codes(codes[shown], MOST_BITS, most)], rows)


def _header_findings(dataset: Dataset, headers: Sequence[Header | None]) -> Iterator[Finding]:
    kinds: tuple[tuple[str, Severity, str, str], ...] = (
        ("several", "warning", "images with several frames or pages", "the first one is used"),
        (
            "deep",
            "warning",
            "images with more than 8 bits a channel",
            "scaled to 8 bits by the range of each image's values; look whether that suits them",
        ),
        ("misnamed", "info", "images in another format than their name says", "read all the same"),
        ("turned", "info", "images that a camera says are to be turned", "turned upright"),
        ("transparent", "info", "images with transparency", "laid over white"),
        ("printed", "info", "images in colours for printing", "converted to RGB"),
    )
    known = [
        (sample.source, header)
        for sample, header in zip(dataset.samples, headers, strict=True)
        if header is not None
    ]
    for name, severity, what, action in kinds:
        found = [(source, getattr(header, name)) for source, header in known]
        found = [(source, value) for source, value in found if value]
        if found:
            yield Finding(
                kind=f"image-{name}",
                severity=severity,
                title=f"{what[0].upper()}{what[1:]}: {len(found):,}",
                count=len(found),
                examples=examples(
                    ((source,), f"it is {value}" if isinstance(value, str) else "")
                    for source, value in found
                ),
                action=action,
            )
    odd = [
        (source, header)
        for source, header in known
        if min(header.width, header.height) < SMALL
        or max(header.width, header.height) > LONG * min(header.width, header.height)
    ]
    if odd:
        yield Finding(
            kind="image-odd-shape",
            severity="warning",
            title=f"Images with a side under {SMALL} pixels, or {LONG} times as long as high: "
            f"{len(odd):,}",
            count=len(odd),
            examples=examples(
                ((source,), f"{header.width} x {header.height}") for source, header in odd
            ),
            action="used: blown up, or their middle cut out",
        )


def _blank(dataset: Dataset, contrasts: NDArray[np.float32]) -> Iterator[Finding]:
    blank = np.flatnonzero(contrasts < LEAST_CONTRAST)
    if len(blank):
        yield Finding(
            kind="image-blank",
            severity="warning",
            title=f"Images of nearly one colour: {len(blank):,}",
            count=len(blank),
            examples=examples(((dataset.samples[int(at)].source,), "") for at in blank),
            action="used as they are; near copies of them are not looked for",
        )
