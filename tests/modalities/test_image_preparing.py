"""Opening and preparing in one go: every file is decoded once, and once only."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from automl_transfer.contracts import Encoder, OpensPrepared
from automl_transfer.dataset import DataOptions, Dataset
from automl_transfer.errors import DataError
from automl_transfer.modalities.image import inspecting
from automl_transfer.modalities.image.modality import build
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.row_keeper import RowKeeper
from automl_transfer.training.rows import RowStore

OPTIONS = DataOptions()
SMALL = {"size": [3, 8, 8]}
TALL = {"size": [3, 16, 8], "crop_mode": "squash", "interpolation": "bilinear"}
OTHER_MEAN = {**SMALL, "mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}


def image_file(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(array).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    for place in range(6):
        image_file(root / "cat" / f"{place}.png", place)
        image_file(root / "dog" / f"{place}.png", 100 + place)
    return root


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The contents that were decoded."""
    found: list[bytes] = []
    decode = inspecting.decode

    def counting(content: bytes) -> Image.Image:
        found.append(content)
        return decode(content)

    for module in ("inspecting", "encoder", "reading"):
        monkeypatch.setattr(f"automl_transfer.modalities.image.{module}.decode", counting)
    return found


def opened(
    folder: Path, directory: Path, inputs: Sequence[dict[str, Any]] = (SMALL, TALL), **options: Any
) -> Dataset:
    keeper = RowKeeper(ArrayCache(directory, **options))
    return build().open_prepared(folder, OPTIONS, inputs, keeper)


def rows(dataset: Dataset, directory: Path, input: dict[str, Any]) -> np.ndarray:
    encoder = build().encoder(dataset.root, input, {})
    store = RowStore(encoder, dataset.samples, ArrayCache(directory))
    return np.stack(store.rows(range(len(dataset.samples))))


def test_one_decoding_serves_the_check_and_all_views(
    folder: Path, tmp_path: Path, decoded: list[bytes]
) -> None:
    dataset = opened(folder, tmp_path / "cache")
    for input in (SMALL, TALL, OTHER_MEAN):
        found = rows(dataset, tmp_path / "cache", input)
        assert len(decoded) == 12
        encoder = build().encoder(dataset.root, input, {})
        expected = [encoder.prepare(sample) for sample in dataset.samples]
        np.testing.assert_array_equal(found, expected)
        del decoded[12:]
    assert dataset == build().open(folder, OPTIONS)


def test_what_is_kept_is_not_decoded_again(
    folder: Path, tmp_path: Path, decoded: list[bytes]
) -> None:
    first = opened(folder, tmp_path / "cache")
    del decoded[:]
    moved = folder.rename(tmp_path / "moved")
    again = opened(moved, tmp_path / "cache")
    assert decoded == []
    assert again.fingerprint == first.fingerprint


def test_more_files_cost_their_own_decoding_only(
    folder: Path, tmp_path: Path, decoded: list[bytes]
) -> None:
    opened(folder, tmp_path / "cache")
    del decoded[:]
    image_file(folder / "cat" / "new.png", 50)
    assert len(opened(folder, tmp_path / "cache").samples) == 13
    assert len(decoded) == 1


def test_another_view_needs_one_more_decoding(
    folder: Path, tmp_path: Path, decoded: list[bytes]
) -> None:
    opened(folder, tmp_path / "cache", [SMALL])
    opened(folder, tmp_path / "cache", [SMALL, TALL])
    assert len(decoded) == 24
    opened(folder, tmp_path / "cache", [TALL, OTHER_MEAN])
    assert len(decoded) == 24


def test_broken_files_are_found_each_time(
    folder: Path, tmp_path: Path, decoded: list[bytes]
) -> None:
    (folder / "cat" / "cut.png").write_bytes((folder / "cat" / "0.png").read_bytes()[:150])
    (folder / "cat" / "empty.png").write_bytes(b"")
    expected = build().open(folder, OPTIONS)
    assert len(expected.quarantined) == 2
    for _ in range(2):
        assert opened(folder, tmp_path / "cache") == expected


def test_without_views_files_are_checked_all_the_same(
    folder: Path, tmp_path: Path, decoded: list[bytes]
) -> None:
    for _ in range(2):
        opened(folder, tmp_path / "cache", [])
    assert len(decoded) == 24


def test_an_input_that_breaks_a_rule_is_left_to_those_who_use_it(
    folder: Path, tmp_path: Path
) -> None:
    dataset = opened(folder, tmp_path / "cache", [{"size": [7, 1]}, SMALL, {"no": 1}])
    assert rows(dataset, tmp_path / "cache", SMALL).shape == (12, 8, 8, 3)


def test_without_room_it_is_opened_as_ever(
    folder: Path, tmp_path: Path, decoded: list[bytes]
) -> None:
    dataset = opened(folder, tmp_path / "cache", limit_bytes=0)
    assert dataset == build().open(folder, OPTIONS)
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_views_without_room_are_made_no_more(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspecting, "BLOCK_BYTES", 1)
    monkeypatch.setattr(inspecting, "_AHEAD", 1)
    monkeypatch.setattr(inspecting, "_cores", lambda: 1)
    made: list[object] = []
    plain_view = inspecting.plain_view
    monkeypatch.setattr(
        inspecting, "plain_view", lambda image, input: made.append(0) or plain_view(image, input)
    )
    opened(folder, tmp_path / "cache", [SMALL], limit_bytes=0)
    assert 1 <= len(made) <= 2, "the first, and one that may have been on its way"


def test_errors_about_the_whole_are_the_same(tmp_path: Path) -> None:
    with pytest.raises(DataError) as expected:
        build().open(tmp_path, OPTIONS)
    with pytest.raises(DataError) as found:
        opened(tmp_path, tmp_path / "cache")
    assert str(found.value) == str(expected.value)


def test_progress_counts_files(folder: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    keeper = RowKeeper(ArrayCache(tmp_path / "cache"))
    build().open_prepared(
        folder, OPTIONS, [SMALL], keeper, lambda done, total: calls.append((done, total))
    )
    assert calls == [(done, 12) for done in range(1, 13)]


def test_the_host_sees_that_images_can_do_so() -> None:
    assert isinstance(build(), OpensPrepared)


class Forgetful:
    """Keeps nothing, and counts how many rows are handed over at once."""

    def __init__(self) -> None:
        self.blocks: list[int] = []

    def has(self, encoder: Encoder, id: str) -> bool:
        return False

    def keep(self, encoder: Encoder, ids: Sequence[str], rows: np.ndarray) -> bool:
        assert len(ids) == len(rows)
        self.blocks.append(len(rows))
        return True


def test_views_are_handed_over_in_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "BLOCK_BYTES", 5 * 8 * 8 * 3)
    keep = Forgetful()
    build().open_prepared(folder, OPTIONS, [SMALL], keep)
    assert keep.blocks == [5, 5, 2]


def test_few_results_wait_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "_cores", lambda: 2)
    begun = threading.Semaphore(0)
    most = 2 * inspecting._AHEAD

    def begin(item: int) -> int:
        begun.release()
        return item

    results = inspecting.in_threads(begin, range(100))
    assert next(results) == 0
    while begun.acquire(timeout=0.2):
        most -= 1
    assert most == 0
    assert list(results) == list(range(1, 100))
