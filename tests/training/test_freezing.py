"""What a strategy declares frozen stays as it is, bit for bit, in real architectures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import timm
import torch
from torch import nn

from automl_transfer.contracts import Stage
from automl_transfer.errors import FreezeViolationError, PluginError, TrialError
from automl_transfer.plan import Adapter, FreezePlan, Phase
from automl_transfer.training.freeze import AppliedPhase, is_norm
from automl_transfer.training.stages import derive_stages, stages_of
from tests.training.workshop import (
    STRATEGIES,
    any_card,
    backbone,
    moved,
    state,
    toy_backbone,
    train,
)

BY_ID = {card.id: card for card in STRATEGIES}
TIMM = {
    "resnet18": {"channels": (8, 16, 24, 32)},
    "vit_tiny_patch16_224": {"img_size": 32, "depth": 4, "embed_dim": 24, "num_heads": 2},
    "tf_efficientnet_lite0": {},
}


def network(name: str):
    if name == "toy":
        return toy_backbone(), (8,)
    torch.manual_seed(0)
    module = timm.create_model(name, num_classes=0, drop_path_rate=0.1, **TIMM[name])
    return backbone(module), (3, 32, 32)


@pytest.mark.parametrize("strategy", [card.id for card in STRATEGIES])
@pytest.mark.parametrize("name", ["toy", *TIMM])
def test_exactly_what_the_plan_names_moves(name: str, strategy: str) -> None:
    built, shape = network(name)
    stages = {stage.name: stage for stage in stages_of(built, any_card())}
    names = list(stages)
    before = state(built.module)
    ended = train(built, BY_ID[strategy], shape=shape)
    after = state(built.module)
    assert before.keys() == after.keys()
    changed = moved(before, after)
    parameters = {name for name, _ in built.module.named_parameters()}
    if strategy == "frozen":
        assert changed == set()
    elif strategy == "scratch":
        assert {name for name in parameters if before[name].dim() > 1} <= changed
    elif strategy == "lora":
        assert changed and changed <= {n for n in parameters if before[n].dim() > 1}
    elif strategy == "norm-bias":
        assert changed and changed <= {n for n in parameters if before[n].dim() == 1}
    else:
        chosen = {"last-stages": names[-1:], "first-stages": names[:1], "full": names}[strategy]
        allowed = {tensor for stage in chosen for tensor in stages[stage].tensors}
        assert changed and changed <= allowed & parameters
    head = sum(tensor.numel() for tensor in ended.result.model.head.parameters())
    proof = ended.result.proof
    assert proof.total_parameters == head + sum(before[name].numel() for name in parameters)
    if strategy not in ("lora", "frozen"):
        assert sum(before[n].numel() for n in changed & parameters) <= (
            proof.trainable_parameters - head
        )
    if strategy == "frozen":
        assert proof.trainable_parameters == head
        assert proof.frozen_tensors == len(before)


def test_tokens_and_position_embeddings_belong_to_the_first_stage() -> None:
    built, _ = network("vit_tiny_patch16_224")
    first = stages_of(built, any_card())[0]
    assert {"cls_token", "pos_embed"} <= set(first.tensors)


def test_a_tensor_that_moves_in_spite_of_its_plan_fails_the_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    built = toy_backbone()
    frozen = built.module.block0[0].weight
    step = torch.optim.AdamW.step

    def meddle(self, closure=None):
        frozen.data.add_(1e-3)
        return step(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", meddle)
    with pytest.raises(FreezeViolationError, match=r"1 of \d+ frozen .* moved: block0.0.weight"):
        train(built, BY_ID["last-stages"])


class Counting(nn.Module):
    """Changes its own buffer in every pass, whatever mode it is in."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8)
        self.first.register_buffer("calls", torch.zeros(()))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.first.calls += 1
        return self.second(self.first(batch))


def test_a_network_that_changes_its_own_frozen_buffer_fails_the_trial() -> None:
    with pytest.raises(FreezeViolationError, match="have moved: first.calls"):
        train(backbone(Counting()), BY_ID["last-stages"])


def test_a_moved_weight_beneath_an_adapter_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    built = toy_backbone()
    frozen = built.module.block1[0].weight
    step = torch.optim.AdamW.step

    def meddle(self, closure=None):
        frozen.data.add_(1e-3)
        return step(self, closure)

    monkeypatch.setattr(torch.optim.AdamW, "step", meddle)
    with pytest.raises(FreezeViolationError, match="have moved: block1.0.weight"):
        train(built, BY_ID["lora"])


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8, bias=False)
        self.middle = nn.Linear(8, 8)
        self.last = nn.Linear(8, 8, bias=False)
        self.last.weight = self.first.weight

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.last(self.middle(self.first(batch)))


def test_a_tensor_shared_with_a_frozen_stage_is_frozen() -> None:
    module = Tied()
    built = backbone(
        module,
        (
            Stage(name="a", tensors=("first.weight",)),
            Stage(name="b", tensors=("middle.weight", "middle.bias", "last.weight")),
        ),
    )
    before = state(module)
    phase = Phase(name="b", share=1.0, trains={"b": 1.0})
    train(built, BY_ID["full"], plan=FreezePlan(phases=(phase,)))
    assert moved(before, state(module)) == {"middle.weight", "middle.bias"}


def modes(module: nn.Module) -> dict[str, bool]:
    return {name: child.training for name, child in module.named_modules()}


def test_only_what_trains_is_in_training_mode() -> None:
    module = toy_backbone().module
    stages = stages_of(backbone(module), any_card())
    phase = Phase(name="last", share=1.0, trains={stages[-1].name: 1.0})
    AppliedPhase(module, stages, phase).switch()
    found = modes(module)
    last = stages[-1].name
    assert found[f"{last}.3"], "dropout of the stage that trains"
    assert not found[f"{last}.1"], "its norm layer keeps its statistics"
    frozen = [name for name in found if not name.startswith(last)]
    assert not any(found[name] for name in frozen)
    AppliedPhase(module, stages, replace(phase, norm="train")).switch()
    assert modes(module)[f"{last}.1"]


def test_norm_layers_that_hold_an_activation_are_norm_layers() -> None:
    from timm.layers import BatchNormAct2d, LayerNorm2d

    assert is_norm(BatchNormAct2d(4))
    assert is_norm(LayerNorm2d(4))
    assert not is_norm(nn.Conv2d(3, 4, 1))


def test_a_block_that_is_named_after_its_norm_is_no_norm_layer() -> None:
    class PreNormBlock(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

    class UnitNorm(nn.Module):
        pass

    assert not is_norm(PreNormBlock())
    assert is_norm(UnitNorm())


def test_layers_that_keep_something_for_inference_are_told_of_the_mode() -> None:
    class Keeping(nn.Linear):
        def train(self, mode: bool = True):
            self.kept = None if mode else "kept"
            return super().train(mode)

    module = nn.Sequential(nn.Linear(8, 8), Keeping(8, 8))
    stages = derive_stages(module)
    module.eval()
    AppliedPhase(module, stages, Phase(name="x", share=1.0, trains={"1": 1.0})).switch()
    assert module[1].kept is None


def test_a_plan_for_a_stage_that_is_not_there_names_those_that_are() -> None:
    plan = FreezePlan(phases=(Phase(name="x", share=1.0, trains={"tail": 1.0}),))
    with pytest.raises(PluginError, match=r"\(block0, block1, block2\), but names tail"):
        train(toy_backbone(), BY_ID["full"], plan=plan)


def test_nothing_to_train_is_said() -> None:
    module = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    with pytest.raises(TrialError, match="must train at least one tensor, but 'norm-bias' finds"):
        train(backbone(module), BY_ID["norm-bias"])


def test_nothing_to_adapt_is_said() -> None:
    module = nn.Sequential(nn.Conv1d(8, 8, 1), nn.Flatten())
    with pytest.raises(TrialError, match="LoRA needs linear layers or 1x1 convolutions"):
        train(backbone(module), BY_ID["lora"], shape=(8, 1))


def test_adapters_are_merged_into_the_plain_network() -> None:
    from automl_transfer.training import adapters

    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1, groups=2), nn.Flatten(), nn.Linear(16, 4)
    ).eval()
    keys = list(module.state_dict())
    multipliers = dict.fromkeys(keys, 1.0)
    tuned = adapters.insert(module, Adapter(rank=2, alpha=4.0), multipliers)
    groups = adapters.groups(module, 1e-3, multipliers)
    assert sum(len(group["params"]) for group in groups) == 4, "two layers, two matrices each"
    with torch.no_grad():
        for group in groups:
            for parameter in group["params"]:
                parameter.normal_()
        batch = torch.randn(2, 3, 2, 2)
        adapted = module(batch)
        merged = adapters.merge(tuned)
        assert merged is module
        assert list(merged.state_dict()) == keys
        torch.testing.assert_close(merged(batch), adapted, rtol=1e-4, atol=1e-4)


def test_a_convolution_with_derived_weights_is_not_adapted() -> None:
    from timm.layers import ScaledStdConv2d

    from automl_transfer.training import adapters

    module = nn.Sequential(ScaledStdConv2d(4, 4, 1), nn.Conv2d(4, 4, 1))
    assert adapters.targets(module, dict.fromkeys(module.state_dict(), 1.0)) == ["1"]
