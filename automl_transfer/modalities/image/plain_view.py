"""The plain view: an image at the input size of a backbone, without any chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl_transfer.modalities.image.input import ImageInput

if TYPE_CHECKING:
    from PIL import Image

REVISION = 1
"""To be raised when the code below, or that of ``reading.py`` or ``grey.py``, changes pixels."""

_LONGEST = 16


def plain_view(image: Image.Image, input: ImageInput) -> NDArray[np.uint8]:
    """Resizes and crops.

    With ``center``, the image is resized so that it covers the input size divided by ``crop_pct``
    (rounded down, as timm does), and the middle is cut out.

    Args:
        image: RGB.
        input: The wanted size and how to reach it.

    Returns:
        Shape (height, width, channels), 0 to 255.
    """
    from PIL import Image

    channels, height, width = input.size
    if channels == 1:
        image = image.convert("L")
    resample = Image.Resampling[input.interpolation.upper()]
    if input.crop_mode == "squash":
        image = image.resize((width, height), resample)
    else:
        image = _cut_ends(image, width / height)
        inner_w, inner_h = _floor(width / input.crop_pct), _floor(height / input.crop_pct)
        scale = max(inner_w / image.width, inner_h / image.height)
        size = max(width, _floor(image.width * scale)), max(height, _floor(image.height * scale))
        image = image.resize(size, resample)
        left, top = round((size[0] - width) / 2), round((size[1] - height) / 2)
        image = image.crop((left, top, left + width, top + height))
    return np.array(image, dtype=np.uint8).reshape(height, width, channels)


def _cut_ends(image: Image.Image, aspect: float) -> Image.Image:
    """Takes the ends off a very long image: they would be resized, to any size, and cut off.

    Up to 16 to 1 nothing happens, so that the result is to the pixel what timm makes of it.
    """
    width, height = image.size
    longest_w = round(_LONGEST * height * aspect) + width % 2
    longest_h = round(_LONGEST * width / aspect) + height % 2
    left, top = max(0, (width - longest_w) // 2), max(0, (height - longest_h) // 2)
    return image.crop((left, top, width - left, height - top)) if left or top else image


def _floor(value: float) -> int:
    # A crop_pct written with six digits must still give the side that it was made from.
    return int(value + 1e-3)
