"""Frozen features: computed once, kept, and never believed when damaged."""

from __future__ import annotations

import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from automl_transfer.dataset import Sample
from automl_transfer.errors import DivergedError, OutOfMemoryError, PluginError
from automl_transfer.jsonable import digest
from automl_transfer.training.features import FeatureCache, FeatureKey, StoppedError, extract
from automl_transfer.training.rows import RowStore
from tests.training.test_trial import Failing
from tests.training.workshop import CPU, Arrays, backbone, row_store, samples

KEY = FeatureKey(weights="w", card="c", encoder="e")


def linear(width: int = 5):
    torch.manual_seed(0)
    return backbone(nn.Linear(8, width))


def run(directory: Path, network=None, n: int = 20, rows: RowStore | None = None, **options):
    rows = rows or row_store(n=n)
    return extract(
        backbone=network or linear(),
        rows=rows,
        positions=np.arange(len(rows.samples)),
        cache=FeatureCache(directory),
        key=KEY,
        device=CPU,
        **options,
    )


def shards(directory: Path) -> list[Path]:
    return sorted((directory / KEY.digest).iterdir())


def test_features_are_computed_once(tmp_path: Path) -> None:
    first, computed = run(tmp_path)
    again, none = run(tmp_path, n=20)
    assert (computed, none) == (20, 0)
    np.testing.assert_array_equal(first, again)
    more, added = run(tmp_path, n=23)
    assert added == 3
    np.testing.assert_array_equal(more[:20], first)


def test_features_come_in_the_order_of_the_positions(tmp_path: Path) -> None:
    rows = row_store(n=6)
    everything, _ = run(tmp_path, rows=rows)
    found, _ = extract(
        backbone=linear(),
        rows=rows,
        positions=np.array([4, 0, 4]),
        cache=FeatureCache(tmp_path),
        key=KEY,
        device=CPU,
    )
    np.testing.assert_array_equal(found, everything[[4, 0, 4]])


def test_another_key_shares_nothing(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.write(KEY, ["00"], np.zeros((1, 2), np.float32))
    others = [
        FeatureKey(weights="x", card="c", encoder="e"),
        FeatureKey(weights="w", card="x", encoder="e"),
        FeatureKey(weights="w", card="c", encoder="x"),
        FeatureKey(weights="w", card="c", encoder="e", view="flipped"),
    ]
    assert [cache.read(key) for key in others] == [{}] * 4


@pytest.mark.parametrize("place", [0, 9, 40, -1])
def test_a_flipped_bit_costs_a_computation_and_nothing_else(tmp_path: Path, place: int) -> None:
    right, _ = run(tmp_path)
    (shard,) = shards(tmp_path)
    content = bytearray(shard.read_bytes())
    content[place] ^= 4
    shard.write_bytes(content)
    mended, computed = run(tmp_path)
    assert computed == 20
    np.testing.assert_array_equal(mended, right)
    assert run(tmp_path)[1] == 0


@pytest.mark.parametrize("length", [0, 5, 100])
def test_a_shard_that_was_cut_off_is_made_again(tmp_path: Path, length: int) -> None:
    right, _ = run(tmp_path)
    (shard,) = shards(tmp_path)
    shard.write_bytes(shard.read_bytes()[:length])
    mended, computed = run(tmp_path)
    assert computed == 20
    np.testing.assert_array_equal(mended, right)


def test_a_network_of_another_width_behind_the_same_card_is_computed_again(tmp_path: Path) -> None:
    run(tmp_path, n=20)
    found, computed = run(tmp_path, linear(width=7), n=24)
    assert (found.shape, computed) == ((24, 7), 24)
    assert run(tmp_path, linear(width=7), n=24)[1] == 0


def test_a_directory_that_cannot_be_written_to_makes_it_slower_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    found, computed = run(tmp_path / "file")
    assert (found.shape, computed) == ((20, 5), 20)
    assert "Features cannot be kept" in caplog.text


def _write_many(directory: str) -> int:
    cache = FeatureCache(Path(directory))
    for start in range(20):
        ids = [digest(start + place, 32) for place in range(10)]
        cache.write(KEY, ids, np.full((10, 4), 1.0, np.float32))
        cache.read(KEY)
    return len(cache.read(KEY))


def test_two_threads_may_write_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(_write_many, [str(tmp_path)] * 2))
    assert counts == [29, 29]
    assert all(path.suffix == ".safetensors" for path in shards(tmp_path))


@pytest.mark.slow
def test_two_processes_may_write_at_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        counts = list(pool.map(_write_many, [str(tmp_path)] * 2))
    assert counts == [29, 29]
    assert all(path.suffix == ".safetensors" for path in shards(tmp_path))


def test_what_was_done_before_the_stop_is_kept(tmp_path: Path) -> None:
    passes: list[None] = []

    def should_stop() -> bool:
        passes.append(None)
        return len(passes) == 2

    with pytest.raises(StoppedError, match="Stopped after 16 of 20 samples"):
        run(tmp_path, should_stop=should_stop)
    assert run(tmp_path)[1] == 4


def test_what_was_done_before_a_crash_is_kept(tmp_path: Path) -> None:
    class Broken(Arrays):
        def prepare(self, sample: Sample) -> np.ndarray:
            if sample.source == "17":
                raise OSError("gone")
            return super().prepare(sample)

    with pytest.raises(OSError, match="gone"):
        run(tmp_path, rows=RowStore(Broken((8,)), samples(20)))
    assert run(tmp_path)[1] == 4


def test_progress_ends_at_the_number_of_samples(tmp_path: Path) -> None:
    run(tmp_path, n=5)
    told: list[tuple[int, int]] = []
    run(tmp_path, n=20, progress=lambda done, total: told.append((done, total)))
    assert told == [(13, 20), (20, 20)]


@pytest.mark.parametrize("most", [1, 3, 7])
def test_smaller_batches_are_tried_when_memory_runs_out(tmp_path: Path, most: int) -> None:
    found, computed = run(tmp_path, backbone(Failing(most)))
    assert (found.shape, computed) == ((20, 8), 20)


def test_one_sample_that_does_not_fit_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutOfMemoryError, match="One sample must fit into memory"):
        run(tmp_path, backbone(Failing(0)))


def test_a_feature_that_is_not_finite_names_its_sample(tmp_path: Path) -> None:
    class Exploding(nn.Linear):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            found = super().forward(batch)
            found[-1, 0] = float("inf")
            return found

    with pytest.raises(DivergedError, match="must be finite, but those of '7' are not"):
        run(tmp_path, backbone(Exploding(8, 4)))


def test_features_of_another_form_are_the_plugins_error(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"shape \(8, width\), but returned \(8, 8, 1\)"):
        run(tmp_path, backbone(nn.Unflatten(1, (8, 1))))


@pytest.mark.parametrize("ids", [["abc"], ["zz"], ["ab", "abcd"]])
def test_ids_that_are_no_hexadecimal_numbers_are_the_plugins_error(
    tmp_path: Path, ids: list[str]
) -> None:
    with pytest.raises(PluginError, match="Sample.id must be an even number of hexadecimal"):
        FeatureCache(tmp_path).write(KEY, ids, np.zeros((len(ids), 2), np.float32))


def test_rows_are_prepared_once_up_to_the_limit() -> None:
    encoder = Arrays((8,))
    rows = RowStore(encoder, samples(6), limit_bytes=4 * 32)
    first = rows.rows([3, 1, 3])
    np.testing.assert_array_equal(first[0], first[2])
    rows.rows([1, 3])
    assert sorted(encoder.prepared) == ["1", "3"]
    rows.rows(range(6))
    rows.rows(range(6))
    assert len(encoder.prepared) == 2 + 4 + 2, "two of six find no room"


def test_rows_are_shared_by_training_views_and_by_no_one_else() -> None:
    encoder = Arrays((8,))
    rows = RowStore(encoder, samples(3))
    rows.rows([0, 1, 2])
    other = rows.seen_by(Arrays((8,), noise=1.0))
    np.testing.assert_array_equal(other.rows([1])[0], rows.rows([1])[0])
    assert len(encoder.prepared) == 3
    with pytest.raises(ValueError, match="encoders of one plain view, but got 'else'"):
        rows.seen_by(Arrays((8,), digest="else"))


def test_rows_may_be_asked_for_from_many_threads() -> None:
    rows = RowStore(Arrays((8,)), samples(40), limit_bytes=40 * 32)
    barrier = threading.Barrier(4)

    def ask(seed: int) -> list[np.ndarray]:
        barrier.wait()
        return rows.rows(np.random.default_rng(seed).permutation(40))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    for seed, answer in enumerate(found):
        order = np.random.default_rng(seed).permutation(40)
        expected = RowStore(Arrays((8,)), samples(40)).rows(order)
        np.testing.assert_array_equal(answer, expected)
    assert rows._memory.bytes == 40 * 32
