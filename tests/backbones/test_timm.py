"""Cards and networks of timm."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm as library
import torch
from safetensors.torch import save_file

from automl_transfer.backbones import timm
from automl_transfer.cards import BackboneCard
from automl_transfer.contracts import LocalWeights
from automl_transfer.errors import UsageError, WeightsUnavailableError
from automl_transfer.jsonable import from_json, to_json

ARCHITECTURES = (
    "tf_efficientnet_lite0",
    "resnet18",
    "vit_tiny_patch16_224",
    "convnext_atto",
    "mobilenetv3_small_100",
    "levit_128s",
    "swin_tiny_patch4_window7_224",
)


def weights(path: Path, tensors: dict[str, torch.Tensor]) -> LocalWeights:
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return LocalWeights(path=path, source=f"dir:{path}", sha256="0" * 64)


def random_tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Values that no constructor would have chosen, so that one left out is seen."""
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.rand(tensor.shape, generator=generator) + 0.1
        if tensor.is_floating_point()
        else tensor
        for name, tensor in module.state_dict().items()
    }


def test_a_full_name_becomes_a_card():
    card = timm.resolve("timm/resnet18.a1_in1k")
    assert card is not None
    assert (card.id, card.family, card.modality) == ("timm/resnet18.a1_in1k", "timm", "image")
    assert card.input["size"] == [3, 224, 224]
    assert card.input["mean"] == [0.485, 0.456, 0.406]
    assert card.input["interpolation"] == "bicubic"
    assert card.input["crop_pct"] == 0.95
    assert card.cost.params == 11_176_512
    assert card.cost.gmacs == pytest.approx(1.8136, abs=1e-3)
    assert card.features.width == 512
    assert card.weights.license == "Apache-2.0"
    assert card.weights.pretrained_on == "ImageNet-1k, supervised"
    hub, url = card.weights.sources
    assert hub == "hf:timm/resnet18.a1_in1k"
    assert url.startswith("url:https://") and url.endswith(".pth")
    assert from_json(BackboneCard, to_json(card)) == card


@pytest.mark.parametrize(
    ("id", "pretrained_on", "tag"),
    [
        ("timm/convnext_tiny.in12k_ft_in1k", "ImageNet-12k, supervised; fine-tuned on", "superv"),
        ("timm/vit_small_patch16_224.dino", "ImageNet-1k, self-supervised", "self-supervised"),
        ("timm/vit_xsmall_patch16_clip_224.tinyclip_yfcc15m", "YFCC15M, image-text", "image-text"),
        ("timm/resnet18.fb_swsl_ig1b_ft_in1k", "Instagram-1B, weakly-supervised", "weakly"),
    ],
)
def test_a_card_tells_how_it_was_pretrained(id, pretrained_on, tag):
    card = timm.resolve(id)
    assert card.weights.pretrained_on.startswith(pretrained_on)
    assert card.tags[0].startswith(tag)


def test_a_licence_without_a_standard_name_is_a_reference():
    card = timm.resolve("timm/convnext_tiny.dinov3_lvd1689m")
    assert card.weights.license == "LicenseRef-dinov3-license"
    assert timm.resolve("timm/convnextv2_atto.fcmae").weights.license == "CC-BY-NC-4.0"


def test_a_name_without_a_tag_gets_the_preferred_one():
    assert timm.resolve("timm/resnet18").id == "timm/resnet18.a1_in1k"


def test_names_of_others_are_not_claimed():
    assert timm.resolve("torchvision/resnet18") is None


@pytest.mark.parametrize(
    ("id", "message"),
    [
        ("timm/resnt18", r"architecture of timm .* but got 'resnt18'\. Did you mean 'resnet18'"),
        ("timm/resnet18.a9", r"weights of timm .* 'resnet18\.a9'\. Tags of resnet18: .*a1_in1k"),
        ("timm/hf-hub:acme/evil", r"must be an architecture of timm"),
        ("timm/resnet18@15", r"must run at 32 to 4096 pixels a side, but got 'resnet18@15'"),
    ],
)
def test_a_wrong_name_is_explained(id, message):
    with pytest.raises(UsageError, match=message):
        timm.resolve(id)


def test_another_size_resizes_the_position_grid(tmp_path):
    card = timm.resolve("timm/vit_tiny_patch16_224.augreg_in21k@160")
    assert card.input["size"] == [3, 160, 160]
    original = library.create_model("vit_tiny_patch16_224", pretrained=False)
    tensors = random_tensors(original)
    found = weights(tmp_path / "model.safetensors", tensors)
    module = timm.build(card=card, weights=found, seed=0).module
    assert module.pos_embed.shape == (1, 101, 192)
    assert torch.equal(module.state_dict()["norm.weight"], tensors["norm.weight"])
    assert module.pos_embed.detach().mean() == pytest.approx(
        float(tensors["pos_embed"].mean()), abs=0.01
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_stages_hold_every_parameter_and_buffer_once(architecture):
    card = timm.resolve(f"timm/{architecture}")
    with torch.device("meta"):
        network = timm.build(card=card, weights=None, seed=0)
    module = network.module
    names = [name for stage in network.stages for name in stage.tensors]
    expected = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
    assert sorted(names) == sorted(expected)
    assert len({stage.name for stage in network.stages}) == len(network.stages) >= 4
    # The last stage has something to train besides a norm.
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    assert any(tensors[name].ndim > 1 for name in network.stages[-1].tensors)


@pytest.mark.parametrize(
    ("architecture", "size"),
    [("resnet18", 64), ("levit_128s", 224), ("mobilenetv3_small_100", 64), ("convnext_atto", 64)],
)
def test_weights_with_a_classifier_give_the_features_before_it(architecture, size, tmp_path):
    torch.manual_seed(0)
    whole = library.create_model(architecture, pretrained=False).eval()
    whole.load_state_dict(
        {
            name: tensor * 1.01 if tensor.is_floating_point() else tensor
            for name, tensor in whole.state_dict().items()
        }
    )
    card = timm.resolve(f"timm/{architecture}")
    found = weights(tmp_path / "model.safetensors", whole.state_dict())
    network = timm.build(card=card, weights=found, seed=9)
    batch = torch.randn(2, 3, size, size)
    with torch.no_grad():
        features = network.features(batch)
        trunk = whole.forward_features(batch)
        expected = (
            trunk.mean(dim=1)
            if architecture == "levit_128s"
            else whole.forward_head(trunk, pre_logits=True)
        )
    assert features.shape == (2, card.features.width)
    assert torch.allclose(features, expected, atol=1e-5)


def test_weights_of_half_precision_become_single(tmp_path):
    card = timm.resolve("timm/resnet18")
    module = timm.build(card=card, weights=None, seed=5).module
    halves = {
        name: tensor.half() if tensor.ndim > 1 else tensor
        for name, tensor in module.state_dict().items()
    }
    found = weights(tmp_path / "model.safetensors", halves)
    loaded = timm.build(card=card, weights=found, seed=0).module
    assert {tensor.dtype for tensor in loaded.parameters()} == {torch.float32}
    assert torch.equal(loaded.conv1.weight, halves["conv1.weight"].float())


def test_a_checkpoint_may_be_wrapped(tmp_path):
    card = timm.resolve("timm/resnet18")
    tensors = timm.build(card=card, weights=None, seed=5).module.state_dict()
    path = tmp_path / "net.pth"
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in tensors.items()}}, path)
    found = LocalWeights(path=path, source="url:net.pth", sha256="")
    loaded = timm.build(card=card, weights=found, seed=0).module
    assert torch.equal(loaded.conv1.weight, tensors["conv1.weight"])


def test_weights_that_do_not_fit_are_refused(tmp_path):
    card = timm.resolve("timm/resnet18")
    tensors = random_tensors(timm.build(card=card, weights=None, seed=0).module)
    del tensors["layer1.0.conv1.weight"]
    tensors["layer9.weight"] = torch.zeros(1)
    tensors["bn1.bias"] = torch.zeros(3)
    with pytest.raises(
        WeightsUnavailableError,
        match=r"layer1\.0\.conv1\.weight missing; layer9\.weight left over; "
        r"bn1\.bias \(\(3,\) for \(64,\)\) of another shape",
    ):
        timm.build(card=card, weights=weights(tmp_path / "model.safetensors", tensors), seed=0)


class _Payload:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_a_pickle_that_runs_code_is_not_opened(tmp_path, capsys):
    path = tmp_path / "net.pth"
    torch.save({"conv1.weight": _Payload()}, path)
    found = LocalWeights(path=path, source="url:net.pth", sha256="")
    with pytest.raises(WeightsUnavailableError, match="must be a readable file of tensors"):
        timm.build(card=timm.resolve("timm/resnet18"), weights=found, seed=0)
    assert "unpickled" not in capsys.readouterr().out


def test_without_weights_it_is_random_from_the_seed():
    card = timm.resolve("timm/convnext_atto")

    def built(seed: int) -> torch.Tensor:
        return timm.build(card=card, weights=None, seed=seed).module.stem[0].weight

    assert torch.equal(built(1), built(1))
    assert not torch.equal(built(1), built(2))
