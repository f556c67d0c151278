from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_transfer.dataset import DataOptions
from automl_transfer.errors import DataError
from automl_transfer.modalities.image.modality import build

OPTIONS = DataOptions()


def image_file(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    array = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(array).save(path)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "data"
    for place in range(6):
        image_file(root / "cat" / f"{place}.png", place)
        image_file(root / "dog" / f"{place}.png", 100 + place)
    return root


def test_opening_a_folder(folder):
    calls = []
    dataset = build().open(folder, OPTIONS, lambda done, total: calls.append((done, total)))
    assert dataset.modality == "image"
    assert dataset.layout == "class folders"
    assert dataset.classes == ("cat", "dog")
    assert [sample.source for sample in dataset.samples[:2]] == ["cat/0.png", "cat/1.png"]
    assert dataset.labels.tolist() == [0] * 6 + [1] * 6
    assert len({sample.id for sample in dataset.samples}) == 12
    assert {len(sample.id) for sample in dataset.samples} == {32}
    assert calls == [(done, 12) for done in range(1, 13)]
    assert dataset.quarantined == ()


def test_ids_go_by_content(folder, tmp_path):
    before = build().open(folder, OPTIONS)
    moved = folder.rename(tmp_path / "moved")
    (moved / "cat" / "0.png").rename(moved / "cat" / "renamed.png")
    after = build().open(moved, OPTIONS)
    assert after.fingerprint == before.fingerprint
    assert after.samples != before.samples


def test_broken_files_are_quarantined_and_the_rest_goes_on(folder):
    (folder / "cat" / "empty.png").write_bytes(b"")
    (folder / "dog" / "page.jpg").write_bytes(b"<html>")
    whole = (folder / "dog" / "0.png").read_bytes()
    (folder / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    dataset = build().open(folder, OPTIONS)
    assert len(dataset.samples) == 12
    reasons = {item.source: item.reason for item in dataset.quarantined}
    assert sorted(reasons) == ["cat/empty.png", "dog/cut.png", "dog/page.jpg"]
    assert reasons["cat/empty.png"] == "the file is empty"
    assert reasons["dog/cut.png"].startswith("the image is damaged")
    kinds = {item.source: item.kind for item in dataset.quarantined}
    assert kinds == {
        "cat/empty.png": "empty file",
        "dog/cut.png": "cut off",
        "dog/page.jpg": "HTML, XML or SVG",
    }


def test_classes_that_are_too_small_once_broken_files_are_out(folder):
    for place in range(3):
        (folder / "dog" / f"{place}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"at least 5 different .*'dog' has 3 \(of 6 files\)"):
        build().open(folder, OPTIONS)


def test_copies_do_not_make_a_class_larger(folder):
    for place in range(4):
        image_file(folder / "bird" / f"{place}.png", 200 + place)
    for place in range(9):
        image_file(folder / "bird" / f"copy{place}.png", 200)
    with pytest.raises(DataError, match=r"'bird' has 4 \(of 13 files\)"):
        build().open(folder, OPTIONS)


def test_when_nothing_can_be_read(folder):
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no")
    with pytest.raises(
        DataError, match=r"all 12 fail \('cat/0.png': it is not an image of a known"
    ):
        build().open(folder, OPTIONS)


def test_parts_are_passed_on(folder):
    for part in ("train", "test"):
        for label, start in (("cat", 0), ("dog", 50)):
            for place in range(5):
                seed = start + place + (500 if part == "test" else 0)
                image_file(folder.parent / "parts" / part / label / f"{place}.png", seed)
    dataset = build().open(folder.parent / "parts", OPTIONS)
    assert [sample.part for sample in dataset.samples] == ["test"] * 10 + ["train"] * 10


def test_the_folder_is_not_written_to(folder):
    def state():
        return {path: path.stat().st_mtime_ns for path in [folder, *folder.rglob("*")]}

    before = state()
    modality = build()
    dataset = modality.open(folder, OPTIONS)
    modality.encoder(dataset.root, {"size": [3, 8, 8]}, {}).prepare(dataset.samples[0])
    assert state() == before


def test_a_relative_path_still_works_after_changing_the_directory(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder.parent)
    dataset = build().open(Path("data"), OPTIONS)
    monkeypatch.chdir("/")
    encoder = build().encoder(dataset.root, {"size": [3, 8, 8]}, {})
    assert encoder.prepare(dataset.samples[0]).shape == (8, 8, 3)


# Recognising


def score(path: Path, **options) -> float:
    return build().recognise(path, DataOptions(**options)).score


def test_folders_are_recognised_by_names(folder, tmp_path):
    assert score(folder) == 1
    (folder / "cat" / "a.wav").write_bytes(b"")
    assert 0.9 < score(folder) < 1
    empty = tmp_path / "empty"
    empty.mkdir()
    answer = build().recognise(empty, OPTIONS)
    assert answer.score == 0
    assert "0 of the first 0 files are named like images (.apng" in answer.reason


def test_manifests_are_recognised_by_their_paths(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("path,label\na.jpg,x\nb.jpg,y\nc.wav,y\nd.PNG,z\n")
    assert score(table) == 0.75
    answer = build().recognise(table, DataOptions(path_column="file"))
    assert 0 < answer.score < 0.1
    assert "must have a column 'file'" in answer.reason
    other = tmp_path / "t.txt"
    other.write_text("")
    assert score(other) == 0


# Predicting


def test_items_to_predict(folder, tmp_path, monkeypatch):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no")
    monkeypatch.chdir(folder)
    paths = [Path("dog/1.png"), broken, folder / "cat" / "0.png", tmp_path / "gone", folder]
    dataset, reasons = build().open_items(paths)
    assert [Path(sample.source) for sample in dataset.samples] == [
        folder / "dog" / "1.png",
        folder / "cat" / "0.png",
    ]
    assert [reason is None for reason in reasons] == [True, False, True, False, False]
    assert reasons[3:] == ["the file does not exist", "it is a folder; name the files in it"]
    encoder = build().encoder(dataset.root, {"size": [3, 8, 8]}, {})
    assert encoder.prepare(dataset.samples[0]).shape == (8, 8, 3)


# Baseline


def test_raw_features(folder):
    dataset = build().open(folder, OPTIONS)
    found = build().raw_features(dataset, np.array([3, 0, 3]))
    assert found.shape == (3, 3072)
    assert found.dtype == np.float32
    assert found.min() >= 0 and 0.5 < found.max() <= 1
    assert (found[0] == found[2]).all() and (found[0] != found[1]).any()
    assert build().raw_features(dataset, np.array([], dtype=np.int64)).shape == (0, 3072)


def test_listing_the_cards_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from automl_transfer.modalities import image\n"
        "from automl_transfer.modalities.image import samples\n"
        "assert image.CARD.id == 'image' and len(samples.CARDS) == 3\n"
        "heavy = {'torch', 'PIL', 'sklearn', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
