from __future__ import annotations

import importlib
import importlib.resources
from pathlib import Path

import pytest
from PIL import Image

from automl_transfer.cards import SampleDataCard
from automl_transfer.dataset import DataOptions
from automl_transfer.errors import UsageError
from automl_transfer.modalities.image.modality import build
from automl_transfer.modalities.image.samples import CARDS
from automl_transfer.sample_data import write_sample

CARD = {card.id: card for card in CARDS}


def factory(card: SampleDataCard):
    module, _, name = card.factory.partition(":")
    return getattr(importlib.import_module(module), name)


def write(id: str, directory: Path, **options) -> int:
    return write_sample(CARD[id], factory(CARD[id]), directory, **options)


def counts(directory: Path) -> dict[str, int]:
    return {
        folder.name: len(list(folder.iterdir()))
        for folder in sorted(directory.iterdir())
        if folder.is_dir()
    }


def test_digits(tmp_path):
    assert write("digits", tmp_path / "d", per_class=5) == 50
    assert counts(tmp_path / "d") == {str(digit): 5 for digit in range(10)}
    first = Image.open(next((tmp_path / "d" / "0").iterdir()))
    assert (first.mode, first.size) == ("L", (64, 64))
    assert first.getextrema()[1] > 200
    dataset = build().open(tmp_path / "d", DataOptions())
    assert len(dataset.classes) == 10


def test_textiles_are_copied_as_they_are(tmp_path):
    assert write("textiles", tmp_path / "t", per_class=4) == 12
    assert counts(tmp_path / "t") == {"global": 4, "local": 4, "nominal": 4}
    copy = next((tmp_path / "t" / "local").iterdir())
    package = importlib.resources.files("conformal_clip_data") / "data" / "textile_images"
    assert copy.read_bytes() == (package / "simulated" / "local" / copy.name).read_bytes()


@pytest.mark.parametrize(
    ("labelling", "classes"),
    [
        (None, ["defective", "intact"]),
        ("defect", ["defective", "intact"]),
        ("levels", ["p000", "p033", "p067", "p100"]),
    ],
)
def test_solar_cells(tmp_path, labelling, classes):
    count = write("solar-cells", tmp_path / "s", labelling=labelling, per_class=3)
    assert count == 3 * len(classes)
    assert counts(tmp_path / "s") == dict.fromkeys(classes, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("id", "labelling", "expected"),
    [
        ("digits", None, 1797),
        ("textiles", None, {"global": 500, "local": 500, "nominal": 1000}),
        ("solar-cells", "defect", {"defective": 821, "intact": 1803}),
        ("solar-cells", "levels", {"p000": 1508, "p033": 295, "p067": 106, "p100": 715}),
    ],
)
def test_whole_sets(tmp_path, id, labelling, expected):
    count = write(id, tmp_path / "x", labelling=labelling)
    found = counts(tmp_path / "x")
    assert count == sum(found.values())
    assert expected in (count, found)


def test_the_licence_lies_beside_the_data(tmp_path):
    write("solar-cells", tmp_path / "s", per_class=1)
    text = (tmp_path / "s" / "SOURCE.txt").read_text(encoding="utf-8")
    assert "Licence: CC-BY-NC-SA-4.0" in text
    assert "Labelling: defect" in text
    assert "doi:10.1016/j.solener.2019.02.067" in text


def test_the_choice_is_fixed_and_grows(tmp_path):
    for name, size in (("a", 6), ("b", 6), ("c", 9)):
        write("textiles", tmp_path / name, per_class=size)
    names = {
        name: sorted(path.name for path in (tmp_path / name / "nominal").iterdir())
        for name in "abc"
    }
    assert names["a"] == names["b"]
    assert set(names["a"]) < set(names["c"])
    numbers = [int(name.removeprefix("textile_").removesuffix(".jpg")) for name in names["c"]]
    assert max(numbers) - min(numbers) > 300


# Where it is written


def test_an_empty_folder_is_filled_and_parents_are_made(tmp_path):
    (tmp_path / "empty").mkdir()
    assert write("digits", tmp_path / "empty", per_class=1) == 10
    assert write("digits", tmp_path / "new" / "deep" / "x", per_class=1) == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]


def test_nothing_is_written_over(tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("precious")
    with pytest.raises(UsageError, match="never written over anything, but .*full' is not empty"):
        write("digits", full)
    with pytest.raises(UsageError, match=r"but .*mine\.txt' is a file or link"):
        write("digits", full / "mine.txt")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="link' is a file or link"):
        write("digits", link)
    with pytest.raises(UsageError, match="must be one that can be written"):
        write("digits", full / "mine.txt" / "below")
    assert (full / "mine.txt").read_text() == "precious"
    assert [path.name for path in full.iterdir()] == ["mine.txt"]


def test_a_failure_leaves_nothing_behind(tmp_path):
    def fails(*, directory: Path, labelling: str | None, per_class: int | None) -> int:
        (directory / "half").write_text("x")
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        write_sample(CARD["digits"], fails, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


# Arguments


def test_unknown_labellings(tmp_path):
    with pytest.raises(
        UsageError, match=r"must be one of defect, levels, but got 'level'\. Did you mean 'levels'"
    ):
        write("solar-cells", tmp_path / "x", labelling="level")
    with pytest.raises(UsageError, match="'digits' have one labelling only, but 'levels'"):
        write("digits", tmp_path / "x", labelling="levels")


def test_the_number_a_class_is_at_least_one(tmp_path):
    with pytest.raises(UsageError, match="must be at least 1, but got 0"):
        write("digits", tmp_path / "x", per_class=0)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("automl_transfer.somewhere", r'pip install "automl-transfer\[samples\]" \(or pip'),
        ("acme.somewhere", 'Run: pip install "acme-data>=1"$'),
    ],
)
def test_a_package_that_is_missing(tmp_path, module, line):
    def needs(*, directory: Path, labelling: str | None, per_class: int | None) -> int:
        raise ModuleNotFoundError("No module named 'acme_data'")

    card = SampleDataCard(
        id="acme", factory=f"{module}:write", title="t", license="MIT", requires="acme-data>=1"
    )
    with pytest.raises(UsageError, match=line):
        write_sample(card, needs, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
