"""One pass gives features and the activations from which last stages are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from automl_transfer.plan import FreezePlan, Phase
from automl_transfer.training.activation_store import ActivationStore
from automl_transfer.training.activations import Activations
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.boundary import find_boundary, units
from automl_transfer.training.features import FeatureKey, extract, extracting
from automl_transfer.training.freeze import AppliedPhase
from automl_transfer.training.rows import RowStore
from automl_transfer.training.stages import stages_of
from automl_transfer.training.taps import Tap, tap_for
from tests.training.workshop import CPU, Arrays, any_card, samples, toy_backbone

KEY = FeatureKey(weights="w", card="c", encoder="arrays")


def convolutional() -> Any:
    """EfficientNet on small inputs, random weights."""
    import timm

    from automl_transfer.backbones.networks import Network, seeded
    from automl_transfer.backbones.timm_stages import stages

    with seeded(0):
        module = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    return Network(
        module=module.eval(), forward=lambda module, batch: module(batch), stages=stages(module)
    )


class Bench:
    """A network, its data, and a tap where its last stage begins."""

    def __init__(self, directory: Path, network: Any, shape: tuple[int, ...], n: int = 20) -> None:
        self.backbone = network
        self.stages = stages_of(network, any_card())
        self.rows = RowStore(Arrays(shape), samples(n))
        self.positions = np.arange(n)
        self.cache = ArrayCache(directory, 10**9)
        self.store = ActivationStore(cache=self.cache, key=KEY)
        trains = {self.stages[-1].name: 1.0}
        self.plan = FreezePlan(phases=(Phase(name="last", share=1.0, trains=trains),))

    def tap(self) -> Tap | None:
        return tap_for(
            backbone=self.backbone,
            stages=self.stages,
            plan=self.plan,
            rows=self.rows,
            positions=self.positions,
            store=self.store,
            device=CPU,
        )

    def extract(self, tap: Tap | None, positions: np.ndarray | None = None) -> np.ndarray:
        steps = extracting(
            backbone=self.backbone,
            rows=self.rows,
            positions=self.positions if positions is None else positions,
            cache=self.cache,
            key=KEY,
            device=CPU,
            tap=tap,
        )
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return np.asarray(end.value[0])

    def opened(self) -> tuple[Any, Activations]:
        """As a training would find them."""
        phase = self.plan.phases[0]
        switch = AppliedPhase(self.backbone.module, self.stages, phase).switch
        batch = self.rows.encoder.batch(self.rows.rows(self.positions[:5]))
        if batch.dim() == 4:
            batch = batch.to(memory_format=torch.channels_last)
        found = find_boundary(
            self.backbone,
            self.stages,
            units(self.backbone.module, self.stages),
            switch,
            batch,
            CPU,
        )
        kept = self.store.open(
            boundary=found,  # type: ignore[arg-type]
            rows=self.rows,
            positions=self.positions,
            views=1,
            device=CPU,
            check=lambda: None,
        )
        assert kept is not None
        return found, kept


@pytest.fixture(params=["toy", "convolutional"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    if request.param == "toy":
        return Bench(tmp_path, toy_backbone(), (8,))
    return Bench(tmp_path, convolutional(), (3, 64, 64))


def count_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []
    forward = Activations._forward

    def counted(self: Activations, ids: Any, view: int) -> Any:
        seen.append(len(ids))
        return forward(self, ids, view)

    monkeypatch.setattr(Activations, "_forward", counted)
    return seen


def test_training_finds_what_the_tap_has_kept(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = count_passes(monkeypatch)
    tap = bench.tap()
    assert tap is not None
    features = bench.extract(tap)
    boundary, kept = bench.opened()
    assert seen == []
    bench.backbone.module.eval()
    values = kept.gather(bench.positions, torch.zeros(len(bench.positions), dtype=torch.int64))
    with torch.no_grad():
        after = boundary.after(values).numpy()
    assert after == pytest.approx(features, rel=1e-4, abs=1e-5)


def test_features_are_the_same_with_and_without_a_tap(bench: Bench, tmp_path: Path) -> None:
    with_tap = bench.extract(bench.tap())
    plain, computed = extract(
        backbone=bench.backbone,
        rows=bench.rows,
        positions=bench.positions,
        cache=ArrayCache(tmp_path / "other", 10**9),
        key=KEY,
        device=CPU,
    )
    assert computed == len(bench.positions)
    assert np.array_equal(with_tap, plain)
    assert not any(p.requires_grad is False for p in bench.backbone.module.parameters())


def test_only_what_no_pass_has_seen_is_computed_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = count_passes(monkeypatch)
    bench.extract(None, bench.positions[:6])
    bench.extract(bench.tap())
    bench.opened()
    assert sum(seen) == 6


def test_a_batch_that_broke_off_ends_the_tap(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = count_passes(monkeypatch)
    tap = bench.tap()
    assert tap is not None
    with tap.listening(), torch.no_grad():
        bench.backbone.features(bench.rows.encoder.batch(bench.rows.rows([0, 1, 2])))
    bench.extract(tap)  # its first batch is not the one that was noted
    bench.opened()
    assert sum(seen) == len(bench.positions)


def test_a_plan_that_trains_everything_has_no_tap(bench: Bench) -> None:
    trains = {stage.name: 1.0 for stage in bench.stages}
    bench.plan = FreezePlan(phases=(Phase(name="all", share=1.0, trains=trains),))
    assert bench.tap() is None
