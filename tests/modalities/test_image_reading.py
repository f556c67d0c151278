from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from automl_transfer.errors import DataError
from automl_transfer.modalities.image.reading import (
    MAX_PIXELS,
    content_id,
    decode,
    read_bytes,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, format: str, **options) -> bytes:
    target = io.BytesIO()
    image.save(target, format, **options)
    return target.getvalue()


def pixels(content: bytes) -> np.ndarray:
    image = decode(content)
    assert image.mode == "RGB"
    return np.asarray(image)


def photo(width: int = 40, height: int = 24) -> Image.Image:
    """A quarter of it red (top left), the rest a gradient of blue."""
    array = np.zeros((height, width, 3), dtype=np.uint8)
    array[..., 2] = np.linspace(60, 250, width, dtype=np.uint8)
    array[: height // 2, : width // 2] = RED
    return Image.fromarray(array)


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF", "PPM", "WEBP", "GIF"])
def test_formats(format):
    options = {"lossless": True} if format == "WEBP" else {}
    found = pixels(encoded(photo(), format, **options))
    assert found.shape == (24, 40, 3)
    assert np.abs(found.astype(int) - np.asarray(photo())).max() <= (40 if format == "GIF" else 0)


@pytest.mark.parametrize("format", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(format, orientation):
    from PIL import ImageOps

    upright = photo()
    # What undoes each orientation is what a camera held that way has stored.
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = upright if undo is None else upright.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if format in ("JPEG", "WEBP") else {}
    content = encoded(stored, format, exif=exif, **options)
    found = pixels(content)
    assert found.shape == (24, 40, 3)
    assert found[4, 4, 0] > 200 and found[20, 36, 2] > 200
    assert (found == np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))).all()


def test_damaged_metadata_does_not_spoil_a_picture():
    content = encoded(photo(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\xff\xff\xff\xff\xff")
    assert pixels(content).shape == (24, 40, 3)


def ramp(top: int, dtype=np.uint16) -> np.ndarray:
    return np.linspace(0, top, 64).round().astype(dtype).reshape(8, 8)


EIGHT_BITS = np.linspace(0, 255, 64).reshape(8, 8)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("top", [65535, 4095, 255])
def test_sixteen_bit_grey_keeps_its_range(format, top):
    found = pixels(encoded(Image.fromarray(ramp(top)), format))
    assert np.abs(found[..., 0] - EIGHT_BITS).max() <= 1
    assert (found[..., 0] == found[..., 2]).all()


def test_dark_sixteen_bit_pictures_stay_dark():
    values = ramp(9000)
    found = pixels(encoded(Image.fromarray(values), "PNG"))
    assert np.abs(found[..., 0] - values / 257).max() <= 1


def test_big_endian_and_inverted_sixteen_bit():
    assert (
        np.abs(pixels(encoded(Image.fromarray(ramp(65535)), "PPM"))[..., 0] - EIGHT_BITS).max()
        <= 1
    )
    image = Image.fromarray(ramp(65535))
    found = pixels(encoded(image, "TIFF", tiffinfo={262: 0}))
    assert np.abs(255 - found[..., 0].astype(int) - EIGHT_BITS).max() <= 1


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (ramp(70000, np.int32), EIGHT_BITS),
        (ramp(4000, np.int32) - 2000, EIGHT_BITS),
        (ramp(65535, np.int32), EIGHT_BITS),
        (np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8), EIGHT_BITS),
        (np.linspace(0, 200, 64, dtype=np.float32).reshape(8, 8), EIGHT_BITS * 200 / 255),
        (np.linspace(-3, 7, 64, dtype=np.float32).reshape(8, 8), EIGHT_BITS),
        (np.full((8, 8), np.nan, dtype=np.float32), np.zeros((8, 8))),
        (np.full((8, 8), -5, dtype=np.int32), np.zeros((8, 8))),
    ],
)
def test_other_depths_of_grey(values, expected):
    found = pixels(encoded(Image.fromarray(values), "TIFF"))
    assert np.abs(found[..., 0] - expected).max() <= 1


def test_values_that_are_not_finite_are_black():
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    values[7, 7] = np.inf
    values[7, 6] = np.nan
    found = pixels(encoded(Image.fromarray(values), "TIFF"))[..., 0]
    assert found[7, 7] == found[7, 6] == 0
    assert found[7, 5] > 240


def test_alpha_is_laid_over_white():
    image = Image.new("RGBA", (4, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))
    image.putpixel((2, 0), (0, 0, 0, 128))
    found = pixels(encoded(image, "PNG"))[0]
    assert found[0].tolist() == list(RED)
    assert found[1].tolist() == list(WHITE)
    assert abs(int(found[2, 0]) - 127) <= 1


def test_grey_with_alpha_and_black_and_white():
    grey = Image.new("LA", (2, 1), (10, 255))
    grey.putpixel((1, 0), (10, 0))
    assert pixels(encoded(grey, "PNG"))[0, :, 0].tolist() == [10, 255]
    bits = Image.new("1", (2, 1), 1)
    bits.putpixel((1, 0), 0)
    assert pixels(encoded(bits, "PNG"))[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255])])
def test_palettes_with_transparency(transparency):
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    for place in range(3):
        image.putpixel((place, 0), place)
    content = encoded(image, "PNG", transparency=transparency)
    assert pixels(content)[0].tolist() == [list(RED), list(WHITE), list(BLUE)]
    assert pixels(encoded(image, "PNG"))[0].tolist() == [list(RED), list(GREEN), list(BLUE)]


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (7, 7, 7))])
def test_a_colour_that_stands_for_transparent(mode, key):
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), key)
    assert pixels(encoded(image, "PNG", transparency=key))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk(format):
    found = pixels(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), format))
    assert found[8, 8, 0] > 240 and found[8, 8, 1] < 15 and found[8, 8, 2] < 15


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "PNG"])
def test_the_first_frame_counts(format):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    options = {"lossless": True} if format == "WEBP" else {}
    content = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    assert getattr(Image.open(io.BytesIO(content)), "n_frames", 1) == 3
    assert pixels(content)[8, 8].tolist() == list(RED)


# What cannot be read


def noise(format: str) -> bytes:
    array = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    return encoded(Image.fromarray(array), format)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "TIFF", "WEBP", "PPM"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_files_that_were_cut_off(format, share):
    content = noise(format)
    with pytest.raises(DataError, match="the image is damaged: |not an image of a known format"):
        decode(content[: int(len(content) * share)])


def test_a_broken_checksum():
    content = bytearray(noise("PNG"))
    place = content.index(b"IDAT") + 40
    content[place] ^= 0xFF
    with pytest.raises(DataError, match="the image is damaged: "):
        decode(bytes(content))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"hello", r"not an image of a known format \(JPEG, PNG"),
        (b"  <!DOCTYPE html><html>404</html>", "not an image but HTML"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "HTML, XML or SVG"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC image, which is not supported"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
        (b"\xff\xd8\xff", "damaged|known format"),
        (b"GIF89a", "damaged|known format"),
        (b"P6\n0 0\n255\n", "damaged|no pixels|known format"),
        (b"BM" + bytes(60), "damaged|known format"),
        (b"\0" * 1000, "known format"),
    ],
)
def test_what_is_not_an_image(content, reason):
    with pytest.raises(DataError, match=reason):
        decode(content)


def png_of_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100)))
    )


@pytest.mark.parametrize("side", [int(MAX_PIXELS**0.5) + 2, 30_000, 1_000_000])
def test_decompression_bombs(side):
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(DataError, match="too large: .*at most 89,478,485 pixels are read"):
        decode(png_of_size(side, side))
    assert before == Image.MAX_IMAGE_PIXELS


def test_the_limit_is_ours_whatever_the_process_says(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(DataError, match="it has 20000 x 20000 pixels"):
        decode(png_of_size(20_000, 20_000))


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bytes_never_raise_anything_else(seed):
    generator = np.random.default_rng(seed)
    for format in ("JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP", "PPM"):
        content = np.frombuffer(encoded(photo(), format), dtype=np.uint8)
        for _ in range(10):
            broken = content.copy()
            broken[generator.integers(0, len(broken), 6)] = generator.integers(0, 256, 6)
            try:
                assert decode(broken.tobytes()).mode == "RGB"
            except DataError as error:
                assert str(error)


def test_files(tmp_path):
    path = tmp_path / "an image.jpg"
    path.write_bytes(b"")
    with pytest.raises(DataError, match="the file is empty"):
        read_bytes(path)
    with pytest.raises(DataError, match="the file does not exist"):
        read_bytes(tmp_path / "gone.jpg")
    with pytest.raises(DataError, match="it is a folder"):
        read_bytes(tmp_path)
    path.write_bytes(encoded(photo(), "PNG"))
    assert decode(read_bytes(path)).size == (40, 24)


def test_very_large_files_are_not_read(tmp_path):
    path = tmp_path / "large.tif"
    with path.open("wb") as file:
        file.truncate((1 << 29) + 1)
    with pytest.raises(DataError, match="at most 536,870,912 are read"):
        read_bytes(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_without_permission(tmp_path):
    path = tmp_path / "secret.jpg"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(DataError, match="the file cannot be read"):
        read_bytes(path)


def test_the_id_is_that_of_the_content():
    assert content_id(b"abc") == "ba7816bf8f01cfea414140de5dae2223"
