"""``automl-transfer data check``: what it prints, writes and ends with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

HOSTILE = "\x1b[31m[bold]x[b] =1+1"


def picture(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for place in range(22):
        picture(root / "cat" / f"{place}.png", place)
        picture(root / "dog" / f"{place}.png", 100 + place)
    return root


def tree(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_nothing_found(run, folder):
    before = tree(folder)
    done = run("data", "check", str(folder), "--fail-on", "warning")
    assert done.code == 0
    assert "Nothing found in 44 samples." in done.out
    assert "Looked for: items that cannot be read" in done.out
    assert tree(folder) == before


def test_findings_are_printed_with_what_a_search_does(run, folder):
    (folder / "cat" / "empty.png").write_bytes(b"")
    (folder / "dog" / "copy.png").write_bytes((folder / "cat" / "1.png").read_bytes())
    done = run("data", "check", str(folder))
    assert done.code == 0
    assert "left out" in done.out
    assert "'cat/1.png', 'dog/copy.png': 'cat' and 'dog'" in done.out
    assert "'cat/empty.png': the file is empty" in done.out


@pytest.mark.parametrize(("fail_on", "code"), [(None, 0), ("warning", 4), ("error", 0)])
def test_exit_codes_for_a_warning(run, folder, fail_on, code):
    (folder / "cat" / "empty.png").write_bytes(b"")
    words = () if fail_on is None else ("--fail-on", fail_on)
    assert run("data", "check", str(folder), *words).code == code


def test_exit_code_for_an_error(run, folder):
    (folder / "dog" / "copy.png").write_bytes((folder / "cat" / "1.png").read_bytes())
    assert run("data", "check", str(folder), "--fail-on", "error").code == 4


def test_json_and_a_file(run, folder, tmp_path):
    (folder / "cat" / "empty.png").write_bytes(b"")
    done = run("data", "check", str(folder), "--json", "--save", "audit.json")
    assert done.json["schema"] == 1
    assert done.json["samples"] == 44
    assert [one["kind"] for one in done.json["findings"]] == ["unreadable: empty file"]
    assert json.loads((tmp_path / "audit.json").read_text()) == done.json


def test_data_that_cannot_be_used(run, folder):
    for path in (folder / "dog").iterdir():
        path.write_bytes(b"")
    done = run("data", "check", str(folder), "--json")
    assert done.code == 4
    (finding,) = done.json["findings"]
    assert finding["kind"] == "unusable"
    assert "'dog' has 0 (of 22 files)" in finding["examples"][0]["words"]


def test_a_path_that_is_not_there(run):
    done = run("data", "check", "nowhere")
    assert done.code == 4
    assert "does not exist" in done.err


def test_parts_and_manifests(run, folder, tmp_path):
    rows = ["file,kind,part"]
    for name in ("cat", "dog"):
        for place in range(22):
            part = "test" if place % 4 == 0 and name == "cat" else "train"
            rows.append(f"{name}/{place}.png,{name},{part}")
    (tmp_path / "list.csv").write_text("\n".join(rows) + "\n")
    words = ("--path-column", "file", "--label-column", "kind", "--split-column", "part")
    done = run("data", "check", "list.csv", "--root", str(folder), "--json", *words)
    kinds = {one["kind"]: one for one in done.json["findings"]}
    assert kinds["classes-missing-from-part"]["examples"][0]["words"] == (
        "'dog' does not occur in the test part"
    )


def test_hostile_names_do_no_harm(run, folder):
    evil = folder / HOSTILE
    for place in range(6):
        picture(evil / f"{HOSTILE}{place}.png", 300 + place)
    (evil / f"{HOSTILE}\n.png").write_bytes(b"")
    (folder / HOSTILE.upper()).mkdir()
    done = run("data", "check", str(folder))
    assert done.code == 0
    assert "[bold]x[b]" in done.out
    assert "\x1b" not in done.out + done.err
    assert run("data", "check", str(folder), "--json").code == 0


def test_the_cache_serves_the_second_time(run, folder, monkeypatch):
    first = run("data", "check", str(folder), "--json").json

    def fail(content: bytes) -> None:
        raise AssertionError("an image is decoded again")

    for module in ("inspecting", "encoder"):
        monkeypatch.setattr(f"automl_transfer.modalities.image.{module}.decode", fail)
    assert run("data", "check", str(folder), "--json").json == first
