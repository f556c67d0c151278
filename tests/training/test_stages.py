"""Stages partition every network, in the order of its computation."""

from __future__ import annotations

import warnings

import pytest
import timm
import torch
import torchvision
from torch import nn

from automl_transfer.cards import StageCard
from automl_transfer.contracts import Stage
from automl_transfer.errors import PluginError
from automl_transfer.training.stages import derive_stages, stage_views, stages_of, tensor_names
from tests.training.workshop import any_card, backbone


def built(family: str, name: str) -> nn.Module:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if family == "timm":
            return timm.create_model(name, num_classes=0)
        if family == "torchvision":
            return getattr(torchvision.models, name)(weights=None)
        import transformers

        model, config = getattr(transformers, f"{name}Model"), f"{name}Config"
        return model(getattr(transformers, config)())


NETWORKS = [
    ("timm", "resnet18", "layer1", "layer4.1"),
    ("timm", "vit_tiny_patch16_224", "patch_embed", "blocks.11"),
    ("timm", "tf_efficientnet_lite0", "blocks", "conv_head"),
    ("timm", "swin_tiny_patch4_window7_224", "layers.0", "layers.3"),
    ("timm", "convnext_atto", "stages.0", "stages.3"),
    ("torchvision", "resnet50", "layer1", "fc"),
    ("torchvision", "vit_b_16", "conv_proj", "heads"),
    ("torchvision", "efficientnet_b0", "features", "classifier"),
    ("transformers", "ViT", "embeddings", "pooler"),
    ("transformers", "Dinov2", "embeddings", "encoder.layer.11"),
    ("transformers", "CLIPVision", "embeddings", "encoder.layers.11"),
    ("transformers", "ResNet", "encoder.stages.0", "encoder.stages.3"),
]


@pytest.mark.parametrize(("family", "name", "first", "last"), NETWORKS)
def test_derived_stages_partition_a_network_in_order(
    family: str, name: str, first: str, last: str
) -> None:
    module = built(family, name)
    stages = derive_stages(module)
    held = [tensor for stage in stages for tensor in stage.tensors]
    assert sorted(held) == sorted(tensor_names(module))
    assert 3 <= len(stages) <= 40
    assert stages[0].name.startswith(first)
    assert stages[-1].name.startswith(last)
    root = {tensor for tensor in held if "." not in tensor}
    assert root <= set(stages[0].tensors)
    views = stage_views(module, stages)
    assert [view.depth for view in views] == sorted(view.depth for view in views)
    assert (views[0].depth, views[-1].depth) == (0.0, 1.0)
    total = sum(tensor.numel() for tensor in module.parameters())
    assert sum(view.parameters for view in views) == total
    assert all(view.parameters >= 0.004 * total for view in views)
    where = {name: place for place, stage in enumerate(stages) for name in stage.tensors}
    numbered = [
        where[name] for name in where if name.startswith(("blocks.", "layers.", "encoder.layer"))
    ]
    assert numbered == sorted(numbered)


def test_a_single_layer_is_a_single_stage() -> None:
    stages = derive_stages(nn.Linear(2, 2))
    assert [stage.tensors for stage in stages] == [("weight", "bias")]
    (view,) = stage_views(nn.Linear(2, 2), stages)
    assert (view.depth, view.parameters) == (1.0, 6)


def test_patterns_of_the_card_come_before_the_stages_of_the_network() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network = backbone(module, (Stage(name="all", tensors=tuple(tensor_names(module))),))
    cards = tuple(StageCard(name=f"s{place}", tensors=(rf"{place}\.",)) for place in (0, 1))
    assert [stage.name for stage in stages_of(network, any_card(stages=cards))] == ["s0", "s1"]
    assert [stage.name for stage in stages_of(network, any_card())] == ["all"]


@pytest.mark.parametrize(
    ("stages", "rule"),
    [
        ([("a", ("0.weight",))], "in no stage are: 0.bias"),
        ([("a", ("0.weight", "0.bias")), ("b", ("0.bias",))], "in two stages are: 0.bias"),
        ([("a", ("0.weight", "0.bias", "1.bias"))], "but also name 1.bias"),
        ([("a", ("0.weight", "0.bias")), ("b", ())], "without any tensor are: b"),
        ([("a", ("0.weight",)), ("a", ("0.bias",))], "distinct names .* are a, a"),
    ],
)
def test_stages_that_are_no_partition_are_the_plugins_error(stages, rule: str) -> None:
    named = tuple(Stage(name=name, tensors=tensors) for name, tensors in stages)
    with pytest.raises(PluginError, match=rule):
        stages_of(backbone(nn.Sequential(nn.Linear(2, 2)), named), any_card())
