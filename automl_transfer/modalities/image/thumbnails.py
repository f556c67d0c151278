"""Small views of images, for reports."""

from __future__ import annotations

import io
from pathlib import Path

from automl_transfer.modalities.image.reading import decode, read_bytes

SIDE = 160
"""Pixels of the longer side, at most."""
_SMALL = 64
"""Up to so many pixels a side, compression with loss would be seen and saves nothing."""


def thumbnail(file: Path) -> tuple[str, bytes]:
    """A file's image, upright, never enlarged: its media type, and JPEG or PNG without metadata.

    Raises:
        DataError: The file cannot be read.
    """
    image = decode(read_bytes(file))
    image.info.clear()
    image.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    if max(image.size) <= _SMALL:
        image.save(content, "PNG", optimize=True)
        return "image/png", content.getvalue()
    image.save(content, "JPEG", quality=80, optimize=True)
    return "image/jpeg", content.getvalue()
