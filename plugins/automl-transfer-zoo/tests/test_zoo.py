"""Weights in a directory become backbones, and pass the conformance kit."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest
import timm
import torch
from automl_transfer_zoo import plugin
from safetensors.torch import save_file

from automl_transfer.plugins import load_registry
from automl_transfer.testing.kit.members import subjects
from automl_transfer.testing.kit.running import run_checks

ARCHITECTURE = "resnet10t"


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the weights of a small network, its classifier included."""
    torch.manual_seed(3)
    network = timm.create_model(ARCHITECTURE, pretrained=False, num_classes=5)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, tmp_path / "ours.safetensors")
    said = {"architecture": ARCHITECTURE, "input_size": 64, "license": "MIT"}
    (tmp_path / "ours.json").write_text(json.dumps(said))
    monkeypatch.setenv(plugin.VARIABLE, str(tmp_path))
    return tmp_path


def test_a_file_with_a_card_is_a_backbone_that_passes_every_check(zoo: Path) -> None:
    (found,) = subjects(load_registry(), "zoo/ours")
    assert found.weights is not None and found.weights.path == zoo / "ours.safetensors"
    assert {
        result.check.name: result.reason for result in run_checks(found) if result.reason
    } == {}


def test_what_is_no_card_is_left_out_alone(zoo: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, text in (("torn", "{"), ("empty", "{}"), ("list", "[]")):
        (zoo / f"{name}.json").write_text(text)
        (zoo / f"{name}.safetensors").touch()
    (zoo / "lonely.json").write_text('{"architecture": "resnet18"}')
    with caplog.at_level(logging.WARNING):
        registry = load_registry()
    assert [id for id in registry.backbones if id.startswith("zoo/")] == ["zoo/ours"]
    assert not registry.quarantined
    for name in ("torn", "empty", "list"):
        assert f"{name}.json is left out" in caplog.text
    assert "lonely" not in caplog.text


def test_of_two_directories_the_first_has_its_way(zoo: Path, tmp_path: Path, monkeypatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for end in ("json", "safetensors"):
        (other / f"ours.{end}").write_bytes((zoo / f"ours.{end}").read_bytes())
    monkeypatch.setenv(plugin.VARIABLE, os.pathsep.join([str(other), str(zoo)]))
    (card,) = plugin.automl_transfer_backbones()
    assert card.weights.sources == (f"dir:{other / 'ours.safetensors'}",)


def test_weights_of_another_network_are_an_error_that_says_so(zoo: Path) -> None:
    (zoo / "ours.json").write_text('{"architecture": "resnet18"}')
    (found,) = subjects(load_registry(), "zoo/ours")
    with pytest.raises(ValueError, match="must be those of timm's 'resnet18', but"):
        found.build()
