"""Prepared rows: made once, whatever happens to what is kept of them."""

from __future__ import annotations

import gc
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl_transfer.dataset import Sample
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.kept_rows import MemoryBudget
from automl_transfer.training.row_keeper import RowKeeper
from automl_transfer.training.rows import RowStore
from tests.training.workshop import Arrays, samples

NONE = 0
ROW = 4 * 8
"""Bytes of a row of eight numbers."""


def store(encoder: Arrays, n: int, directory: Path | None, memory: int = NONE) -> RowStore:
    cache = None if directory is None else ArrayCache(directory)
    return RowStore(encoder, samples(n), cache, MemoryBudget(memory))


def right(n: int) -> list[np.ndarray]:
    return [Arrays((8,)).prepare(sample) for sample in samples(n)]


def test_rows_come_in_the_order_of_the_positions() -> None:
    found = store(Arrays((8,)), 6, None).rows([3, 1, 3])
    np.testing.assert_array_equal(found, np.stack(right(6))[[3, 1, 3]])


def test_in_memory_rows_are_prepared_once_up_to_the_limit() -> None:
    encoder = Arrays((8,))
    rows = store(encoder, 6, None, memory=4 * ROW)
    rows.rows([3, 1, 3])
    rows.rows([1, 3])
    assert sorted(encoder.prepared) == ["1", "3"]
    rows.rows(range(6))
    rows.rows(range(6))
    assert len(encoder.prepared) == 2 + 4 + 2, "two of six find no room"


def test_on_disk_rows_are_prepared_once_for_all_processes(tmp_path: Path) -> None:
    encoder = Arrays((8,))
    first = store(encoder, 6, tmp_path)
    first.rows([0, 1, 2])
    np.testing.assert_array_equal(first.rows(range(6)), right(6))
    first.flush()
    again = store(encoder, 6, tmp_path)
    np.testing.assert_array_equal(again.rows([5, 0]), np.stack(right(6))[[5, 0]])
    assert len(encoder.prepared) == 6


def test_more_data_cost_their_own_preparation_only(tmp_path: Path) -> None:
    first = store(Arrays((8,)), 20, tmp_path)
    first.rows(range(20))
    first.flush()
    encoder = Arrays((8,))
    np.testing.assert_array_equal(store(encoder, 22, tmp_path).rows(range(22)), right(22))
    assert sorted(encoder.prepared) == ["20", "21"]


def test_copies_are_prepared_once() -> None:
    encoder = Arrays((8,))
    one, two = samples(2)
    rows = RowStore(encoder, [one, two, replace(one, source="0")], None, MemoryBudget(NONE))
    found = rows.rows([0, 1, 2])
    np.testing.assert_array_equal(found[0], found[2])
    assert sorted(encoder.prepared) == ["0", "1"]


def test_encoders_that_prepare_something_else_share_nothing(tmp_path: Path) -> None:
    class Other(Arrays):
        pass

    first = store(Arrays((8,)), 3, tmp_path)
    first.rows(range(3))
    first.flush()
    for encoder in (Arrays((8,), digest="else"), Other((8,))):
        store(encoder, 3, tmp_path).rows(range(3))
        assert len(encoder.prepared) == 3


def test_encoders_that_differ_in_what_comes_later_share_rows(tmp_path: Path) -> None:
    first, second = Arrays((8,), digest="a"), Arrays((8,), digest="b")
    first.rows_digest = second.rows_digest = "same"
    rows = store(first, 3, tmp_path)
    rows.rows(range(3))
    rows.flush()
    np.testing.assert_array_equal(rows.seen_by(second).rows(range(3)), right(3))
    np.testing.assert_array_equal(store(second, 3, tmp_path).rows(range(3)), right(3))
    assert second.prepared == []


def test_rows_are_shared_by_training_views_and_by_no_one_else() -> None:
    encoder = Arrays((8,))
    rows = store(encoder, 3, None, memory=3 * ROW)
    rows.rows([0, 1, 2])
    other = rows.seen_by(Arrays((8,), noise=1.0))
    np.testing.assert_array_equal(other.rows([1])[0], rows.rows([1])[0])
    assert len(encoder.prepared) == 3
    with pytest.raises(ValueError, match="encoders that prepare the same, but got 'else'"):
        rows.seen_by(Arrays((8,), digest="else"))


def test_a_cache_that_is_deleted_costs_time_only(tmp_path: Path) -> None:
    encoder = Arrays((8,))
    rows = store(encoder, 6, tmp_path)
    rows.rows(range(6))
    rows.flush()
    shutil.rmtree(tmp_path)
    np.testing.assert_array_equal(rows.rows(range(6)), right(6))
    assert len(encoder.prepared) == 12


def test_a_damaged_row_is_prepared_again(tmp_path: Path) -> None:
    encoder = Arrays((8,))
    rows = store(encoder, 6, tmp_path)
    rows.rows(range(6))
    rows.flush()
    (shard,) = tmp_path.rglob("*.safetensors")
    content = bytearray(shard.read_bytes())
    content[-150] ^= 8
    shard.write_bytes(content)
    np.testing.assert_array_equal(rows.rows(range(6)), right(6))


def test_rows_of_several_shapes_are_kept_as_far_as_they_fit(tmp_path: Path) -> None:
    class Varied(Arrays):
        def prepare(self, sample: Sample) -> np.ndarray:
            row = super().prepare(sample)
            return row[: 3 if int(sample.source) % 2 else 8]

    encoder = Varied((8,))
    rows = store(encoder, 6, tmp_path)
    for _ in range(2):
        assert [len(row) for row in rows.rows(range(6))] == [8, 3, 8, 3, 8, 3]
        rows.flush()
    assert len(encoder.prepared) == 6 + 3, "rows of the first shape only are on disk"


def test_memory_is_shared_by_all_stores_and_given_back() -> None:
    budget = MemoryBudget(5 * ROW)
    encoder = Arrays((8,))
    first = RowStore(encoder, samples(4), None, budget)
    first.rows(range(4))
    second = RowStore(Arrays((8,)), samples(4), None, budget)
    second.rows(range(4))
    assert not budget.take(1)
    del first
    gc.collect()
    assert budget.take(4 * ROW) and not budget.take(1)


def test_rows_may_be_asked_for_from_many_threads(tmp_path: Path) -> None:
    rows = store(Arrays((8,)), 40, tmp_path, memory=20 * ROW)
    barrier = threading.Barrier(4)

    def ask(seed: int) -> list[np.ndarray]:
        barrier.wait()
        order = np.random.default_rng(seed).permutation(40)
        return [row for start in range(0, 40, 8) for row in rows.rows(order[start : start + 8])]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    for seed, answer in enumerate(found):
        order = np.random.default_rng(seed).permutation(40)
        np.testing.assert_array_equal(answer, np.stack(right(40))[order])


# What a modality hands over


def test_rows_that_were_handed_over_are_not_prepared(tmp_path: Path) -> None:
    encoder = Arrays((8,))
    keeper = RowKeeper(ArrayCache(tmp_path))
    ids = [sample.id for sample in samples(4)]
    assert not keeper.has(encoder, ids[0])
    assert keeper.keep(encoder, ids[:2], np.stack(right(2)))
    again = RowKeeper(ArrayCache(tmp_path))
    assert [again.has(encoder, id) for id in ids] == [True, True, False, False]
    assert not again.has(Arrays((8,), digest="else"), ids[0])
    np.testing.assert_array_equal(store(encoder, 4, tmp_path).rows(range(4)), right(4))
    assert sorted(encoder.prepared) == ["2", "3"]


def test_there_is_no_room_in_a_cache_that_is_switched_off(tmp_path: Path) -> None:
    keeper = RowKeeper(ArrayCache(tmp_path, 0))
    assert not keeper.keep(Arrays((8,)), [samples(1)[0].id], np.stack(right(1)))
