"""What the header of an image file says; no pixel is decoded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automl_transfer.modalities.image.reading import formats, orientation

if TYPE_CHECKING:
    from PIL import Image

_SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}


@dataclass(frozen=True, kw_only=True)
class Header:
    """Facts of one file."""

    width: int
    """As it is shown, after turning."""
    height: int
    misnamed: str = ""
    """Its format, if its name says another."""
    several: bool = False
    """More than one frame or page."""
    deep: bool = False
    """More than 8 bits a channel."""
    turned: bool = False
    """A camera says that it is to be turned."""
    transparent: bool = False
    printed: bool = False
    """In colours for printing (CMYK) or of the Lab space."""


def read_header(path: Path) -> Header | None:
    """The facts, or None if there is no image to be had."""
    from PIL import Image

    try:
        with Image.open(path, formats=formats()) as image:
            held = orientation(image)
            width, height = image.size[::-1] if held >= 5 else image.size
            return Header(
                width=width,
                height=height,
                misnamed=_misnamed(path, image),
                # A camera's JPEG with previews in it is one picture.
                several=image.format != "MPO" and bool(getattr(image, "is_animated", False)),
                deep=image.mode.startswith("I") or image.mode == "F" or _deep(image),
                turned=held != 1,
                transparent=image.has_transparency_data,
                printed=image.mode in ("CMYK", "LAB"),
            )
    # Hostile bytes raise anything; whether the file can be used has been found out before.
    except Exception:
        return None


def _misnamed(path: Path, image: Image.Image) -> str:
    expected = _SUFFIXES.get(path.suffix.lower())
    found = image.format or ""
    # A camera's JPEG with several pictures in it.
    return found if expected not in (None, {"MPO": "JPEG"}.get(found, found)) else ""


def _deep(image: Image.Image) -> bool:
    """Whether Pillow takes the upper 8 of 16 bits of each colour: its mode does not tell."""
    return any(";16" in str(tile[3]) for tile in getattr(image, "tile", ()))
