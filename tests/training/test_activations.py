"""Activations are computed once for each sample and view, and are never wrong."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from automl_transfer.contracts import FiniteViews
from automl_transfer.modalities.image.encoder import ImageEncoder
from automl_transfer.plan import Phase
from automl_transfer.training.activation_store import ActivationStore
from automl_transfer.training.activations import CPU_BLOCK
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.boundary import find_boundary, units
from automl_transfer.training.features import FeatureKey
from automl_transfer.training.feed import Kept
from automl_transfer.training.freeze import AppliedPhase
from automl_transfer.training.rows import RowStore
from automl_transfer.training.run import OutOfTimeError
from automl_transfer.training.stages import stages_of
from automl_transfer.training.trial import Settings
from tests.training.workshop import (
    CPU,
    STRATEGIES,
    Arrays,
    any_card,
    samples,
    toy_backbone,
    train,
)

KEY = FeatureKey(weights="w", card="c", encoder="arrays")
BY_ID = {card.id: card for card in STRATEGIES}


class Mirrored(Arrays):
    """Two views: the plain one, and its mirror image."""

    views = 2

    def choose(self, count: int, generator: torch.Generator) -> torch.Tensor:
        return (torch.rand(count, generator=generator) < 0.5).long()

    def view(self, rows, index: int) -> torch.Tensor:
        batch = super().batch(rows)
        return batch.flip(-1) if index else batch

    def batch(self, rows, generator: torch.Generator | None = None) -> torch.Tensor:
        batch = super().batch(rows)
        if generator is None:
            return batch
        mirrored = self.choose(len(rows), generator)
        return torch.where(mirrored[:, None].bool(), batch.flip(-1), batch)


def never() -> None:
    pass


class Bench:
    """A toy network cut before its last stage, and how often its frozen part has run."""

    def __init__(self, n: int = 40, encoder: Arrays | None = None) -> None:
        built = toy_backbone()
        stages = stages_of(built, any_card())
        phase = Phase(name="x", share=1.0, trains={stages[-1].name: 1.0})
        switch = AppliedPhase(built.module, stages, phase).switch
        batch = torch.randn(4, 8)
        self.boundary = find_boundary(
            built, stages, units(built.module, stages), switch, batch, CPU
        )
        self.rows = RowStore(encoder or Mirrored((8,)), samples(n))
        self.positions = np.arange(n)
        self.forwarded = 0
        built.module.block0.register_forward_pre_hook(self._count)

    def _count(self, module, arguments) -> None:
        self.forwarded += len(arguments[0])

    def open(self, store: ActivationStore, check=never, views: int = 2):
        return store.open(
            boundary=self.boundary,
            rows=self.rows,
            positions=self.positions,
            views=views,
            device=CPU,
            check=check,
        )

    def expected(self, chosen: np.ndarray, views: torch.Tensor) -> torch.Tensor:
        rows = self.rows.rows(self.positions[chosen])
        encoder = self.rows.encoder
        batches = torch.stack([encoder.view(rows, view) for view in (0, 1)])
        batch = batches[views, torch.arange(len(chosen))]
        return self.boundary.before(batch)[0]


CHOSEN = np.array([3, 39, 3, 17, 0])
VIEWS = torch.tensor([0, 1, 1, 0, 1])


def cache(directory, limit_bytes: int = 10**8) -> ArrayCache:
    return ArrayCache(directory, limit_bytes)


@pytest.mark.parametrize("where", ["memory", "disk", "both"])
def test_each_view_of_each_sample_is_computed_once(tmp_path, where: str) -> None:
    bench = Bench()
    store = ActivationStore(
        cache=None if where == "memory" else cache(tmp_path),
        key=KEY,
        memory_bytes=0 if where == "disk" else 10**8,
    )
    opened = bench.open(store)
    assert bench.forwarded == 80
    assert opened.held == (where != "disk")
    (values,) = opened.gather(CHOSEN, VIEWS)
    again = bench.open(store)
    torch.testing.assert_close(again.gather(CHOSEN, VIEWS)[0], values, rtol=0, atol=0)
    assert bench.forwarded == 80
    torch.testing.assert_close(values, bench.expected(CHOSEN, VIEWS))


def test_what_a_batch_does_to_its_values_does_not_reach_what_is_kept(tmp_path) -> None:
    bench = Bench()
    opened = bench.open(ActivationStore(cache=None, key=KEY))
    before = opened.gather(CHOSEN, VIEWS)[0].clone()
    opened.gather(CHOSEN, VIEWS)[0].zero_()
    torch.testing.assert_close(opened.gather(CHOSEN, VIEWS)[0], before)


def test_another_process_finds_them_on_disk(tmp_path) -> None:
    first = Bench()
    values = first.open(ActivationStore(cache=cache(tmp_path), key=KEY)).gather(CHOSEN, VIEWS)
    second = Bench()
    found = second.open(ActivationStore(cache=cache(tmp_path), key=KEY)).gather(CHOSEN, VIEWS)
    assert second.forwarded == 0
    torch.testing.assert_close(found, values, rtol=0, atol=0)


def test_more_samples_cost_only_their_own_passes(tmp_path) -> None:
    Bench(n=40).open(ActivationStore(cache=cache(tmp_path), key=KEY))
    larger = Bench(n=44)
    larger.open(ActivationStore(cache=cache(tmp_path), key=KEY))
    assert larger.forwarded == 2 * 4


@pytest.mark.parametrize("change", ["weights", "card", "encoder"])
def test_other_weights_or_inputs_are_other_activations(tmp_path, change: str) -> None:
    Bench().open(ActivationStore(cache=cache(tmp_path), key=KEY))
    other = Bench()
    store = ActivationStore(cache=cache(tmp_path), key=KEY)
    other.open(store.of_backbone(replace(KEY, **{change: "other"})))
    assert other.forwarded == 80


@pytest.mark.parametrize("when", ["while in use", "before loading"])
def test_a_deleted_cache_costs_time_only(tmp_path, when: str) -> None:
    bench = Bench()
    store = ActivationStore(cache=cache(tmp_path), key=KEY, memory_bytes=0)
    opened = bench.open(store)
    kept = Kept(activations=opened, boundary=bench.boundary, rows=bench.rows, device=CPU)
    generator = torch.Generator().manual_seed(0)
    loaded = kept.load(CHOSEN, generator)
    expected = kept.features(CHOSEN, loaded)
    shutil.rmtree(tmp_path)
    if when == "before loading":
        opened = bench.open(ActivationStore(cache=cache(tmp_path), key=KEY, memory_bytes=0))
        kept = Kept(activations=opened, boundary=bench.boundary, rows=bench.rows, device=CPU)
        shutil.rmtree(tmp_path)
    torch.manual_seed(0)
    loaded = kept.load(CHOSEN, torch.Generator().manual_seed(0))
    assert loaded[1] is None
    torch.testing.assert_close(
        opened.compute(CHOSEN, loaded[0])[0], bench.expected(CHOSEN, loaded[0])
    )
    assert kept.features(CHOSEN, loaded).shape == expected.shape


def test_a_fill_that_is_broken_off_goes_on_where_it_stopped(tmp_path) -> None:
    left = 1

    def check() -> None:
        nonlocal left
        if not left:
            raise OutOfTimeError("over")
        left -= 1

    bench = Bench()
    with pytest.raises(OutOfTimeError):
        bench.open(ActivationStore(cache=cache(tmp_path), key=KEY), check)
    assert bench.forwarded == 2 * CPU_BLOCK
    opened = bench.open(ActivationStore(cache=cache(tmp_path), key=KEY))
    assert bench.forwarded == 80
    whole = Bench().open(ActivationStore(cache=None, key=KEY))
    for view in (0, 1):
        everything = (np.arange(40), torch.full((40,), view))
        assert torch.equal(opened.gather(*everything)[0], whole.gather(*everything)[0])


def test_what_is_larger_than_allowed_is_not_kept(tmp_path) -> None:
    bench = Bench()
    size = 40 * 2 * 8 * 4
    for disk, kept in ((cache(tmp_path), True), (None, True)):
        fits = ActivationStore(cache=disk, key=KEY, limit_bytes=size)
        assert (bench.open(fits) is not None) == kept
        assert bench.open(ActivationStore(cache=disk, key=KEY, limit_bytes=size - 1)) is None
    assert bench.open(ActivationStore(cache=None, key=KEY, memory_bytes=size - 1)) is None


def test_half_precision_is_used_where_it_is_asked_for_and_fits() -> None:
    bench = Bench()
    opened = bench.open(ActivationStore(cache=None, key=KEY, dtype="float16"))
    (values,) = opened.gather(CHOSEN, VIEWS)
    assert values.dtype == torch.float16
    torch.testing.assert_close(values.float(), bench.expected(CHOSEN, VIEWS), rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        bench.boundary.backbone.module.block1[0].weight.mul_(1e7)
    store = ActivationStore(cache=None, key=replace(KEY, weights="large"), dtype="float16")
    (large,) = bench.open(store).gather(CHOSEN, VIEWS)
    assert large.dtype == torch.float32
    assert large.max() > 1e5


def test_memory_lets_go_of_what_was_used_longest_ago() -> None:
    bench = Bench()
    size = 40 * 2 * 8 * 4
    store = ActivationStore(cache=None, key=KEY, memory_bytes=2 * size)
    for weights in ("a", "b", "a", "c"):
        bench.open(store.of_backbone(replace(KEY, weights=weights)))
    assert bench.forwarded == 3 * 80
    bench.open(store.of_backbone(replace(KEY, weights="a")))
    assert bench.forwarded == 3 * 80
    bench.open(store.of_backbone(replace(KEY, weights="b")))
    assert bench.forwarded == 4 * 80
    assert store.memory.bytes <= 2 * size


def test_samples_of_equal_content_share_a_row() -> None:
    bench = Bench(n=6)
    bench.positions = np.array([1, 2, 1, 5])
    opened = bench.open(ActivationStore(cache=None, key=KEY), views=1)
    assert bench.forwarded == 3
    (values,) = opened.gather(np.array([0, 2]), torch.tensor([0, 0]))
    assert torch.equal(values[0], values[1])


class Noisy(Mirrored):
    views = 0


@pytest.mark.parametrize(
    ("encoder", "used"), [(Mirrored((8,)), True), (Noisy((8,)), False)], ids=["two", "no end"]
)
def test_training_is_the_same_with_and_without(encoder: Arrays, used: bool) -> None:
    def trained(activations: ActivationStore | None):
        return train(
            toy_backbone(),
            BY_ID["last-stages"],
            encoder=encoder,
            n=60,
            evaluate=used,
            settings=Settings(epochs=6, head_epochs=5, batch_size=8, seed=2),
            activations=activations,
        ).result

    store = ActivationStore(cache=None, key=KEY)
    kept, recomputed = trained(store), trained(None)
    assert (store.memory.bytes > 0) == used
    for one, other in zip(
        kept.model.state_dict().values(), recomputed.model.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("augment", ["none", "flip", "crop", "crop-flip"])
def test_a_batch_of_images_is_made_of_their_views(augment: str) -> None:
    card = {"size": [3, 8, 8], "mean": [0.5] * 3, "std": [0.5] * 3}
    encoder = ImageEncoder.make(".", card, {"augment": augment})
    assert isinstance(encoder, FiniteViews)
    assert encoder.views == {"none": 1, "flip": 2}.get(augment, 0)
    rows = list(np.random.default_rng(0).integers(0, 256, (16, 8, 8, 3), dtype=np.uint8))
    torch.testing.assert_close(encoder.view(rows, 0), encoder.batch(rows))
    if not encoder.views:
        return
    batch = encoder.batch(rows, torch.Generator().manual_seed(1))
    chosen = encoder.choose(len(rows), torch.Generator().manual_seed(1))
    assert set(chosen.tolist()) == set(range(encoder.views))
    views = torch.stack([encoder.view(rows, index) for index in range(encoder.views)])
    torch.testing.assert_close(batch, views[chosen, torch.arange(len(rows))])
