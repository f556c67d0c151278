"""Whether two images are the same picture: encoded again, resized, brightened or slightly cropped.

Two looks, both at the whole image at 32 x 32, which is kept anyway. A perceptual hash proposes
pairs; then one image is laid over the other as well as a slight shift, stretch and change of
brightness allow, and what is left over decides. Thresholds and figures are in
``docs/decisions/0011-near-duplicates.md``.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

MOST_BITS = 14
"""Of the 64 of a hash, that copies may differ in."""
LEFT_OVER = 0.06
"""Largest mean square that is left over, in units of that of the image's finest detail."""
UNEXPLAINED = 0.12
"""Largest share of the other image's variance that is left over."""
PEAK = 0.4
"""Largest mean of what is left over in any 3 x 3 pixels, in standard deviations of the image: a
dot or a scratch that only one of them has is small in the mean square, and a peak."""
LEAST_CONTRAST = 2.0
"""Standard deviation in grey levels; below it an image has nothing to be compared by."""

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_NOISE = 20.0
"""Mean square of the Laplacian that the coarser quantisations of JPEG make in an even image."""
_BORDER = 2
"""Pixels at each side that a shift may bring in from outside, and that are not compared."""
_GAIN = 1.6
"""Largest factor between the contrasts of two copies."""
_WHITE = 253.0
"""From here on a channel may have been cut off."""

Pixels = NDArray[np.uint8]


def perceptual_codes(rows: Pixels) -> NDArray[np.uint64]:
    """A perceptual hash of each image, by ImageHash: signs of its low cosine frequencies.

    Args:
        rows: Whole images, shape (n, 32, 32, 3).

    Returns:
        Shape (n,).
    """
    import imagehash
    from PIL import Image

    found = np.empty((len(rows), 8), dtype=np.uint8)
    for place, row in enumerate(rows):
        found[place] = np.packbits(imagehash.phash(Image.fromarray(row)).hash.ravel())
    return found.view(">u8")[:, 0].astype(np.uint64)


def grey(rows: Pixels) -> NDArray[np.float32]:
    """Luma, shape (n, 32, 32), 0 to 255."""
    found: NDArray[np.float32] = rows.astype(np.float32) @ _LUMA
    return found


def gaps(one: Pixels, other: Pixels) -> NDArray[np.float64]:
    """How far pairs of images are from being copies: up to 1 they are.

    The other image is written as a sum of the one, a constant, and the change of the one under a
    small shift and stretch along each axis (the linearised registration of Lucas and Kanade,
    IJCAI 1981, with a gain and an offset), by least squares over what is not cut off at white.
    The better of both directions counts, since the brighter copy may have lost its lights.

    Args:
        one: Shape (m, 32, 32, 3).
        other: Likewise.

    Returns:
        The largest of the ratios to :data:`LEFT_OVER`, :data:`UNEXPLAINED` and :data:`PEAK`,
        shape (m,).
    """
    first, second = grey(one), grey(other)
    detail = np.minimum(_detail(first), _detail(second)) + _NOISE
    variance = np.minimum(_inside(first).var(axis=1), _inside(second).var(axis=1)) + 1.0
    found: NDArray[np.float64] = np.minimum(
        _gap(first, second, detail, variance), _gap(second, first, detail, variance)
    )
    return found


def near_pairs(
    candidates: NDArray[np.int64],
    rows: Callable[[NDArray[np.int64]], Pixels],
    block: int = 256,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Those of the candidates that are copies, and their gaps.

    Args:
        candidates: Pairs of positions, shape (m, 2).
        rows: Reads whole images at positions.
        block: Pairs that are compared at once.
    """
    distances = np.empty(len(candidates))
    for start in range(0, len(candidates), block):
        pairs = candidates[start : start + block]
        positions, places = np.unique(pairs, return_inverse=True)
        read, places = rows(positions), places.reshape(pairs.shape)
        distances[start : start + block] = gaps(read[places[:, 0]], read[places[:, 1]])
    kept = distances <= 1
    return candidates[kept], distances[kept]


def _gap(
    image: NDArray[np.float32],
    target: NDArray[np.float32],
    detail: NDArray[np.float64],
    variance: NDArray[np.float32],
) -> NDArray[np.float64]:
    """The largest ratio, with ``target`` made of ``image``; infinite if their contrasts differ."""
    left, gain = _left_over(image, target)
    square = (left**2).mean(axis=(1, 2))
    side = left.shape[1] - 2
    around = sum(left[:, i : i + side, j : j + side] for i in range(3) for j in range(3)) / 9
    peak = np.abs(around).max(axis=(1, 2))
    ratios = np.stack(
        [
            square / (LEFT_OVER * detail),
            square / (UNEXPLAINED * variance),
            peak / (PEAK * np.sqrt(variance)),
        ]
    )
    found: NDArray[np.float64] = ratios.max(axis=0)
    found[(gain < 1 / _GAIN) | (gain > _GAIN)] = np.inf
    return found


def _left_over(
    image: NDArray[np.float32], target: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What of ``target`` is not to be made of ``image``, (m, s, s), and the gain, (m,)."""
    down, right = np.gradient(image, axis=(1, 2))
    side = np.linspace(-1, 1, image.shape[1], dtype=np.float32)
    terms = np.stack(
        [image, np.ones_like(image), right, down, right * side, down * side[:, None]], axis=1
    )
    terms = _inside(terms)  # (m, 6, p)
    wanted = _inside(target)
    whole = ((terms[:, 0] < _WHITE) & (wanted < _WHITE)).astype(np.float32)
    weighted = terms * whole[:, None]
    normal = (weighted @ terms.transpose(0, 2, 1)).astype(np.float64) + 1e-3 * np.eye(6)
    moments = (weighted @ wanted[:, :, None]).astype(np.float64)
    solved = np.linalg.solve(normal, moments)  # (m, 6, 1)
    made = (solved.transpose(0, 2, 1) @ terms)[:, 0]
    inner = image.shape[1] - 2 * _BORDER
    left: NDArray[np.float64] = (np.clip(made, 0, 255) - wanted).reshape(-1, inner, inner)
    gain: NDArray[np.float64] = solved[:, 0, 0].astype(np.float64)
    return left, gain


def _detail(image: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean square of the Laplacian, which is what a small move of an image is not linear in."""
    middle = image[:, 1:-1, 1:-1]
    around = image[:, :-2, 1:-1] + image[:, 2:, 1:-1] + image[:, 1:-1, :-2] + image[:, 1:-1, 2:]
    found: NDArray[np.float64] = ((4 * middle - around).astype(np.float64) ** 2).mean(axis=(1, 2))
    return found


def _inside(images: NDArray[np.float32]) -> NDArray[np.float32]:
    inner = images[..., _BORDER:-_BORDER, _BORDER:-_BORDER]
    return inner.reshape(*inner.shape[:-2], -1)
