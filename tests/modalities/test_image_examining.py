"""What is seen in images: broken and odd files, near copies, parts that look different."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from automl_transfer.audit import Finding
from automl_transfer.auditing import Audited, audit_dataset
from automl_transfer.contracts import Examines
from automl_transfer.dataset import DataOptions, Dataset, Sample
from automl_transfer.modalities.image.appearance import (
    MEASURES,
    appearance_findings,
    cliffs_delta,
)
from automl_transfer.modalities.image.modality import build
from automl_transfer.modalities.image.near_copies import gaps


def scene(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    """Shapes over a soft background: an image with edges and areas, different for each seed."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 200, (5, 6, 3), dtype=np.uint8))
    picture = coarse.resize((width, height), Image.Resampling.BICUBIC)
    for _ in range(6):
        left, top = generator.integers(0, width - 30), generator.integers(0, height - 30)
        size = tuple(generator.integers(10, 50, 2).tolist())
        colour = tuple(generator.integers(0, 256, 3).tolist())
        picture.paste(colour, (int(left), int(top), int(left) + size[0], int(top) + size[1]))
    return picture.filter(ImageFilter.GaussianBlur(1))


def saved(image: Image.Image, path: Path, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for place in range(24):
        saved(scene(place), root / "cat" / f"{place:02}.jpg", quality=92)
        saved(scene(100 + place), root / "dog" / f"{place:02}.jpg", quality=92)
    return root


def audited(root: Path) -> Audited:
    modality = build()
    dataset = modality.open(root, DataOptions())
    encoder = modality.encoder(dataset.root, modality.raw_input, {})
    return audit_dataset(
        dataset,
        modality,
        lambda positions: np.stack([encoder.prepare(dataset.samples[p]) for p in positions]),
    )


def kinds(root: Path) -> dict[str, Finding]:
    return {one.kind: one for one in audited(root).audit.findings}


def sources(finding: Finding) -> list[str]:
    return [source for example in finding.examples for source in example.sources]


def test_ordinary_images_raise_nothing(folder):
    assert audited(folder).audit.findings == ()
    assert isinstance(build(), Examines)


def bomb(side: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IEND", b"")


def test_broken_files_are_told_by_what_is_wrong_with_them(folder):
    whole = (folder / "cat" / "00.jpg").read_bytes()
    png = io.BytesIO()
    scene(7).save(png, "PNG")
    flipped = bytearray(png.getvalue())
    flipped[60] ^= 0xFF
    for name, content in {
        "zero.jpg": b"",
        "half.jpg": whole[: len(whole) // 2],
        "half.png": png.getvalue()[: len(png.getvalue()) // 2],
        "flipped.png": bytes(flipped),
        "page.jpg": b"<!DOCTYPE html><html></html>",
        "text.png": b"not an image at all",
        "pointer.jpg": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "photo.jpg": b"\x00\x00\x00\x18ftypheic" + bytes(30),
        "bomb.png": bomb(20_000),
        "nulls.jpg": bytes(500),
    }.items():
        (folder / "dog" / name).write_bytes(content)
    (folder / "dog" / "dangling.jpg").symlink_to("nowhere.jpg")
    found = kinds(folder)
    told = {
        kind.removeprefix("unreadable: "): {source.rpartition("/")[2] for source in sources(one)}
        for kind, one in found.items()
        if kind.startswith("unreadable")
    }
    assert told == {
        "empty file": {"zero.jpg"},
        "cut off": {"half.jpg", "half.png"},
        "damaged": {"flipped.png"},
        "HTML, XML or SVG": {"page.jpg"},
        "not an image": {"text.png", "nulls.jpg"},
        "Git LFS pointer": {"pointer.jpg"},
        "HEIC image": {"photo.jpg"},
        "too large, or a decompression bomb": {"bomb.png"},
        "it cannot be reached: a broken link or no right": {"dangling.jpg"},
    }
    assert all(one.action == "left out" for kind, one in found.items() if "unreadable" in kind)


def test_files_that_are_read_with_a_loss_are_told(folder):
    frames = [scene(200 + place) for place in range(3)]
    saved(frames[0], folder / "cat" / "a.gif", save_all=True, append_images=frames[1:])
    saved(frames[1], folder / "cat" / "b.tif", save_all=True, append_images=frames[2:])
    deep = np.random.default_rng(0).integers(0, 65536, (40, 40)).astype(np.uint16)
    saved(Image.fromarray(deep), folder / "cat" / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    saved(scene(210), folder / "cat" / "turned.jpg", exif=exif)
    saved(scene(211).convert("CMYK"), folder / "cat" / "print.jpg")
    clear = scene(212).convert("RGBA")
    clear.putalpha(100)
    saved(clear, folder / "cat" / "clear.png")
    saved(scene(213), folder / "cat" / "really.png").rename(folder / "cat" / "png.jpg")
    saved(Image.new("RGB", (60, 60), "grey"), folder / "cat" / "blank.png")
    saved(scene(214).crop((0, 0, 160, 4)), folder / "cat" / "long.png")
    found = kinds(folder)
    assert {kind: sorted(Path(s).name for s in sources(one)) for kind, one in found.items()} == {
        "image-several": ["a.gif", "b.tif"],
        "image-deep": ["deep.png"],
        "image-turned": ["turned.jpg"],
        "image-printed": ["print.jpg"],
        "image-transparent": ["clear.png"],
        "image-misnamed": ["png.jpg"],
        "image-blank": ["blank.png"],
        "image-odd-shape": ["long.png"],
    }
    assert {kind for kind, one in found.items() if one.severity == "warning"} == {
        "image-several",
        "image-deep",
        "image-blank",
        "image-odd-shape",
    }


def crop(image: Image.Image, share: float) -> Image.Image:
    width, height = image.size
    across, down = share / 2 * width, share / 2 * height
    return image.crop((round(across), round(down), round(width - across), round(height - down)))


ALTERED = {
    "encoded again": (lambda image: image, ".jpg", {"quality": 60}),
    "as PNG": (lambda image: image, ".png", {}),
    "half size": (lambda image: image.resize((image.width // 2, image.height // 2)), ".jpg", {}),
    "brighter": (lambda image: ImageEnhance.Brightness(image).enhance(1.1), ".jpg", {}),
    "darker": (lambda image: ImageEnhance.Brightness(image).enhance(0.9), ".jpg", {}),
    "cropped": (lambda image: crop(image, 0.03), ".jpg", {}),
}


@pytest.mark.parametrize("how", ALTERED)
def test_altered_copies_are_found_and_nothing_else_is(folder, how):
    change, suffix, options = ALTERED[how]
    planted = range(0, 24, 2)
    for place in planted:
        with Image.open(folder / "cat" / f"{place:02}.jpg") as image:
            saved(change(image), folder / "cat" / f"copy{place:02}{suffix}", **options)
    found = audited(folder)
    (finding,) = found.audit.findings
    assert finding.kind == "near-copies"
    clusters = dict(zip(names(folder), found.clusters.tolist(), strict=True))
    for place in planted:
        assert clusters[f"cat/{place:02}.jpg"] == clusters[f"cat/copy{place:02}{suffix}"]
    assert len(set(clusters.values())) == 48


def names(root: Path) -> list[str]:
    return [sample.source for sample in build().open(root, DataOptions()).samples]


def test_near_copies_in_other_parts_and_classes(tmp_path):
    root = tmp_path / "parts"
    for part, start in (("train", 0), ("test", 500)):
        for place in range(12):
            saved(scene(start + place), root / part / "cat" / f"{place:02}.png")
            saved(scene(start + 100 + place), root / part / "dog" / f"{place:02}.png")
    saved(scene(3), root / "test" / "dog" / "again.jpg", quality=70)
    found = kinds(root)
    assert found["near-copies-across-classes"].count == 1
    leak = found["near-copies-test-in-train"]
    assert leak.count == 1
    assert leak.examples[0].sources == ("test/dog/again.jpg", "train/cat/03.png")


def test_images_that_differ_by_a_detail_are_no_copies():
    """A dot on the same drawing; the mean square is small, the peak is not."""
    drawing = Image.new("L", (96, 96), 255)
    drawing.paste(0, (45, 30, 51, 80))
    dotted = drawing.copy()
    dotted.paste(0, (44, 14, 52, 22))
    one, other = (
        np.asarray(image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR))[None]
        for image in (drawing, dotted)
    )
    assert gaps(one, one)[0] < 0.01
    assert gaps(one, other)[0] > 1
    assert gaps(other, one)[0] == gaps(one, other)[0]


def test_even_images_are_not_copies_of_each_other(folder):
    for place in range(8):
        level = 60 + 10 * place
        saved(Image.new("RGB", (60, 60), (level,) * 3), folder / "cat" / f"even{place}.png")
    found = audited(folder)
    assert [one.kind for one in found.audit.findings] == ["image-blank"]
    assert len(set(found.clusters.tolist())) == 56


def test_parts_that_were_taken_otherwise(tmp_path):
    root = tmp_path / "parts"
    for place in range(25):
        for label, seed in (("cat", 0), ("dog", 1000)):
            saved(scene(seed + place), root / "train" / label / f"{place}.png")
            darker = ImageEnhance.Brightness(scene(seed + 500 + place)).enhance(0.3)
            saved(darker, root / "test" / label / f"{place}.png")
    finding = kinds(root)["parts-look-different"]
    assert any(one.words.startswith("test: brightness") for one in finding.examples)


def test_classes_that_were_taken_otherwise(tmp_path):
    root = tmp_path / "classes"
    for place in range(25):
        saved(scene(place), root / "cat" / f"{place}.png")
        saved(scene(500 + place), root / "dog" / f"{place}.png")
        saved(scene(900 + place, 200, 150), root / "owl" / f"{place}.png")
    finding = kinds(root)["classes-look-different"]
    assert finding.examples[0].words.startswith("'owl': width in pixels, median 200 against 160")
    assert all("'owl'" in one.words for one in finding.examples)


def test_many_classes_do_not_take_a_column_of_all_images_each():
    images, classes = 10_000, 400
    dataset = Dataset(
        modality="image",
        root=".",
        classes=tuple(f"class{label}" for label in range(classes)),
        samples=tuple(
            Sample(id=str(place), source=str(place), label=place % classes)
            for place in range(images)
        ),
        layout="class folders",
    )
    measured = np.random.default_rng(0).normal(size=(images, len(MEASURES))).astype(np.float32)
    tracemalloc.start()
    try:
        assert list(appearance_findings(dataset, measured)) == []
        assert tracemalloc.get_traced_memory()[1] < images * classes
    finally:
        tracemalloc.stop()


def test_cliffs_delta_counts_pairs():
    generator = np.random.default_rng(0)
    one, other = generator.integers(0, 9, (2, 40)).astype(np.float32)
    expected = np.sign(one[:, None] - other[None]).mean()
    assert cliffs_delta(one, other) == pytest.approx(expected)
    assert cliffs_delta(one + 100, other) == 1


def test_nothing_is_decoded_for_it(folder, monkeypatch):
    modality = build()
    dataset = modality.open(folder, DataOptions())
    encoder = modality.encoder(dataset.root, modality.raw_input, {})
    rows = np.stack([encoder.prepare(sample) for sample in dataset.samples])

    def fail(*_: object) -> None:
        raise AssertionError("an image is decoded")

    monkeypatch.setattr("automl_transfer.modalities.image.encoder.decode", fail)
    monkeypatch.setattr("automl_transfer.modalities.image.inspecting.decode", fail)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail)
    found = audit_dataset(dataset, modality, lambda positions: rows[positions])
    assert "not-examined" not in {one.kind for one in found.audit.findings}
