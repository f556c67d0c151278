"""A loader that hangs costs its backbone, not the search."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from automl_transfer.events import BackboneExcluded, Recommended
from automl_transfer.testing import toy as toys
from tests.toy_search import ToySearch


def test_a_hung_loader_costs_the_backbone_whose_features_it_is_read_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("AUTOML_TRANSFER_HANG", "5")
    whole, over, hung = toys._Encoder.batch, threading.Event(), list[str]()

    def batch(self: Any, rows: Any, generator: Any = None) -> Any:
        if not hung:
            hung.append("once")
            over.wait(60)
        return whole(self, rows, generator)

    monkeypatch.setattr(toys._Encoder, "batch", batch)
    toy = ToySearch(tmp_path)
    events = []
    for event in toy.events(toy.request(trials=3, heads=("ridge",), strategies=("frozen",))):
        events.append(event)
        if isinstance(event, BackboneExcluded):
            over.set()
    (excluded,) = [event for event in events if isinstance(event, BackboneExcluded)]
    assert "No step was done for" in excluded.reason
    assert isinstance(events[-1], Recommended)
    assert events[-1].recommendation.winner.configuration.backbone != excluded.backbone
