"""Archives as data: what is extracted, what is refused, and that nothing else is written."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_transfer import archives
from automl_transfer.archives import Limits, is_archive, unpacked
from automl_transfer.cli import main
from automl_transfer.dataset import DataOptions
from automl_transfer.errors import DataError
from automl_transfer.plugins import load_registry
from automl_transfer.request import SearchRequest
from automl_transfer.stages.load import opened, recognise_data
from automl_transfer.training.array_cache import ArrayCache

GOOD = {"cat/1.txt": b"one", "cat/2.txt": b"two", "dog/3.txt": b"three"}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def tarred(path: Path, *members: str | tarfile.TarInfo, mode: str = "w") -> Path:
    """A tar of files with their name as content, and of members as they are given."""
    with tarfile.open(path, mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                content = member.encode("utf-8", "surrogateescape")
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def tree(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def refused(path: Path, cache: Path, match: str, limits: Limits | None = None) -> None:
    """It is an error of the data with a next step, and nothing lies anywhere afterwards."""
    before = beside(cache)
    with pytest.raises(DataError, match=match) as caught:
        unpacked(path, cache, limits)
    assert caught.value.exit_code == 4
    assert "extract it yourself and give the directory" in str(caught.value)
    assert [one.name for one in (cache / archives.HOME).iterdir()] in ([], [".lock"])
    assert beside(cache) == before


def beside(cache: Path) -> set[Path]:
    return {one for one in cache.parent.rglob("*") if not one.is_relative_to(cache)}


# What works


@pytest.mark.parametrize("suffix", archives.SUFFIXES)
def test_every_kind_holds_what_was_packed(tmp_path, cache, suffix):
    source = tmp_path / "source"
    for name, content in GOOD.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    path = tmp_path / f"data{suffix.upper()}"
    if suffix == ".zip":
        zipped(path, GOOD)
    else:
        mode = {"gz": "w:gz", "tgz": "w:gz", "bz2": "w:bz2", "xz": "w:xz"}
        with tarfile.open(path, mode.get(suffix.rpartition(".")[2], "w")) as archive:
            archive.add(source, ".")
    root = unpacked(path, cache)
    assert tree(root) == GOOD
    assert root.parent == cache / archives.HOME
    assert path.exists()


def test_a_directory_and_a_manifest_stay_what_they_are(tmp_path, cache):
    folder = tmp_path / "folder.zip"
    folder.mkdir()
    for path in (folder, tmp_path / "list.csv", tmp_path / "missing.zip"):
        assert not is_archive(path)
        assert unpacked(path, cache) == path
    assert not cache.exists()


def test_the_same_content_is_extracted_once_whatever_its_name(tmp_path, cache, monkeypatch):
    first = unpacked(zipped(tmp_path / "a.zip", GOOD), cache)
    shutil.copy(tmp_path / "a.zip", tmp_path / "b.ZIP")
    monkeypatch.setattr(archives, "_fill", None)
    assert unpacked(tmp_path / "b.ZIP", cache) == first


def test_a_changed_archive_is_read_again_and_a_cleaned_cache_filled_again(tmp_path, cache):
    path = zipped(tmp_path / "a.zip", GOOD)
    first = unpacked(path, cache)
    zipped(path, {**GOOD, "cat/4.txt": b"four"})
    assert len(tree(unpacked(path, cache))) == 4
    shutil.rmtree(cache)
    zipped(path, GOOD)
    assert tree(unpacked(path, cache)) == tree(first) == GOOD


def test_a_single_folder_is_the_root_also_beside_what_macos_adds(tmp_path, cache):
    members = {f"images/{name}": content for name, content in GOOD.items()}
    extra = {"__MACOSX/images/._1.txt": b"", ".DS_Store": b""}
    root = unpacked(zipped(tmp_path / "a.zip", {**members, **extra}), cache)
    assert root.name == "images"
    assert tree(root) == GOOD
    beside = unpacked(zipped(tmp_path / "b.zip", {**members, "readme.txt": b""}), cache)
    assert (beside / "images").is_dir()


def test_an_archive_within_is_a_file(tmp_path, cache):
    inner = zipped(tmp_path / "inner.zip", GOOD).read_bytes()
    root = unpacked(zipped(tmp_path / "a.zip", {"x/inner.zip": inner, "y/1": b""}), cache)
    assert tree(root) == {"x/inner.zip": inner, "y/1": b""}


def test_a_name_of_255_bytes_and_one_in_utf8_without_the_flag(tmp_path, cache):
    long = "é" * 127 + "x"
    path = zipped(tmp_path / "a.zip", {f"cat/{long}": b"1", "dog/zz.txt": b"2"})
    flagless = path.read_bytes().replace(b"zz.txt", "é.txt".encode())
    assert "é.txt".encode() in flagless and len(flagless) == path.stat().st_size
    path.write_bytes(flagless)
    assert tree(unpacked(path, cache)) == {f"cat/{long}": b"1", "dog/é.txt": b"2"}
    assert tree(unpacked(tarred(tmp_path / "a.tar", f"cat/{long}", "dog/1"), cache)).keys() == {
        f"cat/{long}",
        "dog/1",
    }


def test_members_that_end_with_a_block_are_read_without_starting_over(tmp_path, cache):
    size = 3 * archives._CHUNK
    content = np.random.default_rng(0).bytes(size)
    path = tmp_path / "a.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for place in range(3):
            info = tarfile.TarInfo(f"x/{place}")
            info.size = size
            archive.addfile(info, io.BytesIO(content))
    assert set(tree(unpacked(path, cache)).values()) == {content}


def test_what_a_killed_process_left_is_removed(tmp_path, cache):
    stale = cache / archives.HOME / ".part-0000"
    stale.mkdir(parents=True)
    (stale / "half").write_bytes(b"")
    unpacked(zipped(tmp_path / "a.zip", GOOD), cache)
    assert not stale.exists()


def test_two_processes_at_once(tmp_path, cache):
    path = zipped(tmp_path / "a.zip", {f"c{n % 9}/{n}": b"x" for n in range(2000)})
    code = (
        "import sys; from pathlib import Path; from automl_transfer.archives import unpacked\n"
        "root = unpacked(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "assert sum(one.is_file() for one in root.rglob('*')) == 2000"
    )
    words = [sys.executable, "-c", code, str(path), str(cache)]
    running = [subprocess.Popen(words) for _ in range(2)]
    assert [one.wait() for one in running] == [0, 0]


# Names


BAD_NAMES = [
    ("../evil.txt", r"relative and without '\.\.', but .* has '\.\./evil\.txt'"),
    ("cat/../../evil.txt", r"without '\.\.'"),
    ("cat/..", r"without '\.\.'"),
    ("/etc/evil.txt", "must be relative"),
    ("C:/evil.txt", "must be relative"),
    ("cat\\1.txt", "separator of Windows"),
    ("..\\evil.txt", "separator of Windows"),
    ("x/" + "y" * 256, "A name may have 255 bytes"),
    ("x/" * 600 + "y", "a path 1,024"),
]


@pytest.mark.parametrize(("name", "match"), BAD_NAMES, ids=range(len(BAD_NAMES)))
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_names_that_are_refused(tmp_path, cache, name, match, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        zipped(path, {**GOOD, name: b"evil"})
    else:
        tarred(path, *GOOD, name, mode="w:gz" if kind == "tar.gz" else "w")
    refused(path, cache, match)
    assert not (tmp_path / "evil.txt").exists()


def test_names_that_are_not_utf8(tmp_path, cache):
    refused(tarred(tmp_path / "a.tar", *GOOD, "cat/\udcff"), cache, "valid UTF-8, but .*udcff")
    path = zipped(tmp_path / "latin.zip", {"cat/QQ.txt": b""})
    path.write_bytes(path.read_bytes().replace(b"QQ", b"\x82\xff"))
    refused(path, cache, r"valid UTF-8, but .*\\x82\\xff.*writes UTF-8")
    path = zipped(tmp_path / "flag.zip", {"cat/é.txt": b""})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\x82\xff"))
    refused(path, cache, r"valid UTF-8, but .*\\x82\\xff")


def test_a_name_with_a_nul(tmp_path, cache):
    path = zipped(tmp_path / "a.zip", {"cat/1Q.txt": b""})
    path.write_bytes(path.read_bytes().replace(b"1Q", b"1\0"))
    refused(path, cache, "without NUL")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("names", "match"),
    [
        (("cat/1", "cat/1"), "once in an archive, but .*'cat/1' more than once"),
        (("cat/1", "./cat//1"), "once in an archive"),
        (("cat/1", "cat/1/2"), "once in an archive"),
        (("cat/1/2", "cat/1"), "once in an archive"),
        (("cat/a", "cat/A"), "by more than case .*'cat/a' and 'cat/A'"),
        (("cat/1", "Cat/2"), "by more than case .*'cat' and 'Cat'"),
        (("cat/\u00e9", "cat/e\u0301"), "the form of accents"),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_clash(tmp_path, cache, names, match, kind):
    path = tmp_path / f"a.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, name)
    else:
        tarred(path, *names)
    refused(path, cache, match)


def test_a_folder_may_be_named_again(tmp_path, cache):
    folder = special("cat", tarfile.DIRTYPE)
    assert len(tree(unpacked(tarred(tmp_path / "a.tar", folder, *GOOD, folder), cache))) == 3


# Kinds of members


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a hard link"),
        (tarfile.CHRTYPE, "is a device"),
        (tarfile.BLKTYPE, "is a device"),
        (tarfile.FIFOTYPE, "is a device, pipe"),
        (b"Z", "of an unknown kind"),
    ],
)
def test_links_and_devices_in_a_tar(tmp_path, cache, kind, match):
    member = special("cat/evil", kind, "../../../etc/passwd")
    refused(tarred(tmp_path / "a.tar", *GOOD, member, "cat/evil/x"), cache, match)


@pytest.mark.parametrize(
    ("kind", "match"),
    [(stat.S_IFLNK, "is a link"), (stat.S_IFCHR, "device"), (stat.S_IFIFO, "pip")],
)
def test_links_and_devices_in_a_zip(tmp_path, cache, kind, match):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("cat/evil")
        info.external_attr = (kind | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    refused(path, cache, f"nothing but files and folders, but .*{match}")


def test_a_sparse_file(tmp_path, cache):
    pax = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "99"}
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("cat/1")
        info.pax_headers, info.size = pax, 512
        archive.addfile(info, io.BytesIO(b"0\n".ljust(512, b"\0")))
    refused(path, cache, "sparse")


@pytest.mark.parametrize("flag", [0x1, 0x41, 0x2000])
def test_an_encrypted_member(tmp_path, cache, flag):
    path = zipped(tmp_path / "a.zip", {"cat/1": b"secret"})
    whole = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", whole, whole.index(magic) + at, flag)
    path.write_bytes(whole)
    refused(path, cache, "must not be encrypted, but .*'cat/1'.*without a password")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_expand_without_a_bound(tmp_path, cache, method):
    path = zipped(tmp_path / "a.zip", {"cat/1": bytes(10**6)}, method)
    refused(path, cache, f"stored or deflated, but .*the method {method}")


# Bombs


def test_too_many_bytes_are_noticed_while_they_come(tmp_path, cache):
    content = np.random.default_rng(0).bytes(60_000)
    path = zipped(tmp_path / "a.zip", {"cat/1": content, "cat/2": content})
    refused(path, cache, "may come to 100,000 bytes", Limits(bytes=100_000))
    path = tmp_path / "a.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        info = tarfile.TarInfo("cat/1")
        info.size = 50 * 2**20
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    assert path.stat().st_size < 20_000
    refused(path, cache, "may come to 1,000,000 bytes", Limits(bytes=10**6))


def test_the_free_disk_is_a_limit(tmp_path, cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9, 9, 10))
    refused(zipped(tmp_path / "a.zip", GOOD), cache, r"may come to 9 bytes .*90% of the free disk")


def lying(path: Path, size: int) -> Path:
    """A zip whose headers claim that its one member has ``size`` bytes."""
    whole = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", whole, whole.index(magic) + at, size)
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize("claim", [0, 100, 20_000_001, 4_000_000_000])
def test_a_bomb_whose_headers_lie(tmp_path, cache, claim):
    path = lying(zipped(tmp_path / "a.zip", {"cat/1": bytes(20_000_000)}), claim)
    match = "damaged" if claim <= 100 else "1,000 to 1"
    refused(path, cache, match)
    match = "damaged" if claim <= 100 else "may come to 1,000,000"
    refused(path, cache, match, Limits(bytes=10**6))


def test_a_ratio_matters_from_some_size_on(tmp_path, cache):
    path = zipped(tmp_path / "a.zip", {"cat/1": bytes(2_000_000), "dog/2": b""})
    refused(
        path, cache, "more than 1,000,000 bytes .* 100 to 1", Limits(ratio=100, ratio_from=10**6)
    )
    assert tree(unpacked(path, cache))["cat/1"] == bytes(2_000_000)


def test_members_that_share_their_bytes(tmp_path, cache):
    """As in the zip bomb of D. Fifield: the directory names the same bytes again and again."""
    path = zipped(tmp_path / "a.zip", {"cat/1": np.random.default_rng(0).bytes(5000)})
    whole = path.read_bytes()
    start = whole.index(b"PK\x01\x02")
    entry, end = whole[start : whole.index(b"PK\x05\x06")], bytearray(whole[-22:])
    directory = entry * 40
    struct.pack_into("<HHI", end, 8, 40, 40, len(directory))
    path.write_bytes(whole[:start] + directory + end)
    refused(path, cache, "must not overlap|once in an archive")
    names = [entry.replace(b"cat/1", f"cat/{place}".encode()) for place in range(1, 10)]
    directory = b"".join(names)
    struct.pack_into("<HHI", end, 8, 9, 9, len(directory))
    path.write_bytes(whole[:start] + directory + end)
    refused(path, cache, "must not overlap|damaged")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_too_many_members(tmp_path, cache, kind):
    names = [f"x/{place}" for place in range(10)]
    path = tmp_path / f"a.{kind}"
    zipped(path, dict.fromkeys(names, b"")) if kind == "zip" else tarred(path, *names)
    refused(path, cache, "may hold 10 files and folders, but .* holds more", Limits(members=10))
    unpacked(path, cache, Limits(members=11))


def test_folders_that_are_only_implied_count(tmp_path, cache):
    refused(
        zipped(tmp_path / "a.zip", {"a/b/c/d/e/f": b""}), cache, "holds more", Limits(members=5)
    )


def test_a_tar_with_an_enormous_header(tmp_path, cache):
    """The library would read all of a long name into memory."""
    info = special("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = 2**30
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    refused(path, cache, "a header claims 1073741824 bytes")


def test_a_tar_that_leads_back(tmp_path, cache):
    info = tarfile.TarInfo("cat/1")
    info.size = -1024
    path = tarred(tmp_path / "a.tar", "cat/0")
    path.write_bytes(path.read_bytes()[:1024] + info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    refused(path, cache, "damaged")


# Damage


def ends(path: Path) -> list[int]:
    whole = path.stat().st_size
    return [0, 1, 100, 512, 700, 1024, 1300, 1536, whole // 2, whole - 30, whole - 1]


@pytest.mark.parametrize("mode", ["zip", "w", "w:gz", "w:bz2", "w:xz"])
def test_a_truncated_archive(tmp_path, cache, mode):
    content = {name: np.random.default_rng(0).bytes(3000) for name in GOOD}
    whole = tmp_path / "whole"
    if mode == "zip":
        zipped(whole, content)
    else:
        with tarfile.open(whole, mode) as archive:
            for name, one in content.items():
                info = tarfile.TarInfo(name)
                info.size = len(one)
                archive.addfile(info, io.BytesIO(one))
    path = tmp_path / ("a.zip" if mode == "zip" else "a.tar.gz")
    for length in ends(whole):
        if mode == "w" and length > whole.stat().st_size - 100:
            continue  # the padding of a plain tar says nothing
        path.write_bytes(whole.read_bytes()[:length])
        refused(path, cache, "must be whole, but .* is damaged, truncated or of another format")


def test_a_tar_with_a_damaged_header_is_not_read_up_to_it(tmp_path, cache):
    path = tarred(tmp_path / "a.tar", *GOOD)
    whole = bytearray(path.read_bytes())
    whole[1024 + 20] ^= 0xFF
    path.write_bytes(whole)
    refused(path, cache, "the mark of its end is not at byte")


def test_a_forged_offset(tmp_path, cache):
    path = zipped(tmp_path / "a.zip", {"cat/1": b"1"})
    whole = bytearray(path.read_bytes())
    end = whole.index(b"PK\x05\x06")
    struct.pack_into("<I", whole, end + 16, struct.unpack_from("<I", whole, end + 16)[0] + 5000)
    path.write_bytes(whole)
    refused(path, cache, "damaged")


def test_two_tars_in_one(tmp_path, cache):
    path = tarred(tmp_path / "a.tar", *GOOD)
    path.write_bytes(path.read_bytes() * 2)
    refused(path, cache, "must end where it says so")


def test_a_wrong_checksum(tmp_path, cache):
    path = zipped(tmp_path / "a.zip", {"cat/1": b"abcdefgh"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"abcdefgX"))
    refused(path, cache, "damaged")
    path = tarred(tmp_path / "a.tar.gz", *GOOD, mode="w:gz")
    whole = bytearray(path.read_bytes())
    whole[-6] ^= 0xFF
    path.write_bytes(whole)
    refused(path, cache, "damaged")


@pytest.mark.parametrize("content", [b"", b"not an archive", bytes(10240)])
@pytest.mark.parametrize("suffix", [".zip", ".tar", ".tar.xz"])
def test_what_is_no_archive_or_has_no_files(tmp_path, cache, content, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    refused(path, cache, "of another format|must hold files")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_random_damage_is_never_an_internal_error(tmp_path, cache, pack):
    random = np.random.default_rng(0)
    whole = [
        tarred(tmp_path / "whole.tar", *GOOD).read_bytes(),
        zipped(tmp_path / "whole.zip", GOOD).read_bytes(),
    ]
    whole.append(pack(whole[0]))
    for turn in range(300):
        damaged = bytearray(whole[turn % 3])
        for place in random.integers(0, min(len(damaged), 2600), 3):
            damaged[place] = random.integers(256)
        path = tmp_path / ("a.zip" if turn % 3 == 1 else "a.tar")
        path.write_bytes(damaged)
        try:
            root = unpacked(path, cache)
        except DataError:
            continue
        assert root.resolve().is_relative_to(cache.resolve())
    inside = {"whole.tar", "whole.zip", "a.zip", "a.tar", "cache"}
    assert {one.name for one in tmp_path.iterdir()} == inside


def test_an_archive_that_is_written_to_while_it_is_extracted(tmp_path, cache, monkeypatch):
    archive = tarred(tmp_path / "data.tar", "cat/1.txt", "dog/2.txt")
    whole = archives._extract_tar

    def extract(*arguments):
        whole(*arguments)
        with archive.open("ab") as file:
            file.write(b"\0" * 512)

    monkeypatch.setattr(archives, "_extract_tar", extract)
    refused(archive, cache, "must stay as it is while it is extracted")
    monkeypatch.undo()
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(cache))
    assert tree(unpacked(archive, cache)) == {"cat/1.txt": b"cat/1.txt", "dog/2.txt": b"dog/2.txt"}


def test_an_archive_that_is_replaced_while_it_is_extracted(tmp_path, cache, monkeypatch):
    """What is kept under a content is that content, whichever of the two it is."""
    archive = zipped(tmp_path / "data.zip", GOOD)
    newer = zipped(tmp_path / "newer.zip", GOOD | {"cat/1.txt": b"newer"})
    digest = archives.sha256_of_open

    def replaced(file):
        if newer.exists():
            newer.replace(archive)
        return digest(file)

    monkeypatch.setattr(archives, "sha256_of_open", replaced)
    assert tree(unpacked(archive, cache)) == GOOD
    assert tree(unpacked(archive, cache)) == GOOD | {"cat/1.txt": b"newer"}


def test_an_interruption_leaves_nothing(tmp_path, cache, monkeypatch):
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(archives._Extraction, "file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        unpacked(zipped(tmp_path / "a.zip", GOOD), cache)
    assert [one.name for one in (cache / archives.HOME).iterdir()] in ([], [".lock"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written(tmp_path, cache):
    cache.mkdir(mode=0o500)
    with pytest.raises(DataError, match="that fails: .*AUTOML_TRANSFER_CACHE_DIR"):
        unpacked(zipped(tmp_path / "a.zip", GOOD), cache)


def test_a_full_disk(tmp_path, cache, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives._Extraction, "file", full)
    refused(zipped(tmp_path / "a.zip", GOOD), cache, "No space left.*with room on the disk")


# Through the commands


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    for name, seed in (("cat", 0), ("dog", 100)):
        (root / name).mkdir(parents=True)
        for place in range(22):
            coarse = np.random.default_rng(seed + place).integers(0, 256, (6, 6, 3), np.uint8)
            image = Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC)
            image.save(root / name / f"{place}.png")
    return root


@pytest.fixture
def run(tmp_path, monkeypatch, capsys, cache) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in an empty directory, as the console script does."""
    monkeypatch.chdir(tmp_path)

    def go(*words: str) -> tuple[int, str, str]:
        code = main(words)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return go


def packed(folder: Path, name: str, inside: str) -> Path:
    path = folder.parent / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            for file in sorted(folder.rglob("*")):
                archive.write(file, Path(inside, file.relative_to(folder)))
    else:
        with tarfile.open(path, "w:gz") as tar:
            tar.add(folder, inside or ".")
    return path


@pytest.mark.parametrize("inside", ["", "images"])
@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
def test_data_check_finds_in_an_archive_what_it_finds_in_the_folder(run, pictures, name, inside):
    (pictures / "cat" / "empty.png").write_bytes(b"")
    path = packed(pictures, name, inside)
    code, expected, _ = run("data", "check", str(pictures), "--json")
    assert code == 0 and "empty.png" in expected
    before = path.read_bytes()
    assert run("data", "check", path.name, "--json")[:2] == (0, expected)
    assert path.read_bytes() == before


def test_data_check_of_a_refused_archive(run, tmp_path, cache):
    zipped(tmp_path / "a.zip", {"../evil.png": b""})
    code, out, err = run("data", "check", "a.zip")
    assert code == 4 and out == ""
    assert "without '..'" in err and "internal error" not in err
    assert not (tmp_path / "evil.png").exists()


def test_the_fingerprint_is_that_of_the_folder_in_any_cache(pictures, tmp_path, monkeypatch):
    registry, found = load_registry(third_party=False), set()
    path = packed(pictures, "a.zip", "")
    for place, data in enumerate((pictures, path, path)):
        cache = tmp_path / f"cache{place}"
        monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(cache))
        recognised = recognise_data(data, DataOptions(), registry)
        events = opened(registry, recognised, data, DataOptions(), ArrayCache(cache))
        while True:
            try:
                next(events)
            except StopIteration as stop:
                found.add((stop.value.fingerprint, stop.value.samples))
                break
    assert len(found) == 1


def test_a_request_and_what_it_says_to_resume_name_the_archive(pictures):
    path = packed(pictures, "a.zip", "")
    request = SearchRequest(data=str(path), trials=1)
    assert request.data == str(path)
    assert str(path) in request.command


@pytest.mark.slow
def test_a_search_on_an_archive_and_its_predictions(run, pictures, tmp_path, cache):
    path = packed(pictures, "a.zip", "images")
    words = ("search", "--data", "a.zip", "--trials", "2", "--offline", "--study", "s", "--quiet")
    words = (*words, "--head", "ridge", "--strategy", "frozen", "--device", "cpu", "--json")
    assert run(*words)[0] == 0
    study = (tmp_path / "studies" / "s" / "study.toml").read_text()
    assert str(path) in study and archives.HOME not in study
    shutil.rmtree(cache)
    code, _, err = run(*words)  # goes on, although the cache was cleaned
    assert code == 0, err
    code, out, err = run("predict", "s", "a.zip", "--json")
    assert code == 0, err
    assert out.count('"source"') == 44 and '"a.zip/cat/0.png"' in out
