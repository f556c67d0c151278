"""Data in a zip or tar archive: extracted once, by content, into the user's cache directory.

An archive is a stranger's program for writing files. So nothing in it is believed: names are
checked before anything is made, bytes and members are counted while they come out, and a whole
directory appears under its final name only when all of it was good.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from automl_transfer.checksum import sha256_of_open
from automl_transfer.errors import DataError

ZIP = ".zip"
SUFFIXES = (ZIP, ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
"""Endings of archives, in lower case."""
HOME = "archives"
"""Subdirectory of the cache directory."""
MOST_BYTES = 50 * 2**30
MOST_OF_FREE = 0.9
"""Usual bound on what comes out: the smaller of the two, the second a share of the free disk."""


class _Reads(Protocol):
    def read(self, size: int, /) -> bytes: ...


_CHUNK = 2**20
_LONGEST_READ = 2**24
"""Bytes that a tar may ask for at once: its reader holds a header of any length in memory."""
_LONGEST_NAME = 255
"""Bytes of a file name, by the rule of nearly all file systems."""
_LONGEST_PATH = 1024
"""Bytes of a path in an archive: with the cache directory before it, what systems can open."""
_ENCRYPTED = 0x1 | 0x40 | 0x2000
"""Flags of a zip member: encrypted, strongly encrypted, with an encrypted directory."""
_UTF8 = 0x800
"""Flag of a zip member: its name is UTF-8."""
_PARTIAL = ".part-"
_BY_HAND = "or extract it yourself and give the directory"
_PACKED: dict[bytes, Callable[[IO[bytes]], _Reads]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
"""How a tar is compressed, by its first bytes: they are right where a name is wrong."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an archive may come to."""

    bytes: int | None = None
    """Of all files together; None: the smaller of ``MOST_BYTES`` and ``MOST_OF_FREE``."""
    members: int = 2_000_000
    """Files and folders, those that are only implied by a path included."""
    ratio: int = 1000
    """Bytes that come out of a zip member for each that went in; deflate reaches 1032."""
    ratio_from: int = 10_000_000
    """Bytes of a member up to which its ratio does not matter."""


def is_archive(path: Path) -> bool:
    """Whether ``path`` is a file with the ending of an archive."""
    return path.name.lower().endswith(SUFFIXES) and path.is_file()


def unpacked(path: Path, cache: Path, limits: Limits | None = None) -> Path:
    """The directory with what the archive ``path`` holds; any other path as it is.

    What was extracted before is used again, by the content of the archive and not by its name. A
    single folder that holds everything is passed through: it is the root.

    Args:
        path: An archive, or anything else.
        cache: The user's cache directory.
        limits: What the archive may come to.

    Raises:
        DataError: The archive breaks a rule or cannot be read. Nothing of it is left behind.
    """
    if not is_archive(path):
        return path
    try:
        with path.open("rb") as file:
            digest = sha256_of_open(file)
            home = cache / HOME
            if not (home / digest).is_dir():
                _fill(path, file, home, digest, limits or Limits())
        return _root(home / digest)
    except OSError as error:
        raise DataError(
            f"An archive is read, and extracted into the cache directory {str(cache)!r}, but with "
            f"{str(path)!r} that fails: {error}. Make both accessible, with room on the disk; "
            f"AUTOML_TRANSFER_CACHE_DIR names another place; {_BY_HAND}."
        ) from error


def _fill(path: Path, file: io.BufferedReader, home: Path, digest: str, limits: Limits) -> None:
    from filelock import FileLock

    home.mkdir(parents=True, exist_ok=True)
    # One at a time for all archives: what is half done belongs to a process that was killed, and
    # the free disk that bounds an extraction is not promised to two of them.
    with FileLock(home / ".lock"):
        for abandoned in home.glob(f"{_PARTIAL}*"):
            shutil.rmtree(abandoned)
        if (home / digest).is_dir():
            return
        most = limits.bytes
        if most is None:
            most = min(MOST_BYTES, int(shutil.disk_usage(home).free * MOST_OF_FREE))
        partial = home / f"{_PARTIAL}{digest}"
        partial.mkdir()
        try:
            with _told(path):
                work = _Extraction(path, partial, limits, most)
                (_extract_zip if path.name.lower().endswith(ZIP) else _extract_tar)(file, work)
                work.finish()
            if sha256_of_open(file) != digest:
                raise work.refused(
                    "An archive must stay as it is while it is extracted",
                    "was written to meanwhile",
                    "Search again when it is whole",
                )
            os.rename(partial, home / digest)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """What the readers of the standard library raise, as an error that says what to do."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        # gzip and bz2 use this class for bad data, without a number; EINVAL is a forged offset.
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise
        # Damaged input makes these readers fail in many ways, RecursionError and IndexError too.
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise DataError(
            f"An archive must be whole, but {str(path)!r} is damaged, truncated or of another "
            f"format ({why}). Get it again, {_BY_HAND}."
        ) from error


def _root(directory: Path) -> Path:
    """``directory``, or the one folder in it that holds everything."""
    with os.scandir(directory) as scan:
        # What macOS puts beside a folder is no content.
        seen = [one for one in scan if not one.name.startswith(".") and one.name != "__MACOSX"]
    if len(seen) == 1 and seen[0].is_dir(follow_symlinks=False):
        return Path(seen[0].path)
    return directory


class _Extraction:
    """Checks names, and writes and counts what they stand for."""

    def __init__(self, archive: Path, target: Path, limits: Limits, most: int) -> None:
        self.archive = archive
        self.limits = limits
        self.most = most
        self.target = str(target)
        self._bytes = 0
        # Spelling by what a file system may take for the same name.
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}
        self._made: set[str] = set()

    def refused(
        self, rule: str, found: str, step: str = "Make it again without that"
    ) -> DataError:
        """An error that says the rule, what breaks it, and the next step."""
        return DataError(f"{rule}, but {str(self.archive)!r} {found}. {step}, {_BY_HAND}.")

    def many(self) -> DataError:
        """The error for too many members."""
        return self.refused(
            f"An archive may hold {self.limits.members:,} files and folders",
            "holds more",
            "Make several, or pack fewer",
        )

    def large(self) -> DataError:
        """The error for too many bytes."""
        return self.refused(
            f"An archive may come to {self.most:,} bytes (the smaller of {MOST_BYTES:,} and "
            f"{MOST_OF_FREE:.0%} of the free disk, unless another limit is set)",
            "comes to more",
            "Free some disk or name another place in AUTOML_TRANSFER_CACHE_DIR",
        )

    def folder(self, name: str) -> None:
        """Makes a folder, as the archive names it."""
        self._make(self.parts(name))

    def file(self, name: str, source: _Reads, packed: int | None = None) -> int:
        """Writes a file.

        Args:
            name: As the archive has it.
            source: Where its bytes come from.
            packed: How many they were when compressed, if that is known of one file.

        Returns:
            How many bytes there were.
        """
        parts = self.parts(name)
        if not parts:
            raise self.refused("A member must have a name", f"has {_shown(name)}")
        self._make(parts[:-1])
        path = "/".join(parts)
        key = _folded(path)
        self._require_new(path, key, self._files)
        self._require_new(path, key, self._folders)
        self._files[key] = path
        self._count()
        written = 0
        with open(os.path.join(self.target, *parts), "xb") as out:
            while chunk := source.read(_CHUNK):
                written += len(chunk)
                self._bytes += len(chunk)
                if self._bytes > self.most:
                    raise self.large()
                if (
                    packed is not None
                    and written > self.limits.ratio_from
                    and written > self.limits.ratio * packed
                ):
                    raise self.refused(
                        f"A file of more than {self.limits.ratio_from:,} bytes may be compressed "
                        f"{self.limits.ratio:,} to 1",
                        f"has {_shown(name)}, of which {packed:,} bytes become more than "
                        f"{written - 1:,}: such an archive is made to fill a disk",
                    )
                out.write(chunk)
        return written

    def finish(self) -> None:
        """Refuses an archive without any file."""
        if not self._files:
            raise self.refused("An archive must hold files", "holds none", "Pack the data again")

    def parts(self, name: str) -> list[str]:
        """The names from the root down, each of them good; none for the root itself."""
        shown = _shown(name)
        if "\\" in name:
            raise self.refused(
                "Folders in an archive must be separated by '/'",
                f"has {shown}, with the separator of Windows",
                "Make it again with another program",
            )
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if name.startswith("/") or ".." in parts or re.match("[A-Za-z]:", name):
            raise self.refused(
                "A path in an archive must be relative and without '..'", f"has {shown}"
            )
        try:
            sizes = [len(part.encode()) for part in parts]
        except UnicodeEncodeError:
            raise self.refused(
                "Names in an archive must be valid UTF-8",
                f"has {shown}",
                "Rename the file and make it again",
            ) from None
        if "\0" in name:
            raise self.refused("A name must be without NUL", f"has {shown}")
        if max(sizes, default=0) > _LONGEST_NAME or sum(sizes) + len(sizes) > _LONGEST_PATH:
            raise self.refused(
                f"A name may have {_LONGEST_NAME} bytes and a path {_LONGEST_PATH:,}",
                f"has {shown}, with {max(sizes)} and {sum(sizes) + len(sizes) - 1:,}",
                "Rename the file and make it again",
            )
        return parts

    def _make(self, parts: list[str]) -> None:
        """Makes a folder and those above it; the same one again is no fault."""
        if "/".join(parts) in self._made:
            return
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            if path in self._made:
                continue
            key = _folded(path)
            self._require_new(path, key, self._files)
            self._require_new(path, key, self._folders)
            self._folders[key] = path
            self._made.add(path)
            self._count()
            os.mkdir(os.path.join(self.target, path))

    def _require_new(self, path: str, key: str, taken: dict[str, str]) -> None:
        # On a disk that ignores case one would overwrite the other: data would depend on the disk.
        before = taken.get(key)
        if before == path:
            raise self.refused(
                "A name must occur once in an archive", f"has {_shown(path)} more than once"
            )
        if before is not None:
            raise self.refused(
                "Names in an archive must differ by more than case or the form of accents",
                f"has {_shown(before)} and {_shown(path)}",
                "Rename one and make it again",
            )

    def _count(self) -> None:
        if len(self._files) + len(self._folders) > self.limits.members:
            raise self.many()


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).lower()


def _shown(name: str) -> str:
    return repr(name if len(name) <= 200 else f"{name[:200]}…")


class _AtMost(list[zipfile.ZipInfo]):
    """Refuses while a directory is read: one of many millions of members fills the memory."""

    def __init__(self, work: _Extraction) -> None:
        super().__init__()
        self._work = work

    def append(self, info: zipfile.ZipInfo) -> None:
        if len(self) >= self._work.limits.members:
            raise self._work.many()
        super().append(info)


class _Zip(zipfile.ZipFile):
    def __init__(self, file: IO[bytes], work: _Extraction) -> None:
        self._work = work
        super().__init__(file)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, _AtMost(self._work) if name == "filelist" else value)


def _extract_zip(file: IO[bytes], work: _Extraction) -> None:
    left = os.fstat(file.fileno()).st_size
    try:
        archive = _Zip(file, work)
    except UnicodeDecodeError as error:
        raise work.refused(
            "Names in an archive must be valid UTF-8",
            f"has {error.object[:200]!r}",
            "Rename the file and make it again",
        ) from error
    with archive:
        for info in archive.infolist():
            name = _zip_name(info, work)
            _require_plain(info, name, work)
            if info.is_dir():
                work.folder(name)
                continue
            left -= info.compress_size
            if left < 0:  # or small files that share their bytes come to any size at all
                raise work.refused(
                    "Members of an archive must not overlap",
                    f"has {_shown(name)}, which claims bytes of others",
                )
            with archive.open(info) as source:
                written = work.file(name, source, info.compress_size)
            if written != info.file_size:
                raise zipfile.BadZipFile(
                    f"{_shown(name)} has {written} bytes instead of {info.file_size}"
                )


def _zip_name(info: zipfile.ZipInfo, work: _Extraction) -> str:
    """The name of a member; of one that does not say how it is written, if that is UTF-8."""
    # The library cuts a name at a NUL and, on Windows, turns backslashes round.
    for sign in ("\0", "\\"):
        if sign in info.orig_filename:
            return info.orig_filename
    if info.flag_bits & _UTF8 or info.filename.isascii() or info.filename != info.orig_filename:
        return info.filename
    raw = info.filename.encode("cp437")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise work.refused(
            "Names in an archive must be valid UTF-8",
            f"has {raw[:200]!r}",
            "Make it again with a program that writes UTF-8",
        ) from None


def _require_plain(info: zipfile.ZipInfo, name: str, work: _Extraction) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise work.refused(
            "An archive must not be encrypted",
            f"has {_shown(name)}, which is",
            "Make it again without a password",
        )
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        what = "a link" if kind == stat.S_IFLNK else "a device, pipe or socket"
        raise _not_plain(name, what, work)
    # Of bzip2 and lzma the library's reader expands a whole block at once, however large.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise work.refused(
            "Files in a zip must be stored or deflated",
            f"has {_shown(name)}, with the method {info.compress_type}",
            "Make it again with the usual method",
        )


def _not_plain(name: str, what: str, work: _Extraction) -> DataError:
    return work.refused(
        "An archive must hold nothing but files and folders",
        f"has {_shown(name)}, which is {what}",
        "Make it again with the files themselves",
    )


class _Forwards(io.RawIOBase):
    """The bytes of a tar, counted; they are gone through once.

    The library's reader of tars goes back by one byte, for which a compressed file may start all
    over again, or, with a forged size, back to where it has been, for ever.
    """

    def __init__(self, source: _Reads, work: _Extraction) -> None:
        self._source = source
        self._work = work
        self._place = 0
        self._again = b""
        self.last = b""
        """What was read last."""

    def tell(self) -> int:
        return self._place

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_READ:
            raise tarfile.ReadError(f"a header claims {size} bytes")
        data = self._again[:size]
        data += self._source.read(size - len(data))
        self._again = b""
        self._place += len(data)
        if self._place > self._work.most:
            raise self._work.large()
        self.last = data
        return data

    def seek(self, place: int, whence: int = 0) -> int:
        if place == self._place - 1 and self.last and not self._again:
            self._again = self.last[-1:]
            self._place -= 1
        elif place < self._place:
            raise tarfile.ReadError(f"it leads back to byte {place}")
        while self._place < place and self.read(min(_CHUNK, place - self._place)):
            pass
        return self._place


def _extract_tar(file: IO[bytes], work: _Extraction) -> None:
    first = file.read(6)
    file.seek(0)
    opener = next((one for magic, one in _PACKED.items() if first.startswith(magic)), None)
    stream = _Forwards(opener(file) if opener else file, work)
    with tarfile.TarFile(fileobj=stream, encoding="utf-8", errors="surrogateescape") as archive:
        while (member := archive.next()) is not None:
            # Or it holds all of them in memory; its stubs do not know of the list.
            archive.members.clear()  # type: ignore[attr-defined]
            _extract_member(archive, member, work)
    # At a header that is cut off or wrong, the library ends as if that were the end.
    if stream.last != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError(f"the mark of its end is not at byte {stream.tell()}")
    # To the very end, where the checksums are.
    while rest := stream.read(_CHUNK):
        if rest.strip(b"\0"):
            raise work.refused(
                "A tar must end where it says so",
                "has more after its end, as when two are put together",
                "Make one of all",
            )


def _extract_member(archive: tarfile.TarFile, member: tarfile.TarInfo, work: _Extraction) -> None:
    if not (member.isdir() or member.isfile()) or member.issparse():
        kinds = {tarfile.SYMTYPE: "a link", tarfile.LNKTYPE: "a hard link"}
        device = "a device, pipe, sparse file or of an unknown kind"
        raise _not_plain(member.name, kinds.get(member.type, device), work)
    work.parts(member.name)
    # A second opinion, where there is one (it came with 3.11.4): it may know what we do not.
    if hasattr(tarfile, "data_filter"):
        tarfile.data_filter(member, work.target)
    source = archive.extractfile(member)
    if source is None:
        work.folder(member.name)
        return
    with source:
        work.file(member.name, source)
