"""The bundled network knows what is on two photographs that come with scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from sklearn.datasets import load_sample_image

from automl_transfer.backbones import bundled
from automl_transfer.backbones.tensors import load_tensors, read_tensors
from automl_transfer.errors import WeightsUnavailableError
from automl_transfer.weights import HubProbe, locate

# Classes of ImageNet-1k.
DAISY, PALACE, MONASTERY, CASTLE = 985, 698, 663, 483


@pytest.fixture(scope="module")
def weights():
    return locate(bundled.CARD.weights, offline=True, hub=HubProbe())


def photograph(name: str) -> torch.Tensor:
    """Prepared as the card says: bicubic, the shorter side 256, the middle 224 pixels."""
    entry = bundled.CARD.input
    size = entry["size"][-1]
    image = Image.fromarray(load_sample_image(name))
    scale = round(size / entry["crop_pct"]) / min(image.size)
    image = image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
    )
    left, top = (image.width - size) // 2, (image.height - size) // 2
    pixels = np.asarray(image.crop((left, top, left + size, top + size)), dtype=np.float32) / 255
    return torch.from_numpy((pixels - entry["mean"]) / entry["std"]).permute(2, 0, 1)[None].float()


def chances(tensors: dict[str, torch.Tensor], weights, name: str) -> torch.Tensor:
    module = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    load_tensors(module, tensors, weights)
    with torch.no_grad():
        return module(photograph(name)).softmax(dim=1)[0]


def test_the_mapped_weights_recognise_photographs(weights):
    tensors = bundled.renamed(read_tensors(weights))
    flower = chances(tensors, weights, "flower.jpg")
    assert flower.argmax() == DAISY
    assert flower[DAISY] > 0.3
    china = chances(tensors, weights, "china.jpg")
    assert china.argmax() == PALACE
    assert china[PALACE] > 0.25
    assert {PALACE, MONASTERY, CASTLE} <= set(china.topk(5).indices.tolist())


def test_two_tensors_in_each_others_place_would_be_noticed(weights):
    tensors = bundled.renamed(read_tensors(weights))
    one, other = "blocks.3.1.conv_pwl.weight", "blocks.3.2.conv_pwl.weight"
    tensors[one], tensors[other] = tensors[other], tensors[one]
    assert chances(tensors, weights, "flower.jpg")[DAISY] < 0.2
    assert chances(tensors, weights, "china.jpg").argmax() != PALACE


def test_the_card_tells_what_is_built(weights):
    network = bundled.build(card=bundled.CARD, weights=weights, seed=0)
    assert network.module.training is False
    with torch.no_grad():
        features = network.features(photograph("flower.jpg"))
    assert features.shape == (1, bundled.CARD.features.width)
    parameters = sum(tensor.numel() for tensor in network.module.parameters())
    assert parameters == bundled.CARD.cost.params
    assert weights.path.stat().st_size == bundled.CARD.weights.bytes
    assert weights.sha256 == bundled.CARD.weights.sha256
    assert [stage.name for stage in network.stages] == ["stem", *(f"blocks.{n}" for n in range(7))]


def test_features_are_those_of_the_whole_network(weights):
    tensors = bundled.renamed(read_tensors(weights))
    whole = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    load_tensors(whole, tensors, weights)
    network = bundled.build(card=bundled.CARD, weights=weights, seed=0)
    batch = photograph("china.jpg")
    with torch.no_grad():
        expected = whole.forward_head(whole.forward_features(batch), pre_logits=True)
        assert torch.equal(network.features(batch), expected)


def test_without_weights_it_is_random_from_the_seed():
    def built(seed: int) -> torch.Tensor:
        module = bundled.build(card=bundled.CARD, weights=None, seed=seed).module
        return module.state_dict()["blocks.4.1.conv_pw.weight"]

    state = torch.random.get_rng_state()
    assert torch.equal(built(1), built(1))
    assert not torch.equal(built(1), built(2))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", ["_blocks.16._bn1.weight", "_blocks.0._expand_conv.weight", "x"])
def test_an_unknown_tensor_is_refused(name):
    with pytest.raises(WeightsUnavailableError, match=f"must be known, but got '{name}'"):
        bundled.renamed({name: torch.zeros(1)})


def test_the_small_variant_is_the_same_network_on_whole_small_images(
    weights,
) -> None:
    large = bundled.build(card=bundled.CARD, weights=weights, seed=0)
    small = bundled.build(card=bundled.SMALL, weights=weights, seed=0)
    batch = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    assert torch.equal(large.features(batch), small.features(batch))
    assert bundled.SMALL.input["size"] == [3, 96, 96]
    assert bundled.SMALL.digest != bundled.CARD.digest
    assert bundled.SMALL.cost is not None and bundled.CARD.cost is not None
    assert bundled.SMALL.cost.gmacs < bundled.CARD.cost.gmacs / 5
