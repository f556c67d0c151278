"""Opens an image as a viewer shows it, or says why it cannot be.

Pillow decodes; what it leaves undone is done here: the orientation of a camera, transparency, grey
images of more than 8 bits (its own conversion clips them to white), and limits that do not depend
on the state of the process.
"""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from automl_transfer.errors import DataError
from automl_transfer.modalities.image.grey import to_grey8

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".gif", ".webp", ".avif"),
        *(".bmp", ".dib", ".tif", ".tiff", ".jp2", ".ppm", ".pgm", ".pbm", ".pnm"),
    }
)
"""Endings of the files that are taken for images. Their content decides how they are read."""

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF", "BMP", "DIB", "TIFF", "JPEG2000", "PPM")
"""Pillow's names. Others are not tried: some of them start programs (EPS) or accept anything."""

MAX_PIXELS = 89_478_485
"""Pictures with more are refused: a small file can ask for any amount of memory. Pillow's own
limit for its warning, as three bytes a pixel 256 MiB."""

MAX_BYTES = 1 << 29
"""Larger files are refused without reading them."""

_FILTERS = threading.Lock()
"""Filters of warnings belong to the whole process."""

_TRANSPOSE = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""Orientation of EXIF to Pillow's ``Transpose``; 1 is upright."""


TOO_LARGE = "too large, or a decompression bomb"
CUT_OFF = "cut off"
DAMAGED = "damaged"
_CUT_OFF = ("truncated", "unexpected end", "too short", "not enough")
"""What Pillow's messages have in common when a file ends too early."""
_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\x00", b"MM\x00*")
"""How files begin that are images beyond doubt, though Pillow makes nothing of them."""


class UnreadableError(DataError):
    """A file that cannot be used as an image."""

    def __init__(self, reason: str, kind: str) -> None:
        """Takes the reason, and what is wrong in a few words, the same for all such files."""
        super().__init__(reason)
        self.kind = kind


def read_bytes(path: Path) -> bytes:
    """The content of a file of acceptable size.

    Raises:
        DataError: It cannot be read, or is empty or larger than :data:`MAX_BYTES`.
    """
    try:
        if not path.exists():
            raise UnreadableError("the file does not exist", "missing file")
        if path.is_dir():
            raise UnreadableError("it is a folder; name the files in it", "not a file")
        if not path.is_file():
            raise UnreadableError("it is not a regular file", "not a file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UnreadableError(
                f"the file has {size:,} bytes; at most {MAX_BYTES:,} are read", TOO_LARGE
            )
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise UnreadableError(f"the file cannot be read: {_text(error)}", "no access") from error
    if not content:
        raise UnreadableError("the file is empty", "empty file")
    return content


def content_id(content: bytes) -> str:
    """Identity of a file's content: 32 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:32]


def decode(content: bytes) -> Image.Image:
    """Reads the first frame of a file's bytes as RGB, upright, over white where it is transparent.

    Raises:
        DataError: They cannot be read to their end as an image, or it is too large.
    """
    try:
        return _decode(content)
    # Where warnings are made errors, odd metadata must not change what can be read.
    except Warning:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decode(content)


def _decode(content: bytes) -> Image.Image:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=formats()) as image:
            width, height = image.size
            if width < 1 or height < 1:
                raise UnreadableError(f"the image has no pixels ({width} x {height})", "no pixels")
            if width * height > MAX_PIXELS:
                raise UnreadableError(_too_large(f"{width} x {height} pixels"), TOO_LARGE)
            # Only decoding finds a file that was cut off; Pillow's verify() does not.
            image.load()
            return _upright(_rgb(image), image)
    except (DataError, Warning):
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError(*_unidentified(content)) from error
    except Image.DecompressionBombError as error:
        raise UnreadableError(_too_large("more pixels than that"), TOO_LARGE) from error
    # Decoders meet hostile bytes with every kind of error, from struct.error to MemoryError.
    except Exception as error:
        text = _text(error)
        kind = CUT_OFF if any(word in text.lower() for word in _CUT_OFF) else DAMAGED
        raise UnreadableError(f"the image is damaged: {text}", kind) from error


def formats() -> list[str]:
    """Those of :data:`FORMATS` that this Pillow reads."""
    from PIL import Image

    Image.init()
    # AVIF, WebP and JPEG 2000 are optional parts of Pillow.
    return [name for name in FORMATS if name in Image.OPEN]


def _rgb(image: Image.Image) -> Image.Image:
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(to_grey8(image)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    layer = image.convert("RGBA")
    white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, layer).convert("RGB")


def _upright(pixels: Image.Image, image: Image.Image) -> Image.Image:
    from PIL import Image

    turn = _TRANSPOSE.get(orientation(image))
    return pixels if turn is None else pixels.transpose(Image.Transpose(turn))


def orientation(image: Image.Image) -> int:
    """How a camera was held: 1 is upright, 2 to 8 as EXIF numbers them."""
    try:
        found = image.getexif().get(0x0112, 1)
    # A picture with damaged metadata is still a picture.
    except Exception as error:
        if isinstance(error, Warning):
            raise
        return 1
    return found if isinstance(found, int) and found in _TRANSPOSE else 1


def _too_large(found: str) -> str:
    return f"the image is too large: it has {found}; at most {MAX_PIXELS:,} pixels are read"


def _unidentified(content: bytes) -> tuple[str, str]:
    """The reason and its kind."""
    start = content[:512].lstrip()
    if start.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the image; run `git lfs pull`", "Git LFS pointer"
    if start[:1] == b"<":
        return "it is not an image but HTML, XML or SVG", "HTML, XML or SVG"
    if content[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
        return "it is a HEIC image, which is not supported; convert it to JPEG", "HEIC image"
    if content.startswith(_MAGIC):
        return "the image is damaged: its header cannot be read", DAMAGED
    return f"it is not an image of a known format ({', '.join(formats())})", "not an image"


def _text(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
