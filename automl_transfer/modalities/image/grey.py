"""Grey images of more than 8 bits, as 8 bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

_WHITE_IS_ZERO = 0
_PHOTOMETRIC = 262
_DEPTHS = (8, 12, 16)


def to_grey8(image: Image.Image) -> NDArray[np.uint8]:
    """Scales Pillow's modes ``I;16*``, ``I`` and ``F`` to 0..255, shape (h, w).

    The range that white stands for is not in the file, so it is inferred from the values:

    - whole numbers from 0 on: the smallest of 8, 12 and 16 bits that holds the largest value, so
      that the 12 bits of a camera or scanner in a 16-bit file do not come out nearly black;
    - real numbers within 0..1, or within 0..255: just that;
    - anything else: from the smallest to the largest value. What is not finite counts as smallest.
    """
    values = np.asarray(image)
    if values.dtype.kind == "f":
        return _from_reals(values.astype(np.float64))
    largest = int(values.max())
    if int(values.min()) < 0 or largest >= 2 ** _DEPTHS[-1]:
        return _stretched(values.astype(np.float64))
    depth = next(bits for bits in _DEPTHS if largest < 2**bits)
    reals = values.astype(np.float32) * (255 / (2**depth - 1))
    scaled: NDArray[np.uint8] = reals.round().astype(np.uint8)
    tags: Any = getattr(image, "tag_v2", {})
    if values.dtype.itemsize == 2 and tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        return np.asarray(255 - scaled, dtype=np.uint8)
    return scaled


def _from_reals(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, dtype=np.uint8)
    low = float(values[finite].min())
    values = np.where(finite, values, low)
    high = float(values.max())
    if low >= 0 and high <= 1:
        return (values * 255).round().astype(np.uint8)
    if low >= 0 and high <= 255:
        return values.round().astype(np.uint8)
    return _stretched(values)


def _stretched(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())
    if high == low:
        return np.zeros(values.shape, dtype=np.uint8)
    return ((values - low) * (255 / (high - low))).round().astype(np.uint8)
