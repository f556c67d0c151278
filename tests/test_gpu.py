"""What only a CUDA device can show. One command: ``python -m pytest -m gpu``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from automl_transfer.backbones import bundled
from automl_transfer.training.device import autocast, choose_device, to_device
from automl_transfer.weights import locate, shared_probe
from tests.toy_search import ToySearch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def test_auto_takes_the_gpu() -> None:
    assert choose_device("auto").type == "cuda"


def test_a_whole_search_runs_on_the_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    toy = ToySearch(tmp_path)
    toy.run(toy.request(device="cuda", trials=16))
    trials = toy.study().trials
    assert {"frozen", "last-stages", "full"} <= {row.configuration.strategy for row in trials}
    assert not [row.reason for row in trials if row.state == "failed"]
    assert {row.device for row in trials} == {"cuda:0"}


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two CUDA devices")
def test_fine_tunes_run_on_two_gpus_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    toy = ToySearch(tmp_path)
    toy.run(toy.request(device="auto", devices=("0", "1"), trials=20))
    trials = toy.study().trials
    assert not [row.reason for row in trials if row.state == "failed"]
    assert {row.device for row in trials if row.stage == "tune"} == {"cuda:0", "cuda:1"}
    assert {row.device for row in trials if row.stage == "heads"} == {"cuda:0"}


def test_mixed_precision_features_agree_with_those_of_the_cpu() -> None:
    weights = locate(bundled.CARD.weights, offline=True, hub=shared_probe())
    network = bundled.build(card=bundled.CARD, weights=weights, seed=0)
    batch = torch.rand(8, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected = network.features(batch).numpy()
    device = choose_device("cuda")
    network.module.to(device)
    with torch.inference_mode(), autocast(device):
        found = network.features(to_device(batch, device)).float().cpu().numpy()
    cosine = (expected * found).sum(axis=1) / (
        np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    )
    assert cosine.min() > 0.99
