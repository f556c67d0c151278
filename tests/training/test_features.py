"""Frozen features: computed once, kept, and never believed when damaged."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from automl_transfer.dataset import Sample
from automl_transfer.errors import DivergedError, OutOfMemoryError, PluginError
from automl_transfer.training import matrix
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.features import FeatureKey, StoppedError, extract, extracting
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
        cache=ArrayCache(directory),
        key=KEY,
        device=CPU,
        **options,
    )


def shards(directory: Path) -> list[Path]:
    return sorted((directory / "arrays" / KEY.digest).iterdir())


def test_features_are_computed_once(tmp_path: Path) -> None:
    first, computed = run(tmp_path)
    again, none = run(tmp_path, n=20)
    assert (computed, none) == (20, 0)
    np.testing.assert_array_equal(first, again)
    more, added = run(tmp_path, n=23)
    assert added == 3
    np.testing.assert_array_equal(more[:20], first)


def test_what_was_computed_is_kept_whatever_comes_in_between(tmp_path: Path) -> None:
    def interrupt(done: int, _: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        run(tmp_path, n=2000, progress=interrupt)
    assert caught  # with all that its frames hold
    _, computed = run(tmp_path, n=2000)
    assert 0 < computed < 2000


def test_features_come_in_the_order_of_the_positions(tmp_path: Path) -> None:
    rows = row_store(n=6)
    everything, _ = run(tmp_path, rows=rows)
    found, _ = extract(
        backbone=linear(),
        rows=rows,
        positions=np.array([4, 0, 4]),
        cache=ArrayCache(tmp_path),
        key=KEY,
        device=CPU,
    )
    np.testing.assert_array_equal(found, everything[[4, 0, 4]])


@pytest.mark.parametrize(
    "other",
    [
        FeatureKey(weights="x", card="c", encoder="e"),
        FeatureKey(weights="w", card="x", encoder="e"),
        FeatureKey(weights="w", card="c", encoder="x"),
        FeatureKey(weights="w", card="c", encoder="e", view="flipped"),
        FeatureKey(weights="w", card="c", encoder="e", boundary="stage 3"),
        FeatureKey(weights="w", card="c", encoder="e", pooling="none"),
        FeatureKey(weights="w", card="c", encoder="e", dtype="float16"),
    ],
)
def test_another_key_shares_nothing(other: FeatureKey) -> None:
    assert other.digest != KEY.digest


def test_copies_are_computed_once(tmp_path: Path) -> None:
    rows = row_store(n=6)
    copies = [*rows.samples, replace(rows.samples[2], source="2")]
    seen: list[int] = []

    class Counting(nn.Linear):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            seen.append(len(batch))
            return super().forward(batch)

    found, computed = run(tmp_path, backbone(Counting(8, 5)), rows=RowStore(rows.encoder, copies))
    assert (computed, sum(seen)) == (6, 6)
    np.testing.assert_array_equal(found[6], found[2])


def test_a_search_under_another_name_computes_nothing(tmp_path: Path) -> None:
    """Neither the place of a file nor its label nor its number are part of a key."""
    first, _ = run(tmp_path, n=12)
    old = samples(12)
    moved = [replace(sample, source=str(11 - place), label=0) for place, sample in enumerate(old)]
    encoder = Arrays((8,))
    found, computed = run(tmp_path, rows=RowStore(encoder, moved, ArrayCache(tmp_path)))
    assert (computed, encoder.prepared) == (0, [])
    np.testing.assert_array_equal(found, first)


@pytest.mark.parametrize("place", [0, 9, 40, 300, -1])
def test_a_flipped_bit_costs_a_computation_and_nothing_else(tmp_path: Path, place: int) -> None:
    right, _ = run(tmp_path)
    (shard,) = shards(tmp_path)
    content = bytearray(shard.read_bytes())
    content[place] ^= 4
    shard.write_bytes(content)
    mended, computed = run(tmp_path)
    assert computed > 0
    # One sample by itself may round otherwise than among others.
    np.testing.assert_allclose(mended, right, rtol=1e-5)
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
    assert caplog.text.count("Nothing can be kept in") == 1


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


def test_ids_that_are_no_hexadecimal_numbers_are_the_plugins_error(tmp_path: Path) -> None:
    odd = [replace(sample, id="img-1") for sample in samples(1)]
    with pytest.raises(PluginError, match="Sample.id must be an even number of hexadecimal"):
        run(tmp_path, rows=RowStore(Arrays((8,)), odd))


def test_backbones_whose_width_varies_are_the_plugins_error(tmp_path: Path) -> None:
    class Growing(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            self.width = getattr(self, "width", 3) + 1
            return batch[:, : self.width]

    with pytest.raises(PluginError, match=r"features of one width, but returned \[4, 5\]"):
        run(tmp_path, backbone(Growing()))


def test_one_can_follow_it_and_stop_listening(tmp_path: Path) -> None:
    def follow():
        return extracting(
            backbone=linear(),
            rows=row_store(n=20),
            positions=np.arange(20),
            cache=ArrayCache(tmp_path),
            key=KEY,
            device=CPU,
        )

    run_ = follow()
    assert next(run_) == (8, 20)
    run_.close()
    rest = follow()
    assert [next(rest), next(rest)] == [(16, 20), (20, 20)]
    with pytest.raises(StopIteration) as end:
        next(rest)
    assert (end.value.value[0].shape, end.value.value[1]) == ((20, 5), 12)


def test_the_next_batch_is_prepared_while_the_network_computes(tmp_path: Path) -> None:
    encoder = Arrays((8,))
    second = threading.Event()

    class Watched(Arrays):
        def prepare(self, sample: Sample) -> np.ndarray:
            if sample.source == "15":
                second.set()
            return encoder.prepare(sample)

    class Waiting(nn.Linear):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            assert second.wait(20), "the second batch is not prepared before the first is done"
            return super().forward(batch)

    run(tmp_path, backbone(Waiting(8, 5)), rows=RowStore(Watched((8,)), samples(16)))


def test_a_large_matrix_is_a_file_that_nobody_has_to_remove(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, _ = run(tmp_path / "a")
    monkeypatch.setattr(matrix, "MEMORY_BYTES", 100)
    for computed in (20, 0):
        large, count = run(tmp_path / "b")
        assert count == computed
        assert isinstance(large, np.memmap) and not large.flags.writeable
        matrix.give_back(large)
        matrix.give_back(large[3:5])
        np.testing.assert_array_equal(large, small)
    assert {path.suffix for path in (tmp_path / "b").rglob("*") if path.is_file()} == {
        ".safetensors"
    }


def test_a_large_matrix_is_in_memory_where_there_is_no_room_for_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, _ = run(tmp_path)
    monkeypatch.setattr(matrix, "MEMORY_BYTES", 100)

    def full(handle: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(matrix, "_reserve", full)
    found, _ = run(tmp_path)
    assert not isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, small)


def test_no_samples_have_no_features(tmp_path: Path) -> None:
    found, computed = extract(
        backbone=linear(),
        rows=row_store(),
        positions=np.array([], dtype=np.int64),
        cache=ArrayCache(tmp_path),
        key=KEY,
        device=CPU,
    )
    assert (len(found), computed) == (0, 0)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_features_in_the_same_order(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = backbone(
        nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    )
    rows = row_store((3, 8, 8), n=1000)
    network.module(rows.encoder.batch(rows.rows([0])))

    def features(device: torch.device) -> np.ndarray:
        found, computed = extract(
            backbone=network,
            rows=rows,
            positions=np.arange(1000),
            cache=ArrayCache(tmp_path / device.type),
            key=KEY,
            device=device,
        )
        assert computed == 1000
        return found

    np.testing.assert_allclose(features(torch.device("cuda")), features(CPU), atol=3e-2)
