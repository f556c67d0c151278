"""A network is cut where its frozen part ends, and trains from there as it would have."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from torch import nn

from automl_transfer.backbones import timm_stages
from automl_transfer.backbones.networks import Network
from automl_transfer.contracts import Stage
from automl_transfer.plan import Adapter, FreezePlan, Phase, from_probed_head
from automl_transfer.training import adapters
from automl_transfer.training.activation_store import ActivationStore
from automl_transfer.training.boundary import Boundary, Uncut, find_boundary, units
from automl_transfer.training.features import FeatureKey
from automl_transfer.training.freeze import AppliedPhase
from automl_transfer.training.stages import stages_of
from automl_transfer.training.trial import Settings
from tests.training.workshop import (
    CPU,
    STRATEGIES,
    any_card,
    backbone,
    state,
    toy_backbone,
    train,
)

BY_ID = {card.id: card for card in STRATEGIES}
KEY = FeatureKey(weights="w", card="c", encoder="arrays")
SMALL = {
    "tf_efficientnet_lite0": {},
    "vit_tiny_patch16_224": {"img_size": 32, "depth": 4, "embed_dim": 24, "num_heads": 2},
    "resnet18": {"channels": (8, 16, 24, 32)},
    "convnext_atto": {"dims": (8, 12, 16, 24)},
    "mobilenetv2_100": {},
}


def of_timm(name: str) -> Network:
    torch.manual_seed(0)
    module = timm.create_model(name, num_classes=0, drop_path_rate=0.1, **SMALL[name]).eval()
    return Network(
        module=module, forward=lambda module, x: module(x), stages=timm_stages.stages(module)
    )


def of_torchvision() -> Network:
    from automl_transfer.backbones.torchvision import _network

    return _network({"architecture": "resnet18"}, None, 0)


def of_transformers() -> Network:
    from automl_transfer.backbones.transformers import _random

    tower = {
        "model_type": "vit",
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "image_size": 32,
    }
    return _random({"config": tower}, 0)


NETWORKS = {name: (lambda name=name: of_timm(name)) for name in SMALL} | {
    "torchvision": of_torchvision,
    "transformers": of_transformers,
    "toy": toy_backbone,
}


def images(n: int, shape: tuple[int, ...] = (3, 32, 32)) -> torch.Tensor:
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(n))


def cut(built, trains: int = 1, shape: tuple[int, ...] = (3, 32, 32), **options):
    stages = stages_of(built, any_card())
    chosen = {stage.name: 1.0 for stage in stages[-trains:]}
    applied = AppliedPhase(
        built.module, stages, Phase(name="x", share=1.0, trains=chosen, **options)
    )
    paths = units(built.module, stages)
    found = find_boundary(built, stages, paths, applied.switch, images(4, shape), CPU)
    return found, applied


@pytest.mark.parametrize("name", NETWORKS)
def test_the_two_parts_of_a_network_are_the_network(name: str) -> None:
    built = NETWORKS[name]()
    shape = (8,) if name == "toy" else (3, 32, 32)
    found, _ = cut(built, shape=shape)
    assert isinstance(found, Boundary), found
    assert len(found.stages) == len(stages_of(built, any_card())) - 1
    built.module.eval()
    batch = images(5, shape)
    with torch.no_grad():
        values = found.before(batch)
        assert [tuple(value.shape[1:]) for value in values] == list(found.shapes)
        torch.testing.assert_close(found.after(values), built.features(batch))
        assert found.numbers == sum(value[0].numel() for value in values)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "transformers"])
def test_what_lies_before_the_border_is_not_run_again(name: str) -> None:
    built = NETWORKS[name]()
    found, applied = cut(built)
    values = found.before(images(3))
    for module in found.modules:
        for child in module.children():
            child.register_forward_pre_hook(lambda *_: pytest.fail("a frozen module ran"))
    applied.switch()
    found.after(values).sum().backward()
    parameters = dict(built.module.named_parameters())
    with_gradient = {name for name, tensor in parameters.items() if tensor.grad is not None}
    assert with_gradient == {name for name in parameters if name in applied.trainable}
    assert "forward" not in {key for module in found.modules for key in vars(module)}


def test_gradients_are_those_of_the_whole_network() -> None:
    built = of_timm("vit_tiny_patch16_224")
    found, applied = cut(built, trains=2)
    built.module.eval()

    def gradients(features: torch.Tensor) -> list[torch.Tensor]:
        built.module.zero_grad()
        features.square().sum().backward()
        tensors = dict(built.module.named_parameters())
        return [tensors[name].grad.clone() for name in sorted(applied.trainable)]

    batch = images(4)
    whole = gradients(built.features(batch))
    assert whole
    torch.testing.assert_close(gradients(found.after(found.before(batch))), whole)


def test_the_border_lies_before_what_varies_and_not_only_before_what_learns() -> None:
    built = toy_backbone()
    stages = stages_of(built, any_card())
    phase = Phase(name="x", share=1.0, trains={stages[-1].name: 1.0})
    applied = AppliedPhase(built.module, stages, phase)

    def with_dropout() -> None:
        applied.switch()
        built.module.block1[3].train()

    paths = units(built.module, stages)
    found = find_boundary(built, stages, paths, with_dropout, images(4, (8,)), CPU)
    assert isinstance(found, Boundary)
    assert found.path == "block0"


def test_a_border_is_found_beneath_adapters() -> None:
    built = of_timm("vit_tiny_patch16_224")
    stages = stages_of(built, any_card())
    paths = units(built.module, stages)
    multipliers = dict.fromkeys(stages[-1].tensors, 1.0)
    adapters.insert(built.module, Adapter(rank=2, alpha=4.0), multipliers)
    found = find_boundary(
        built, stages, paths, lambda: adapters.switch(built.module), images(4), CPU
    )
    assert isinstance(found, Boundary)
    assert found.path == "blocks.2"


class Skipping(nn.Module):
    """The last layer also sees the first one's output: two values cross the border."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.middle = nn.Linear(8, 8)
        self.last = nn.Linear(8, 8)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        early = self.first(batch)
        return self.last(self.middle(early) + early)


class Early(nn.Module):
    """A tensor of the last stage is used before the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8))
        self.first = nn.Linear(8, 8)
        self.last = nn.Linear(8, 8)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(batch * self.scale))


class Counted(nn.Module):
    """The number of samples is read before the border and used behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.last = nn.Linear(8, 8)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        count = len(batch)
        return self.last(self.first(batch)).reshape(count, -1)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.last = nn.Linear(8, 8)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(self.first(batch)))


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Skipping(), "more than the output of 'middle' crosses the border"),
        (Counted(), "more than the output of 'first' crosses the border"),
        (Twice(), "'first' is called more than once"),
    ],
)
def test_what_cannot_be_cut_is_recomputed(module: nn.Module, reason: str) -> None:
    found, _ = cut(backbone(module), shape=(8,))
    assert isinstance(found, Uncut)
    assert reason in found.reason


def test_a_tensor_that_trains_before_the_first_layer_leaves_nothing_to_keep() -> None:
    module = Early()
    stages = (
        Stage(name="a", tensors=("first.weight", "first.bias")),
        Stage(name="b", tensors=("scale", "last.weight", "last.bias")),
    )
    found, _ = cut(backbone(module, stages), shape=(8,))
    assert found == Uncut(reason="the network trains from its first layer on")


def test_nothing_is_cut_when_all_trains() -> None:
    found, _ = cut(toy_backbone(), trains=3, shape=(8,))
    assert found == Uncut(reason="the network trains from its first layer on")


@pytest.mark.parametrize("strategy", ["last-stages", "lora-last"])
@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "vit_tiny_patch16_224"])
def test_training_from_kept_activations_is_training(name: str, strategy: str) -> None:
    def trained(activations: ActivationStore | None):
        built = of_timm(name)
        stages = stages_of(built, any_card())
        adapter = Adapter(rank=2, alpha=4.0) if strategy == "lora-last" else None
        phase = Phase(name="last", share=1.0, trains={stages[-1].name: 1.0}, adapter=adapter)
        before = state(built.module)
        ended = train(
            built,
            BY_ID["last-stages"],
            plan=from_probed_head(phase, lr=1e-4),
            shape=(3, 32, 32),
            n=24,
            settings=Settings(epochs=3, head_epochs=5, batch_size=4, seed=3),
            activations=activations,
        )
        return before, ended, state(built.module)

    store = ActivationStore(cache=None, key=KEY)
    before, recomputed, weights = trained(None)
    _, cached, cached_weights = trained(store)
    assert store.memory.bytes > 0, "the activations were used"
    for one, other in zip(recomputed.reports, cached.reports, strict=True):
        assert other.loss == pytest.approx(one.loss, rel=1e-3)
        np.testing.assert_allclose(other.probabilities, one.probabilities, atol=2e-4)
    changed = {name for name in weights if not torch.equal(weights[name], before[name])}
    assert changed
    for name, tensor in weights.items():
        if name in changed:
            torch.testing.assert_close(cached_weights[name], tensor, rtol=1e-3, atol=2e-4)
        else:
            assert torch.equal(cached_weights[name], tensor), name


def test_a_later_phase_does_not_take_what_an_earlier_one_has_changed_for_original() -> None:
    built = toy_backbone()
    names = [stage.name for stage in stages_of(built, any_card())]
    phases = (
        Phase(name="first", share=0.5, trains={names[0]: 1.0}),
        Phase(name="last", share=0.5, trains={names[-1]: 1.0}),
    )
    plan = FreezePlan(phases=phases, lr=1e-2, head_lr=1e-2)
    settings = Settings(epochs=2, batch_size=4)

    def probabilities(activations: ActivationStore | None) -> np.ndarray:
        ended = train(
            toy_backbone(), BY_ID["full"], plan=plan, settings=settings, activations=activations
        )
        return ended.result.probabilities

    found = probabilities(ActivationStore(cache=None, key=KEY))
    np.testing.assert_allclose(found, probabilities(None), atol=1e-6)
