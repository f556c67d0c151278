"""Rows on disk: what is read is what was written, or it is not there."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from automl_transfer.errors import PluginError
from automl_transfer.jsonable import digest
from automl_transfer.training import array_cache
from automl_transfer.training.array_cache import ArrayCache, usual_limit
from automl_transfer.training.array_group import ArrayGroup

LIMIT = 10**9


def names(count: int, start: int = 0) -> list[str]:
    return [digest(place, 32) for place in range(start, start + count)]


def numbers(count: int, start: int = 0, width: int = 4) -> np.ndarray:
    return np.arange(start * width, (start + count) * width, dtype=np.float32).reshape(-1, width)


def group(directory: Path, key: str = "ab", limit: int = LIMIT) -> ArrayGroup:
    return ArrayCache(directory, limit).group(key)


def shards(directory: Path) -> list[Path]:
    return sorted(directory.rglob("*.safetensors"))


def used(directory: Path) -> int:
    return sum(path.stat().st_size for path in shards(directory))


# Writing and reading


@settings(
    deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_what_is_read_is_what_was_written(tmp_path: Path, data: st.DataObject) -> None:
    shutil.rmtree(tmp_path / "arrays", ignore_errors=True)
    count = data.draw(st.integers(1, 12))
    shape = data.draw(array_shapes(min_dims=1, max_dims=3, max_side=4))
    dtype = data.draw(st.sampled_from(["u1", "<f2", "<f4", "<f8", "<i8", "?"]))
    kind = np.dtype(dtype)
    rows = data.draw(arrays(kind, (count, *shape)))
    ids = data.draw(
        st.lists(st.binary(min_size=3, max_size=3), min_size=count, max_size=count, unique=True)
    )
    texts = [id.hex() for id in ids]
    cut = data.draw(st.integers(1, count))
    writer = group(tmp_path)
    for block in (slice(0, cut), slice(cut, None)):
        writer.write(texts[block], rows[block])
    order = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=20))
    for reader in (writer, group(tmp_path)):
        found = reader.read([texts[place] for place in order])
        assert found.dtype == kind
        assert found.tobytes() == rows[order].tobytes()


def test_what_is_missing_comes_in_order_and_without_repeats(tmp_path: Path) -> None:
    cache = group(tmp_path)
    ids = names(6)
    assert cache.missing(ids) == ids
    cache.write([ids[1], ids[4]], numbers(2))
    assert cache.missing([ids[5], ids[1], ids[0], ids[5], ids[4]]) == [ids[5], ids[0]]
    assert cache.missing([]) == []


def test_an_id_without_a_row_is_named(tmp_path: Path) -> None:
    cache = group(tmp_path)
    ids = names(3)
    with pytest.raises(KeyError, match=ids[0]):
        cache.read(ids)
    cache.write(ids[:2], numbers(2))
    with pytest.raises(KeyError, match=ids[2]):
        cache.read(ids)
    rows, there = cache.find(ids)
    assert there.tolist() == [True, True, False]
    np.testing.assert_array_equal(rows[:2], numbers(2))


def test_the_form_of_a_row_is_known_after_the_first_write(tmp_path: Path) -> None:
    cache = group(tmp_path)
    assert (cache.shape, cache.dtype, cache.row_bytes) == (None, None, None)
    cache.write(names(2), np.zeros((2, 3, 5), np.float16))
    again = group(tmp_path)
    again.missing([])
    for known in (cache, again):
        assert (known.shape, known.dtype, known.row_bytes) == ((3, 5), np.float16, 30)


@pytest.mark.parametrize(
    "rows", [np.zeros((2, 5), np.float32), np.zeros((2, 4), np.float64), np.zeros((2, 1, 4), "f4")]
)
def test_rows_of_another_form_are_refused(tmp_path: Path, rows: np.ndarray) -> None:
    group(tmp_path).write(names(2), numbers(2))
    with pytest.raises(ValueError, match=r"have one form, float32 of shape \(4,\), but got"):
        group(tmp_path).write(names(2, start=2), rows)
    cache = group(tmp_path)
    cache.forget()
    assert cache.write(names(2), rows)
    assert cache.read(names(2)).shape == rows.shape


def test_rows_without_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="One row is needed for each id, but got 2 for 3 ids"):
        group(tmp_path).write(names(3), numbers(2))


@pytest.mark.parametrize("ids", [["abc"], ["zz"], ["ab", "abcd"]])
def test_ids_that_are_no_hexadecimal_numbers_are_the_plugins_error(
    tmp_path: Path, ids: list[str]
) -> None:
    with pytest.raises(PluginError, match="Sample.id must be an even number of hexadecimal"):
        group(tmp_path).write(ids, numbers(len(ids)))


def test_ids_of_another_length_than_those_that_are_there_are_the_plugins_error(
    tmp_path: Path,
) -> None:
    group(tmp_path).write(names(2), numbers(2))
    with pytest.raises(PluginError, match=r"ids of lengths \[4, 32\]"):
        group(tmp_path).write(["abcd"], numbers(1))


def test_another_key_shares_nothing(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, LIMIT)
    cache.group("ab").write(names(2), numbers(2))
    assert cache.group("cd").missing(names(2)) == names(2)


def test_the_same_rows_written_twice_are_one_file(tmp_path: Path) -> None:
    for _ in range(2):
        group(tmp_path).write(names(3), numbers(3))
    assert len(shards(tmp_path)) == 1


# Damage


def test_a_flipped_bit_anywhere_never_gives_wrong_numbers(tmp_path: Path) -> None:
    ids, rows = names(3), numbers(3)
    group(tmp_path).write(ids, rows)
    (shard,) = shards(tmp_path)
    whole = shard.read_bytes()
    harmless = 0
    for place in range(len(whole)):
        broken = bytearray(whole)
        broken[place] ^= 1 << place % 8
        shard.write_bytes(broken)
        found, there = group(tmp_path).find(ids)
        if there.any():
            np.testing.assert_array_equal(found[there], rows[there])
        harmless += there.all()
        if not there.all():
            cache = group(tmp_path)
            lacking = [int(id) for id in np.flatnonzero(~there)]
            cache.write([ids[place] for place in lacking], rows[lacking])
            np.testing.assert_array_equal(group(tmp_path).read(ids), rows)
        shutil.rmtree(tmp_path / "arrays" / "ab")
        shard.parent.mkdir()
    assert harmless < len(whole) / 10, "only padding and names in the header do not matter"


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_shard_that_was_cut_off_is_removed(tmp_path: Path, length: int) -> None:
    group(tmp_path).write(names(3), numbers(3))
    (shard,) = shards(tmp_path)
    shard.write_bytes(shard.read_bytes()[:length])
    assert group(tmp_path).missing(names(3)) == names(3)
    assert shards(tmp_path) == []


def test_a_row_that_lies_in_two_shards_survives_the_loss_of_one(tmp_path: Path) -> None:
    cache = group(tmp_path)
    cache.write(names(3), numbers(3))
    cache.write(names(2, start=1), numbers(2, start=1))
    for shard in shards(tmp_path):
        kept = shard.read_bytes()
        shard.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        rows, there = group(tmp_path).find(names(3)[1:2])
        if there.all():
            np.testing.assert_array_equal(rows, numbers(1, start=1))
        shard.write_bytes(kept)
    (first, second) = (cache.read(names(3)[1:2]), numbers(1, start=1))
    np.testing.assert_array_equal(first, second)


def test_the_directory_may_be_deleted_while_it_is_in_use(tmp_path: Path) -> None:
    cache = group(tmp_path)
    cache.write(names(3), numbers(3))
    shutil.rmtree(tmp_path / "arrays")
    _, there = cache.find(names(3))
    assert not there.any()
    assert cache.missing(names(3)) == names(3)
    assert cache.write(names(3), numbers(3))
    np.testing.assert_array_equal(cache.read(names(3)), numbers(3))


# Several at once


WRITER = """
import sys
import numpy as np
from pathlib import Path
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.jsonable import digest

cache = ArrayCache(Path(sys.argv[1]), 10**9)
group = cache.group("ab")
for start in range(40):
    places = range(start, start + 10)
    group.write([digest(place, 32) for place in places], np.full((10, 4), 7, np.float32))
    group.read([digest(place, 32) for place in places])
assert group.missing([digest(place, 32) for place in range(49)]) == []
"""


def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)]) for _ in range(2)]
    assert [process.wait() for process in running] == [0, 0]
    np.testing.assert_array_equal(group(tmp_path).read(names(49)), np.full((49, 4), 7))
    assert list(tmp_path.rglob("*.tmp")) == []


def test_what_another_process_writes_is_found(tmp_path: Path) -> None:
    cache = group(tmp_path)
    assert cache.missing(names(2)) == names(2)
    group(tmp_path).write(names(2), numbers(2))
    np.testing.assert_array_equal(cache.read(names(2)), numbers(2))


# The bound


def fill(directory: Path, keys: str, limit: int = LIMIT, start: float = 1000.0) -> None:
    """A shard of 4,000 bytes and a little for each key, used one after the other."""
    for place, key in enumerate(keys):
        cache = group(directory, key, limit)
        assert cache.write(names(10), np.zeros((10, 100), np.float32))
        for shard in shards(cache.directory):
            os.utime(shard, (start + place, start + place))


def left(directory: Path) -> str:
    return "".join(sorted(path.parent.name for path in shards(directory)))


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    fill(tmp_path, "cab")
    assert group(tmp_path, "d", limit=14_500).write(names(10), np.zeros((10, 100), np.float32))
    assert left(tmp_path) == "abd"
    assert used(tmp_path) <= 14_500


def test_reading_is_use(tmp_path: Path) -> None:
    fill(tmp_path, "cab")
    group(tmp_path, "c").read(names(10))
    assert group(tmp_path, "d", limit=14_500).write(names(10), np.zeros((10, 100), np.float32))
    assert left(tmp_path) == "bcd"


def test_a_group_that_is_held_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, "ab")
    cache = ArrayCache(tmp_path, 10_000)
    held = [cache.group("a"), cache.group("b")]
    for _ in range(3):
        assert not cache.group("c").write(names(10), np.zeros((10, 100), np.float32))
    assert left(tmp_path) == "ab"
    assert caplog.text.count("is full (10,000 bytes)") == 1
    assert "--cache-size" in caplog.text
    held.pop(0)
    assert cache.group("c").write(names(10), np.zeros((10, 100), np.float32))
    assert left(tmp_path) == "bc"


def test_what_is_cheap_leaves_room_for_what_is_dear(tmp_path: Path) -> None:
    cache = ArrayCache(tmp_path, 20_000)
    rows, features = cache.group("a", share=0.5), cache.group("b")
    kept = [
        rows.write(names(10, start=start), np.zeros((10, 100), np.float32))
        for start in (0, 10, 20)
    ]
    assert kept == [True, True, False]
    assert features.write(names(10), np.zeros((10, 100), np.float32))


def test_two_processes_that_write_stay_near_the_bound(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from automl_transfer.jsonable import digest\n"
        "from automl_transfer.training.array_cache import ArrayCache\n"
        "cache = ArrayCache(Path(sys.argv[1]), 40_000)\n"
        "for place in range(60):\n"
        "    ids = [digest(sys.argv[2] + str(place), 32)]\n"
        "    cache.group(sys.argv[2] + '%02x' % place).write(ids, np.zeros((1, 1000), 'f4'))\n"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "ab"
    ]
    assert [process.wait() for process in running] == [0, 0]
    assert 0 < used(tmp_path) <= 2 * 40_000


def test_nothing_else_in_the_directory_is_touched(tmp_path: Path) -> None:
    mine = tmp_path / "arrays" / "aa" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("x" * 5000)
    (tmp_path / "thesis.safetensors").write_text("x" * 50_000)
    fill(tmp_path, "abc", limit=10_000)
    assert mine.exists() and (tmp_path / "thesis.safetensors").exists()


def test_nothing_is_kept_without_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = group(tmp_path, limit=0)
    assert not cache.write(names(2), numbers(2))
    assert cache.missing(names(2)) == names(2)
    assert not (tmp_path / "arrays").exists()
    assert caplog.text == "", "it is what was asked for"


def test_unfinished_files_of_the_dead_are_removed(tmp_path: Path) -> None:
    home = tmp_path / "arrays" / "ab"
    home.mkdir(parents=True)
    old, new = home / "old.tmp", home / "new.tmp"
    for path in (old, new):
        path.write_text("half")
    os.utime(old, (time.time() - 7200,) * 2)
    group(tmp_path).write(names(1), numbers(1))
    assert not old.exists() and new.exists()


def test_a_directory_that_cannot_be_written_to_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    cache = ArrayCache(tmp_path / "file", LIMIT)
    for key in ("ab", "cd"):
        assert not cache.group(key).write(names(2), numbers(2))
        assert cache.group(key).missing(names(2)) == names(2)
    assert caplog.text.count("Nothing can be kept in") == 1
    assert "AUTOML_TRANSFER_CACHE_DIR" in caplog.text


def test_a_full_disk_is_told_of_once_and_leaves_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("automl_transfer.training.shard.save_file", full)
    cache = ArrayCache(tmp_path, LIMIT)
    for _ in range(2):
        assert not cache.group("ab").write(names(2), numbers(2))
    assert caplog.text.count("No space left on device") == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_usual_bound_is_20_gigabytes_or_a_tenth_of_what_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def disk(free: int):
        return lambda path: shutil._ntuple_diskusage(10**13, 10**13 - free, free)

    monkeypatch.setattr(array_cache.shutil, "disk_usage", disk(10**12))
    assert usual_limit(tmp_path / "not" / "there") == 20 * 10**9
    monkeypatch.setattr(array_cache.shutil, "disk_usage", disk(10**10))
    assert ArrayCache(tmp_path).limit_bytes == 10**9
    (tmp_path / "arrays" / "ab").mkdir(parents=True)
    (tmp_path / "arrays" / "ab" / "x.safetensors").write_bytes(b"x" * 1000)
    assert usual_limit(tmp_path / "arrays") == 10**9 + 100, "what it has taken is its own"


def test_no_warning_when_all_is_well(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        group(tmp_path).write(names(2), numbers(2))
        group(tmp_path).read(names(2))
    assert caplog.text == ""
