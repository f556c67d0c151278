"""Cards and networks of torchvision."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision import models

from automl_transfer.backbones import torchvision
from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import LocalWeights
from automl_transfer.errors import UsageError, WeightsUnavailableError
from automl_transfer.jsonable import from_json, to_json


def saved(path: Path, module: torch.nn.Module) -> LocalWeights:
    torch.save(module.state_dict(), path)
    return LocalWeights(path=path, source=f"url:{path.name}", sha256="")


def test_a_name_with_weights_becomes_a_card():
    card = torchvision.resolve("torchvision/resnet50.IMAGENET1K_V2")
    assert card is not None
    assert card.weights.sources == (
        "url:https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
    )
    assert card.weights.pretrained_on == "ImageNet-1k, supervised"
    assert card.weights.license is None
    assert card.input == {
        "size": [3, 224, 224],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "interpolation": "bilinear",
        "crop_pct": round(224 / 232, 6),
        "crop_mode": "center",
    }
    assert card.cost.params == 23_508_032
    assert card.features.width == 2048
    assert from_json(BackboneCard, to_json(card)) == card


def test_without_weights_the_preferred_ones_are_named():
    assert torchvision.resolve("torchvision/resnet50").id == "torchvision/resnet50.IMAGENET1K_V2"
    assert torchvision.resolve("timm/resnet50") is None


def test_a_transformer_is_built_for_the_size_of_its_weights():
    card = torchvision.resolve("torchvision/vit_b_16.IMAGENET1K_SWAG_E2E_V1")
    assert card.input["size"] == [3, 384, 384]
    assert card.features.width == 768
    with torch.device("meta"):
        module = torchvision.build(card=card, weights=None, seed=0).module
    assert module.encoder.pos_embedding.shape == (1, (384 // 16) ** 2 + 1, 768)


def test_weights_for_research_only_say_so():
    card = torchvision.resolve("torchvision/vit_b_16.IMAGENET1K_SWAG_LINEAR_V1")
    assert card.weights.license == "CC-BY-NC-4.0"
    assert card.tags == ("weakly-supervised",)


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("torchvision/resnet51", "but got 'resnet51'. Did you mean 'resnet"),
        ("torchvision/resnet50.BEST", r"of resnet50 \(IMAGENET1K_V1, .*but got 'BEST'"),
        ("torchvision/vgg16.IMAGENET1K_FEATURES", "has no trained layers after the convolutions"),
        ("torchvision/fasterrcnn_resnet50_fpn", "must be a classification network"),
    ],
)
def test_a_wrong_name_is_explained(id, message):
    with pytest.raises(UsageError, match=message):
        torchvision.resolve(id)


# One for each way to end: a linear layer, a sequence, a convolution, two helpers beside it.
@pytest.mark.parametrize(
    ("architecture", "head", "size"),
    [
        ("resnet18", "fc", 64),
        ("mobilenet_v3_small", "classifier.3", 64),
        ("squeezenet1_1", "classifier", 96),
        pytest.param("densenet121", "classifier", 64, marks=pytest.mark.slow),
        pytest.param("vit_b_32", "heads.head", 224, marks=pytest.mark.slow),
        pytest.param("swin_t", "head", 64, marks=pytest.mark.slow),
        pytest.param("googlenet", "fc", 96, marks=pytest.mark.slow),
    ],
)
def test_features_are_what_the_classifier_reads(architecture, head, size, tmp_path):
    torch.manual_seed(0)
    options = {"init_weights": True} if architecture == "googlenet" else {}
    whole = models.get_model(architecture, weights=None, **options).eval()
    if architecture == "googlenet":
        whole.transform_input = True
    read: list[torch.Tensor] = []
    whole.get_submodule(head).register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    batch = torch.randn(2, 3, size, size)
    card = torchvision.resolve(f"torchvision/{architecture}")
    network = torchvision.build(card=card, weights=saved(tmp_path / "net.pth", whole), seed=7)
    with torch.no_grad():
        whole(batch)
        features = network.features(batch)
    expected = read[0].mean(dim=(2, 3)) if read[0].ndim == 4 else read[0]
    assert features.shape == (2, card.features.width)
    assert torch.allclose(features, expected, atol=1e-5)


def test_old_densenet_names_are_understood(tmp_path):
    card = torchvision.resolve("torchvision/densenet121")
    whole = models.densenet121(weights=None)
    old = {
        name.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.")
        if "denselayer" in name
        else name: tensor
        for name, tensor in whole.state_dict().items()
    }
    assert old.keys() != whole.state_dict().keys()
    torch.save(old, tmp_path / "net.pth")
    found = LocalWeights(path=tmp_path / "net.pth", source="url:net.pth", sha256="")
    module = torchvision.build(card=card, weights=found, seed=0).module
    name = "features.denseblock1.denselayer1.conv2.weight"
    assert torch.equal(module.state_dict()[name], whole.state_dict()[name])


def test_weights_of_another_network_are_refused(tmp_path):
    card = torchvision.resolve("torchvision/resnet18")
    found = saved(tmp_path / "net.pth", models.squeezenet1_1(weights=None))
    with pytest.raises(WeightsUnavailableError, match="must fit their architecture"):
        torchvision.build(card=card, weights=found, seed=0)


def test_a_network_whose_constructor_computes_is_measured_too():
    card = torchvision.resolve("torchvision/regnet_x_400mf")
    told = models.RegNet_X_400MF_Weights.DEFAULT.meta["num_params"]
    assert card.cost.params == told - (400 * 1000 + 1000)
    assert card.features.width == 400


def test_without_weights_it_is_random_from_the_seed():
    card = torchvision.resolve("torchvision/resnet18")

    def built(seed: int) -> torch.Tensor:
        return torchvision.build(card=card, weights=None, seed=seed).module.conv1.weight

    assert torch.equal(built(1), built(1))
    assert not torch.equal(built(1), built(2))
