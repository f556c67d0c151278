"""Small views of images for reports."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from automl_transfer.contracts import ShowsSamples
from automl_transfer.dataset import DataOptions
from automl_transfer.errors import DataError
from automl_transfer.modalities.image.modality import ImageModality
from automl_transfer.modalities.image.thumbnails import SIDE, thumbnail
from automl_transfer.report.stills import stills


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_a_large_image_is_made_small_in_its_proportions(tmp_path):
    file = tmp_path / "a.png"
    Image.new("RGB", (800, 400), (200, 30, 30)).save(file)
    media, content = thumbnail(file)
    assert media == "image/jpeg"
    assert opened(content).size == (SIDE, SIDE // 2)
    assert len(content) < 20_000


def test_a_small_image_stays_as_it_is_to_the_pixel(tmp_path):
    file = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    media, content = thumbnail(file)
    assert media == "image/png"
    assert np.array_equal(np.array(opened(content)), pixels)


def test_it_is_upright_and_tells_nothing_of_the_camera(tmp_path):
    file = tmp_path / "a.jpg"
    image = Image.new("RGB", (400, 200))
    image.paste((250, 250, 250), (0, 0, 200, 200))  # its left half is light
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    exif[0x010F] = "a camera"
    image.save(file, exif=exif, comment=b"a secret")
    content = thumbnail(file)[1]
    shown = opened(content)
    assert shown.size == (SIDE // 2, SIDE)
    light = np.array(shown.convert("L"))
    assert light[: SIDE // 4].mean() > 200 > 50 > light[-SIDE // 4 :].mean()
    assert not shown.getexif()
    assert b"camera" not in content
    assert b"secret" not in content


def test_a_file_that_is_gone_is_told(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        thumbnail(tmp_path / "gone.png")


def test_stills_of_a_data_set_pass_over_what_cannot_be_shown(tmp_path):
    for shade in range(10):
        file = tmp_path / "ab"[shade % 2] / f"{shade // 2}.png"
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (9, 9), (20 * shade, 0, 0)).save(file)
    modality = ImageModality()
    assert isinstance(modality, ShowsSamples)
    dataset = modality.open(tmp_path, DataOptions())
    (tmp_path / "b/2.png").unlink()
    found = stills(modality, dataset, ["a/2.png", "b/2.png", "c/9.png"])
    assert list(found) == ["a/2.png"]
    assert found["a/2.png"].media == "image/png"


def test_a_modality_that_shows_nothing_gives_none():
    class Silent:
        """Has no thumbnails."""

    assert stills(Silent(), None, ["a"]) == {}  # type: ignore[arg-type]
