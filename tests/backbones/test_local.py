"""Directories as timm lays them out, and what is said of other ones."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path

import pytest
import timm as library
import torch
from safetensors.torch import save_file

from automl_transfer.backbones import local, timm
from automl_transfer.errors import UsageError
from automl_transfer.weights import HubProbe, locate


def lay_out(path: Path, config: dict, module: torch.nn.Module) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    save_file(module.state_dict(), path / "model.safetensors")
    return path


def features(card, batch):
    found = locate(card.weights, offline=True, hub=HubProbe())
    with torch.no_grad():
        return timm.build(card=card, weights=found, seed=0).features(batch)


def test_a_directory_of_timm_with_options(tmp_path):
    torch.manual_seed(0)
    module = library.create_model("mobilenetv2_050", pretrained=False, pad_type="same").eval()
    config = {
        "architecture": "mobilenetv2_050",
        "num_classes": 1000,
        "model_args": {"pad_type": "same", "num_classes": 1000},
        "pretrained_cfg": {
            "input_size": [3, 63, 63],
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
            "interpolation": "bilinear",
            "crop_pct": 0.9,
            "license": "mit",
            "pretrained_on": "birds",
        },
    }
    id = f"local:{lay_out(tmp_path / 'my net', config, module)}"
    card = local.resolve(id)
    assert (card.id, card.family) == (id, "timm")
    assert card.input == {
        "size": [3, 63, 63],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "interpolation": "bilinear",
        "crop_pct": 0.9,
        "crop_mode": "center",
    }
    assert (card.weights.license, card.weights.pretrained_on) == ("MIT", "birds")
    batch = torch.randn(1, 3, 63, 63)
    with torch.no_grad():
        expected = module.forward_head(module.forward_features(batch), pre_logits=True)
        module_without = library.create_model("mobilenetv2_050", pretrained=False).eval()
        module_without.load_state_dict(module.state_dict())
        other = module_without.forward_head(
            module_without.forward_features(batch), pre_logits=True
        )
    assert torch.allclose(features(card, batch), expected, atol=1e-6)
    # The option matters, so the equality above shows that it was used.
    assert not torch.allclose(other, expected, atol=1e-6)


def test_what_the_directory_leaves_out_comes_from_timm(tmp_path):
    module = library.create_model("resnet18", pretrained=False)
    path = lay_out(tmp_path, {"architecture": "resnet18"}, module)
    card = local.resolve(f"local:{path}")
    assert card.input["size"] == [3, 224, 224]
    assert card.input["mean"] == [0.485, 0.456, 0.406]
    assert features(card, torch.zeros(1, 3, 64, 64)).shape == (1, 512)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "resnt18"}, r"but got the architecture 'resnt18'\. Did you mean"),
        ({"architecture": "hf-hub:acme/net"}, "but got the architecture 'hf-hub:acme/net'"),
        (
            {"architecture": "resnet18", "model_args": {"checkpoint_path": "/etc/x"}},
            r"but got model_args \['checkpoint_path'\]",
        ),
        ({"architecture": "resnet18", "model_args": {"depth": 3}}, "must be able to build"),
        ({"layers": 3}, r"'architecture' \(timm\) or 'model_type'.*\['layers'\]"),
        ([1], "must hold a JSON object, but it holds list"),
    ],
)
def test_a_wrong_config_is_explained(config, message, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match=message):
        local.resolve(f"local:{tmp_path}")


def test_a_directory_says_what_it_lacks(tmp_path):
    with pytest.raises(UsageError, match="is no directory"):
        local.resolve(f"local:{tmp_path / 'absent'}")
    with pytest.raises(UsageError, match=r"must be a directory with .* has no config\.json"):
        local.resolve(f"local:{tmp_path}")
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UsageError, match=r"no model\.safetensors \(pickled files such as pytorch"):
        local.resolve(f"local:{tmp_path}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(UsageError, match="must be JSON"):
        local.resolve(f"local:{tmp_path}")
    assert local.resolve("timm/resnet18") is None


@pytest.fixture
def script(repository):
    spec = importlib.util.spec_from_file_location(
        "lay_out_assets", repository / "benchmarks" / "lay_out_assets.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_lays_out_weights_with_a_description(script, tmp_path, capsys):
    torch.manual_seed(1)
    module = library.create_model("mobilenetv2_050", pretrained=False, pad_type="same").eval()
    halves = {k: v.half() if v.ndim > 1 else v for k, v in module.state_dict().items()}
    save_file(halves, tmp_path / "net.safetensors")
    spec = {
        "timm_name": "mobilenetv2_050",
        "timm_kwargs": {"pad_type": "same"},
        "num_classes": 1000,
        "pretrained_on": "something",
        "origin": "somewhere",
        "licence": "Apache-2.0",
        "input_size": [3, 64, 64],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bilinear",
        "crop_pct": 0.875,
        "file": "net.safetensors",
        "sha256": hashlib.sha256((tmp_path / "net.safetensors").read_bytes()).hexdigest(),
        "builder": "timm.create_model",
    }
    (tmp_path / "net.json").write_text(json.dumps(spec))
    (tmp_path / "odd.json").write_text(json.dumps({**spec, "builder": "by hand"}))
    assert script.main([str(tmp_path), str(tmp_path / "out")]) == 0
    assert "skipped odd: needs by hand" in capsys.readouterr().err
    card = local.resolve(f"local:{tmp_path / 'out' / 'net'}")
    assert card.weights.license == "Apache-2.0"
    module.load_state_dict({k: v.float() for k, v in halves.items()})
    batch = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = module.forward_head(module.forward_features(batch), pre_logits=True)
    assert torch.allclose(features(card, batch), expected, atol=1e-6)
    assert script.main([str(tmp_path), str(tmp_path / "out"), "net"]) == 0
    assert "kept" in capsys.readouterr().err
    assert script.main([str(tmp_path), str(tmp_path / "out"), "nett"]) == 2
