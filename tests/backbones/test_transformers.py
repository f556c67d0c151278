"""Vision networks of Transformers, tiny and random, as save_pretrained lays them out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers as library
from safetensors.torch import load_file, save_file

from automl_transfer.backbones import local, transformers
from automl_transfer.cards import BackboneCard
from automl_transfer.errors import UsageError, WeightsUnavailableError
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.weights import HubProbe, locate

VISION = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def vit():
    return library.ViTForImageClassification(library.ViTConfig(**VISION))


def dinov2():
    options = {key: VISION[key] for key in ("hidden_size", "num_hidden_layers")}
    config = library.Dinov2Config(**options, num_attention_heads=2, image_size=28, patch_size=14)
    return library.Dinov2Model(config)


def clip():
    config = library.CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=8)
    return library.CLIPModel(config)


def siglip():
    text = {**TEXT, "projection_size": 16}
    return library.SiglipModel(library.SiglipConfig(vision_config=VISION, text_config=text))


def convnext():
    config = library.ConvNextConfig(
        hidden_sizes=[8, 12, 16, 16], depths=[1, 1, 1, 1], image_size=32
    )
    return library.ConvNextForImageClassification(config)


def resnet():
    config = library.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
    return library.ResNetForImageClassification(config)


# What the class does with a batch, written out for each.
REFERENCES = {
    vit: lambda model, batch: model.vit(batch).last_hidden_state[:, 0],
    dinov2: lambda model, batch: model(batch).last_hidden_state[:, 0],
    clip: lambda model, batch: model.vision_model(batch).pooler_output,
    siglip: lambda model, batch: model.vision_model(batch).pooler_output,
    convnext: lambda model, batch: model.convnext(batch).pooler_output,
    resnet: lambda model, batch: model.resnet(batch).last_hidden_state.mean(dim=(2, 3)),
}


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    library.logging.set_verbosity_error()


def save(model, directory: Path) -> Path:
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        # Constructors leave many tensors at 0 or 1, where one that is not loaded is not seen.
        for tensor in model.parameters():
            tensor.add_(0.05 * torch.rand(tensor.shape, generator=generator))
    model.save_pretrained(directory)
    return directory


def loaded(directory: Path, seed: int = 0):
    card = local.resolve(f"local:{directory}")
    found = locate(card.weights, offline=True, hub=HubProbe())
    return card, transformers.build(card=card, weights=found, seed=seed)


@pytest.mark.parametrize("make", REFERENCES, ids=lambda make: make.__name__)
def test_features_are_those_of_the_saved_network(make, tmp_path):
    model = make().eval()
    card, network = loaded(save(model, tmp_path / "net"))
    batch = torch.randn(2, *card.input["size"])
    with torch.no_grad():
        features = network.features(batch)
        expected = REFERENCES[make](model, batch)
    assert features.shape == (2, card.features.width)
    assert torch.allclose(features, expected, atol=1e-6)
    assert card.family == "transformers"
    assert card.cost.params == sum(t.numel() for t in network.module.parameters())
    assert not any("text" in name for name, _ in network.module.named_parameters())
    assert from_json(BackboneCard, to_json(card)) == card


@pytest.mark.parametrize("make", [vit, clip], ids=lambda make: make.__name__)
def test_without_weights_it_needs_no_directory_and_follows_the_seed(make, tmp_path):
    card = from_json(BackboneCard, to_json(local.resolve(f"local:{save(make(), tmp_path / 'n')}")))
    (tmp_path / "n").rename(tmp_path / "gone")

    def built(seed: int) -> torch.Tensor:
        module = transformers.build(card=card, weights=None, seed=seed).module
        return torch.cat([tensor.flatten() for tensor in module.parameters()])

    assert torch.equal(built(1), built(1))
    assert not torch.equal(built(1), built(2))


def test_half_precision_becomes_single(tmp_path):
    _, network = loaded(save(vit(), tmp_path / "whole"))
    halves = save(vit().half(), tmp_path / "half")
    _, half = loaded(halves)
    assert {tensor.dtype for tensor in half.module.parameters()} == {torch.float32}
    assert network.module.config.model_type == half.module.config.model_type


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"layernorm\.weight missing"),
        ("extra", r"vit\.surplus\.weight left over"),
        ("shape", "must fit their config.json"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message, tmp_path):
    directory = save(vit(), tmp_path)
    tensors = load_file(directory / "model.safetensors")
    if change == "missing":
        del tensors["vit.layernorm.weight"]
    elif change == "extra":
        tensors["vit.surplus.weight"] = torch.zeros(2)
    else:
        tensors["vit.layernorm.weight"] = torch.zeros(3)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsUnavailableError, match=message):
        loaded(directory)


@pytest.mark.parametrize(
    ("processor", "size", "crop_pct", "mode"),
    [
        ({"size": {"height": 32, "width": 32}}, 32, 1.0, "squash"),
        (
            {"size": {"shortest_edge": 40}, "do_center_crop": True, "crop_size": 32},
            32,
            0.8,
            "center",
        ),
        ({"size": {"shortest_edge": 32}, "crop_pct": 0.875}, 32, 0.875, "center"),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, 384, 1.0, "squash"),
        ({"size": 32}, 32, 1.0, "squash"),
        ({}, 32, 0.875, "center"),
    ],
)
def test_preprocessing_is_read_from_the_directory(processor, size, crop_pct, mode, tmp_path):
    directory = save(resnet() if size == 384 else vit(), tmp_path)
    if processor:
        full = {**processor, "image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3], "resample": 2}
        (directory / "preprocessor_config.json").write_text(json.dumps(full))
    entry = local.resolve(f"local:{directory}").input
    assert entry["size"] == [3, size, size]
    assert (entry["crop_pct"], entry["crop_mode"]) == (crop_pct, mode)
    assert entry["mean"] == ([0.1, 0.2, 0.3] if processor else [0.5, 0.5, 0.5])
    assert entry["interpolation"] == ("bilinear" if processor else "bicubic")


def test_a_language_model_is_no_backbone(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match="must be a vision network .* model_type 'bert'"):
        local.resolve(f"local:{tmp_path}")


def cached(tmp_path: Path, repo: str) -> Path:
    home = tmp_path / f"models--{repo.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    return home / "snapshots" / COMMIT


def test_a_repository_in_the_cache_becomes_a_card(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = save(dinov2(), cached(tmp_path, "acme/dino"))
    (snapshot / "README.md").write_text("---\ntags:\n- vision\nlicense: apache-2.0\n---\n# Net\n")
    card = transformers.resolve("hf/acme/dino", offline=True)
    assert (card.id, card.weights.sources) == ("hf/acme/dino", ("hf:acme/dino",))
    assert card.weights.license == "Apache-2.0"
    assert card.tags == ("self-supervised",)
    found = locate(card.weights, offline=True, hub=HubProbe())
    network = transformers.build(card=card, weights=found, seed=0)
    assert network.features(torch.zeros(1, *card.input["size"])).shape == (1, 16)


def test_a_repository_that_cannot_be_had_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsUnavailableError, match=r"hf:acme/net: no config\.json .*offline"):
        transformers.resolve("hf/acme/net", offline=True)


def test_a_network_of_timm_on_the_hub_is_sent_there(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = cached(tmp_path, "timm/resnet18.a1_in1k")
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    with pytest.raises(UsageError, match=r"Name it 'timm/resnet18\.a1_in1k'"):
        transformers.resolve("hf/timm/resnet18.a1_in1k", offline=True)


def test_names_are_checked():
    assert transformers.resolve("timm/resnet18") is None
    with pytest.raises(UsageError, match="'hf/OWNER/NAME"):
        transformers.resolve("hf/resnet")
