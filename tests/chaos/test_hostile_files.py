"""One folder of hostile and broken files: each gets its verdict once, and nothing is harmed."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import struct
import subprocess
import sys
import unicodedata
import warnings
import zlib
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

import automl_transfer
from automl_transfer.dataset import DataOptions
from automl_transfer.errors import DataError
from automl_transfer.layouts import read_layout
from automl_transfer.modalities.image.modality import build
from automl_transfer.modalities.image.reading import MAX_PIXELS, SUFFIXES

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(60)]

KEPT = "kept"
EMPTY = "the file is empty"
UNKNOWN = "it is not an image of a known format"
DAMAGED = "the image is damaged"
TOO_LARGE = "the image is too large"
MARKUP = "it is not an image but HTML, XML or SVG"
UNREACHABLE = "it cannot be reached: a broken link or no right"
IRREGULAR = "it is not a regular file"
NO_ACCESS = "the file cannot be read"

ESCAPE = "\x1b]0;owned\x07\x1b[31m"
HTML = "<img src=x onerror=alert(1)><script>alert(1)<&#47;script>"
HOSTILE_CLASS = f"=cmd|'calc'!A1 {ESCAPE}[red]{HTML}"
NAMES = (
    f"{ESCAPE}screen.png",
    "[red]markup[/].png".replace("/", "\u2215"),
    "[bold red]on[bold].png",
    "[link=http:evil]x.png",
    f"{HTML}.png",
    'two\nlines\r\nand a cell,".png',
    "right-\u202egnp.to left.png",
    "zero\u200bwidth\ufeff.png",
    "=HYPERLINK(1).png",
    "+1+1.png",
    "@SUM(1).png",
    "\tcell.png",
    "-rf.png",
    "--help.png",
    "%2e%2e%2f..%2fetc%2fpasswd.png",
    "\\..\\..\\etc\\passwd.png",
    "$(touch owned).png",
    "`touch owned`;&|.png",
    "%s%n{0}{x!r}.png",
    "file:name?query#part.png",
    " spaces around .png",
    "CON.png",
    "\U0001f408.png",
    "x" * 251 + ".png",
    unicodedata.normalize("NFC", "é.png"),
    unicodedata.normalize("NFD", "é.png"),
    "Same.png",
    "same.png",
)
"""Names that mean something to a terminal, a page, a spreadsheet, a shell or a file system."""


def noise(seed: int, width: int = 24, height: int = 20) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that says it has ``side`` x ``side`` pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    lines = zlib.compress(bytes(10_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")
    )


def palette(seed: int) -> bytes:
    image = noise(seed).quantize(16)
    return encoded(image, "PNG", transparency=bytes(range(0, 256, 16)))


def turned(seed: int) -> bytes:
    image = noise(seed)
    exif = image.getexif()
    exif[0x0112] = 6
    return encoded(image, "JPEG", exif=exif)


def damaged_profile(seed: int) -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return encoded(noise(seed), "JPEG", icc_profile=b"\xff" * 128 + profile[128:200])


def contents() -> dict[str, tuple[bytes, str]]:
    """Name in the class ``cat`` to content and verdict."""
    jpeg, png, webp = (
        encoded(noise(seed, 200, 160), format)
        for seed, format in enumerate(("JPEG", "PNG", "WEBP"), start=500)
    )
    svg = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script/></svg>'
    frames = [noise(seed) for seed in (510, 511, 512)]
    deep = np.arange(24 * 20, dtype=np.uint16).reshape(20, 24) * 136
    return {
        "empty.jpg": (b"", EMPTY),
        "one-byte.jpg": (b"\xff", UNKNOWN),
        "text.jpg": (b"these are not the pixels you are looking for\n" * 50, UNKNOWN),
        "program.jpg": (b"\x7fELF" + bytes(2000), UNKNOWN),
        "postscript.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", UNKNOWN),
        "cut.jpg": (jpeg[: len(jpeg) // 2], DAMAGED),
        "cut.png": (png[: len(png) // 2], DAMAGED),
        "cut.webp": (webp[: len(webp) // 2], DAMAGED),
        "header-only.png": (png[:20], DAMAGED),
        "bomb.png": (bomb(50_000), TOO_LARGE),
        "largest-bomb.png": (bomb(2**31 - 1), TOO_LARGE),
        # Within the limit, so that only decoding finds that it has no such pixels.
        "small-bomb.png": (bomb(9_000), DAMAGED),
        "vector.png": (svg, MARKUP),
        "page.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", MARKUP),
        "pointer.png": (b"version https://git-lfs.github.com/spec/v1\noid x", "it is a pointer"),
        "phone.jpg": (b"\0\0\0\x18ftypheic" + bytes(100), "it is a HEIC image"),
        "cmyk.jpg": (encoded(noise(520).convert("CMYK"), "JPEG"), KEPT),
        "deep.png": (encoded(Image.fromarray(deep), "PNG"), KEPT),
        "palette.png": (palette(521), KEPT),
        "animated.gif": (
            encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
            KEPT,
        ),
        "pages.tif": (encoded(frames[1], "TIFF", save_all=True, append_images=frames), KEPT),
        "turned.jpg": (turned(522), KEPT),
        "dot.png": (encoded(noise(523, 1, 1), "PNG"), KEPT),
        "pole.png": (encoded(noise(524, 1, 20_000), "PNG"), KEPT),
        "plank.png": (encoded(noise(525, 20_000, 1), "PNG"), KEPT),
        "profile.jpg": (damaged_profile(526), KEPT),
        "really-a-png.jpg": (encoded(noise(527), "PNG"), KEPT),
        "really-a-gif.webp": (encoded(noise(528), "GIF"), KEPT),
        "tail.png": (encoded(noise(529), "PNG") + b"<script>alert(1)</script>" * 99, KEPT),
        "nested/deeper/one.png": (encoded(noise(530), "PNG"), KEPT),
        "train/one.png": (encoded(noise(531), "PNG"), KEPT),
        "val/one.png": (encoded(noise(532), "PNG"), KEPT),
        "folder.jpg/one.png": (encoded(noise(533), "PNG"), KEPT),
        "SHOUT.PNG": (encoded(noise(534), "PNG"), KEPT),
    }


OTHERS = ("cat/Thumbs.db", "cat/desktop.ini", "cat/no-ending", "SOURCE.txt")
HIDDEN = (
    *("cat/.hidden.png", "cat/._one.png", "cat/..png", "cat/...png", ".DS_Store"),
    *(".git/x/1.png", "..dots/1.png", "__MACOSX/cat/1.png"),
)


class Tree:
    """A folder, and what must become of each file in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.verdicts: dict[str, str] = {}
        self.repeated: set[str] = set()
        self.loops: set[str] = set()

    def put(self, source: str, content: bytes, verdict: str | None = KEPT) -> None:
        path = self.root / source
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        if verdict is not None:
            self.verdicts[source] = verdict

    def link(self, source: str, target: Path | str) -> None:
        (self.root / source).symlink_to(target)

    def reason(self, source: str) -> str:
        return self.verdicts[source]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """More than eighty files in eight classes."""
    made = Tree(tmp_path_factory.mktemp("hostile") / "images")
    classes = ("cat", "Cat", "dog", "caf\u00e9", "cafe\u0301", HOSTILE_CLASS)
    for number, name in enumerate(classes):
        for place in range(6):
            seed = 1000 + 10 * number + place
            made.put(f"{name}/{place}.png", encoded(noise(seed), "PNG"))
    for name, (content, verdict) in contents().items():
        made.put(f"cat/{name}", content, verdict)
    for place, name in enumerate(NAMES):
        made.put(f"dog/{name}", encoded(noise(2000 + place), "PNG"))
        # The same names once more, for files that are set aside.
        made.put(f"{HOSTILE_CLASS}/{name}", b"", EMPTY)
    for place, name in enumerate((*OTHERS, *HIDDEN)):
        made.put(name, encoded(noise(3000 + place), "PNG"), None)
    os.mkfifo(made.root / "cat" / "x.jpg")
    made.verdicts["cat/x.jpg"] = IRREGULAR
    made.link("cat/null.png", "/dev/null")
    made.verdicts["cat/null.png"] = IRREGULAR
    made.put("cat/closed.png", encoded(noise(540), "PNG"), NO_ACCESS)
    (made.root / "cat" / "closed.png").chmod(0)
    for name, target in (
        ("cat/dangling.png", "nowhere.png"),
        ("cat/itself.png", "itself.png"),
        ("cat/endless.png", "y" * 300),
        ("cat/beyond.png", "0.png/x"),
        # Two that chase each other, and a class on a disk that is not there.
        ("ping", made.root / "pong"),
        ("pong", made.root / "ping"),
        ("bird", "/nowhere/birds"),
    ):
        made.link(name, target)
        made.verdicts[name] = UNREACHABLE
    made.link("cat/again.png", made.root / "dog" / "0.png")
    made.repeated.add("cat/again.png")
    for name, target in (
        ("cat/loop", made.root),
        ("dog/up", ".."),
        ("dog/here", "."),
        ("again", made.root / "dog"),
    ):
        made.link(name, target)
        made.loops.add(name)
    if os.geteuid() == 0:
        made.verdicts["cat/closed.png"] = KEPT
    return made


@pytest.fixture
def words_for_children(repository: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("PYTHONPATH", str(repository))
    return [sys.executable, "-m", "automl_transfer"]


def on_disk(root: Path) -> set[str]:
    """Everything that is not a folder, links not followed."""
    found = set()
    for folder, folders, files in os.walk(root):
        names = [*files, *(name for name in folders if os.path.islink(os.path.join(folder, name)))]
        found |= {os.path.relpath(os.path.join(folder, name), root) for name in names}
    return found


def state_of(root: Path) -> dict[str, tuple[int, int, int]]:
    return {
        name: (status.st_size, status.st_mtime_ns, status.st_mode)
        for name in on_disk(root)
        for status in [os.lstat(root / name)]
    }


def hazards(text: str) -> set[str]:
    """Characters that a terminal acts upon, or that change the order of what is shown."""
    return {
        char
        for char in text
        if char != "\n" and (unicodedata.category(char) in ("Cc", "Cf", "Cs") or char == "\x1b")
    }


def test_the_faults_are_there(tree: Tree) -> None:
    """Else all the rest would prove nothing."""
    broken = [name for name, verdict in tree.verdicts.items() if verdict != KEPT]
    assert len(tree.verdicts) > 100
    assert len([name for name in broken if name.startswith("cat/")]) >= 20
    for name in (name for name in broken if name in contents()):
        content = (tree.root / name).read_bytes()
        with pytest.raises(Exception), warnings.catch_warnings():  # noqa: B017
            warnings.simplefilter("error")
            Image.open(io.BytesIO(content)).load()
    assert 50_000**2 > MAX_PIXELS > 9_000**2
    assert not (tree.root / "cat" / "x.jpg").is_file()
    assert not (tree.root / "cat" / "dangling.png").exists()
    assert any("\x1b" in name for name in tree.verdicts)
    assert any(len(os.fsencode(Path(name).name)) == 255 for name in tree.verdicts)
    listed = os.listdir(tree.root)
    assert {"cat", "Cat", "caf\u00e9", "cafe\u0301"} <= set(listed)
    with Image.open(tree.root / "cat" / "profile.jpg") as image:
        profile = io.BytesIO(image.info["icc_profile"])
    with pytest.raises(ImageCms.PyCMSError):
        ImageCms.getOpenProfile(profile)


def test_each_file_has_one_verdict(tree: Tree) -> None:
    before = state_of(tree.root)
    dataset = build().open(tree.root, DataOptions())
    kept = Counter(sample.source for sample in dataset.samples)
    aside = Counter(item.source for item in dataset.quarantined)
    assert set((kept + aside).values()) == {1}, "a file is counted twice"
    found = dict.fromkeys(kept, KEPT) | {item.source: item.reason for item in dataset.quarantined}
    assert set(found) == set(tree.verdicts)
    wrong = {
        source: (found[source], verdict)
        for source, verdict in tree.verdicts.items()
        if not found[source].startswith(verdict)
    }
    assert not wrong
    listing = read_layout(tree.root, DataOptions(), SUFFIXES)
    assert set(listing.ignored) == set(OTHERS)
    accounted = {*found, *listing.ignored, *HIDDEN, *tree.repeated, *tree.loops}
    assert accounted == on_disk(tree.root), "a file is passed over without a word"
    notes = " ".join(dataset.notes)
    assert f"{len(OTHERS)} file(s) of other kinds are left out" in notes
    assert f"{len(tree.repeated)} link(s) to files that are listed already" in notes
    labels = Counter(dataset.classes[sample.label] for sample in dataset.samples)
    assert labels["Cat"] == labels["caf\u00e9"] == labels["cafe\u0301"] == 6
    assert labels["dog"] == 6 + len(NAMES)
    assert state_of(tree.root) == before


def test_what_is_wrong_has_a_kind_for_each(tree: Tree) -> None:
    dataset = build().open(tree.root, DataOptions())
    kinds = {item.source: item.kind for item in dataset.quarantined}
    wanted = {
        "cat/empty.jpg": "empty file",
        "cat/text.jpg": "not an image",
        "cat/cut.jpg": "cut off",
        "cat/cut.png": "cut off",
        "cat/bomb.png": "too large, or a decompression bomb",
        "cat/vector.png": "HTML, XML or SVG",
        "cat/x.jpg": "not a file",
    }
    assert {source: kinds[source] for source in wanted} == wanted


def test_the_check_counts_them_all_and_prints_nothing_raw(
    tree: Tree, words_for_children: list[str], tmp_path: Path
) -> None:
    before = state_of(tree.root)
    for more in ((), ("--json", "--save", "audit.json")):
        done = subprocess.run(
            [*words_for_children, "data", "check", str(tree.root), *more],
            capture_output=True,
            cwd=tmp_path,
            timeout=50,
        )
        out, err = done.stdout.decode(), done.stderr.decode()
        assert done.returncode == 0, err
        assert not hazards(out + err)
        assert "Traceback" not in err
        if not more:
            assert "[bold red]" in out or "[red]" in out, "markup is shown, not obeyed"
    document = json.loads(out)
    aside = sum(verdict != KEPT for verdict in tree.verdicts.values())
    assert document["samples"] == len(tree.verdicts) - aside
    findings = {one["kind"]: one for one in document["findings"]}
    unreadable = {kind: one for kind, one in findings.items() if kind.startswith("unreadable")}
    assert sum(one["count"] for one in unreadable.values()) == aside
    assert unreadable["unreadable: empty file"]["count"] == 1 + len(NAMES)
    assert unreadable["unreadable: not a file"]["count"] == 2
    assert findings["classes-spelt-alike"]["count"] == 4
    assert json.loads((tmp_path / "audit.json").read_text()) == document
    assert [path.name for path in tmp_path.iterdir()] == ["audit.json"]
    assert state_of(tree.root) == before


def test_a_part_beside_classes_is_told_and_not_learned(tree: Tree, tmp_path: Path) -> None:
    for name in ("cat", "dog", "train", "val"):
        for place in range(6):
            path = tmp_path / name / "one" / f"{place}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(noise(place), "PNG"))
    with pytest.raises(DataError, match=r"'train', 'val' beside 'cat', 'dog'"):
        build().open(tmp_path, DataOptions())


class Page(HTMLParser):
    """The elements of a page and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def test_a_search_over_them_ends_and_its_files_are_harmless(tree: Tree, tmp_path: Path) -> None:
    before = state_of(tree.root)
    study = automl_transfer.search(
        tree.root,
        trials=1,
        device="cpu",
        offline=True,
        studies=tmp_path / "studies",
        study="hostile",
        backbones=["bundled/efficientnet_lite0@96"],
        heads=["ridge"],
        strategies=["frozen"],
        hold_out="no",
    )
    assert state_of(tree.root) == before
    aside = {name for name, verdict in tree.verdicts.items() if verdict != KEPT}
    written = (study.directory / "quarantined.csv").read_text(encoding="utf-8")
    with (study.directory / "quarantined.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(aside)
    assert {row["source"].removeprefix("'") for row in rows} == aside
    cells = [cell for row in rows for cell in row.values()]
    assert any(cell.startswith("'=cmd") for cell in cells)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert written.startswith("source,reason")

    html = (study.directory / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    assert page.handlers == []
    assert "onerror=alert" in html, "the name is there, as text"
    assert "<img src=x" not in html
    assert not re.search(r"<script[^>]*>alert", html)
    for name in ("report.html", "report.md"):
        assert not hazards((study.directory / name).read_text(encoding="utf-8")), name
    assert not hazards(study.recommendation.winner.configuration.title)
