from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from automl_transfer.dataset import Sample
from automl_transfer.errors import CardError, DataError, UsageError
from automl_transfer.modalities.image.modality import build
from automl_transfer.modalities.image.reading import content_id

SMALL = {"size": [3, 32, 32]}


def encoder(root, input=SMALL, **params):
    return build().encoder(str(root), input, params)


def stored(root, array: np.ndarray, name: str = "x.png") -> Sample:
    path = root / name
    Image.fromarray(array).save(path)
    return Sample(id=content_id(path.read_bytes()), source=name, label=0)


def gradient(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack(
        [rows * 255 / height, columns * 255 / width, np.full_like(rows, 90)], axis=-1
    ).astype(np.uint8)


# Input of the card


def test_defaults_are_those_of_imagenet(tmp_path):
    made = encoder(tmp_path, {})
    assert made.input.size == (3, 224, 224)
    assert made.input.mean == (0.485, 0.456, 0.406)
    assert made.input.crop_pct == 0.875


@pytest.mark.parametrize(
    ("input", "message"),
    [
        ({"sise": [3, 9, 9]}, r"but got 'sise'\. Did you mean 'size'"),
        ({"size": [3, 224]}, r"input\['size'\] must be 3 finite numbers"),
        ({"size": 224}, r"input\['size'\] must be 3 finite numbers, but got 224"),
        ({"size": [4, 9, 9]}, r"must be \[3 or 1, height, width\], but got \[4"),
        ({"size": [3, 9.5, 9]}, r"must be \[3 or 1, height, width\]"),
        ({"size": [3, 0, 9]}, "must have sides from 1 to 4096"),
        ({"mean": [0.5]}, r"input\['mean'\] must be 3 finite numbers"),
        ({"std": [1, 0, 1]}, r"input\['std'\] must be positive, but got \[1, 0, 1\]"),
        ({"std": [1, float("nan"), 1]}, "must be 3 finite numbers"),
        ({"mean": "abc"}, "must be 3 finite numbers, but got 'abc'"),
        ({"crop_pct": 1.5}, r"must lie in \(0, 1\], but got 1.5"),
        ({"crop_pct": "all"}, "must be 1 finite number, but got 'all'"),
        (
            {"interpolation": "cubic"},
            "one of nearest, bilinear, bicubic, lanczos, but got 'cubic'",
        ),
        ({"crop_mode": "centre"}, "one of center, squash, but got 'centre'"),
    ],
)
def test_inputs_that_break_a_rule(tmp_path, input, message):
    with pytest.raises(CardError, match=message):
        encoder(tmp_path, input)


def test_parameters_are_checked(tmp_path):
    with pytest.raises(UsageError, match="'augment' = 'spin' is outside"):
        encoder(tmp_path, augment="spin")
    with pytest.raises(UsageError, match="'blur' is no parameter"):
        encoder(tmp_path, blur=True)


# Plain view


def resize_and_crop(array: np.ndarray, interpolation: str) -> np.ndarray:
    """What torchvision's ``Resize(40)`` and ``CenterCrop(32)`` do, and timm with them."""
    short = min(array.shape[:2])
    height, width = (int(40 * side / short) for side in array.shape[:2])
    mode = Image.Resampling[interpolation.upper()]
    resized = np.asarray(Image.fromarray(array).resize((width, height), mode))
    top, left = round((height - 32) / 2), round((width - 32) / 2)
    return resized[top : top + 32, left : left + 32]


@pytest.mark.parametrize("shape", [(100, 100), (80, 190), (300, 90), (20, 25), (33, 32)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_center_is_the_usual_resize_and_crop(tmp_path, shape, interpolation):
    array = gradient(*shape)
    sample = stored(tmp_path, array)
    made = encoder(tmp_path, {**SMALL, "interpolation": interpolation, "crop_pct": 0.8})
    found = made.prepare(sample)
    assert found.dtype == np.uint8
    assert (found == resize_and_crop(array, interpolation)).all()


def test_a_rounded_share_gives_the_side_that_it_came_from(tmp_path):
    array = gradient(500, 438)
    sample = stored(tmp_path, array)
    made = encoder(tmp_path, {"size": [3, 384, 384], "crop_pct": round(384 / 438, 6)})
    assert (made.prepare(sample) == array[58:442, 27:411]).all()


def test_squash_keeps_the_whole_image(tmp_path):
    array = np.zeros((20, 100, 3), dtype=np.uint8)
    array[:, 80:] = 255
    sample = stored(tmp_path, array)
    squashed = encoder(tmp_path, {**SMALL, "crop_mode": "squash"}).prepare(sample)
    cropped = encoder(tmp_path, SMALL).prepare(sample)
    assert squashed[:, -4:].min() > 200
    assert cropped.max() < 50


@pytest.mark.parametrize("shape", [(1, 60_000), (60_000, 1), (1, 1), (2, 4001)])
def test_extreme_shapes_stay_small(tmp_path, shape):
    sample = stored(tmp_path, np.full((*shape, 3), 200, dtype=np.uint8))
    assert encoder(tmp_path).prepare(sample).shape == (32, 32, 3)


def test_the_middle_of_a_long_image_is_kept(tmp_path):
    array = np.zeros((50, 1001, 3), dtype=np.uint8)
    array[:, 500] = 255
    found = encoder(tmp_path, {"size": [3, 50, 50], "crop_pct": 1.0}).prepare(
        stored(tmp_path, array)
    )
    assert set(np.flatnonzero(found[25, :, 0])) <= {24, 25}
    assert found.max() == 255


def test_sides_may_differ(tmp_path):
    sample = stored(tmp_path, gradient(90, 120))
    row = encoder(tmp_path, {"size": [3, 20, 48]}).prepare(sample)
    assert row.shape == (20, 48, 3)


def test_grey_input(tmp_path):
    made = encoder(tmp_path, {"size": [1, 16, 16]})
    row = made.prepare(stored(tmp_path, np.full((20, 20, 3), (255, 0, 0), dtype=np.uint8)))
    assert row.shape == (16, 16, 1)
    assert abs(int(row[8, 8, 0]) - 76) <= 1
    assert made.batch([row]).shape == (1, 1, 16, 16)


def test_changed_and_lost_files_are_noticed(tmp_path):
    sample = stored(tmp_path, gradient(20, 20))
    stored(tmp_path, gradient(21, 20))
    with pytest.raises(DataError, match=r"x\.png' cannot be used: its content has changed"):
        encoder(tmp_path).prepare(sample)
    (tmp_path / "x.png").unlink()
    with pytest.raises(DataError, match=r"x\.png' cannot be used: the file does not exist"):
        encoder(tmp_path).prepare(sample)


def test_the_digest_is_that_of_the_plain_view(tmp_path):
    first = encoder(tmp_path, SMALL).digest
    assert encoder(tmp_path / "elsewhere", SMALL, augment="flip").digest == first
    changes = [
        {"size": [3, 32, 33]},
        {"mean": [0, 0, 0]},
        {"std": [1, 1, 1]},
        {"interpolation": "bilinear"},
        {"crop_pct": 0.9},
        {"crop_mode": "squash"},
    ]
    others = {encoder(tmp_path, {**SMALL, **change}).digest for change in changes}
    assert len(others | {first}) == 1 + len(changes)


# Batches


def rows(count: int = 6) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return list(generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_batches_are_normalised(tmp_path):
    made = encoder(tmp_path, {**SMALL, "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.25, 1]})
    found = made.batch(rows())
    assert found.shape == (6, 3, 32, 32)
    assert found.dtype == torch.float32
    expected = (np.stack(rows()) / 255 - (0.1, 0.2, 0.3)) / (0.5, 0.25, 1)
    assert np.allclose(found.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_rows_are_not_changed(tmp_path):
    given = rows()
    encoder(tmp_path).batch(given, seeded(0))
    assert all((left == right).all() for left, right in zip(given, rows(), strict=True))


@pytest.mark.parametrize("augment", ["flip", "crop", "crop-flip"])
def test_training_views_come_from_the_generator_alone(tmp_path, augment):
    made = encoder(tmp_path, augment=augment)
    torch.manual_seed(1)
    first = made.batch(rows(), seeded(3))
    torch.manual_seed(2)
    state = torch.get_rng_state()
    again = made.batch(rows(), seeded(3))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, made.batch(rows(), seeded(4)))
    assert not torch.equal(first, made.batch(rows()))


def test_none_is_the_plain_view(tmp_path):
    made = encoder(tmp_path, augment="none")
    assert torch.equal(made.batch(rows(), seeded(0)), made.batch(rows()))


def test_flips_are_mirror_images_of_about_half(tmp_path):
    made = encoder(tmp_path, augment="flip")
    plain, varied = made.batch(rows(200)), made.batch(rows(200), seeded(0))
    same = (plain == varied).flatten(1).all(1)
    mirrored = (plain.flip(-1) == varied).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 70 < int(mirrored.sum()) < 130


@pytest.mark.parametrize("augment", ["crop", "crop-flip"])
def test_crops_show_half_of_the_view_or_more(tmp_path, augment):
    made = encoder(tmp_path, {**SMALL, "mean": [0] * 3, "std": [1] * 3}, augment=augment)
    # Red grows downwards, green to the right: their range tells what a crop has kept.
    views = made.batch([gradient(32, 32)] * 200, seeded(0))
    tall = (views[:, 0].amax((1, 2)) - views[:, 0].amin((1, 2))) * 32 / 31
    wide = (views[:, 1].amax((1, 2)) - views[:, 1].amin((1, 2))) * 32 / 31
    area = tall * wide
    assert 0.43 < area.min() < 0.6
    assert 0.85 < area.max() <= 1.01
    mirrored = views[:, 1, 16, 0] > views[:, 1, 16, -1]
    assert bool(mirrored.any()) == (augment == "crop-flip")
