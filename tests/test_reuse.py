"""A second search, under another name and with a little more data, repeats none of the work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import automl_transfer
from automl_transfer.events import BackboneScreened, Progress
from automl_transfer.modalities.image import encoder, inspecting

BACKBONE = "bundled/efficientnet_lite0@96"


def image_file(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    array = generator.integers(0, 128, (32, 32, 3), dtype=np.uint8)
    array[:, :, seed % 3] += 100
    Image.fromarray(array).save(path)


@pytest.mark.slow
def test_a_second_search_decodes_and_computes_what_is_new_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: list[int]
) -> None:
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    for seed in range(90):
        image_file(tmp_path / "data" / f"class{seed % 3}" / f"{seed}.png", seed)
    decoded: list[bytes] = []
    decode = inspecting.decode

    def counting(content: bytes) -> Image.Image:
        decoded.append(content)
        return decode(content)

    monkeypatch.setattr(inspecting, "decode", counting)
    monkeypatch.setattr(encoder, "decode", counting)

    def search(name: str) -> list[Any]:
        del decoded[:], passed[:]
        events: list[Any] = []
        study = automl_transfer.search(
            tmp_path / "data",
            trials=2,
            study=name,
            studies=tmp_path / "studies",
            backbones=[BACKBONE],
            heads=["prototype"],
            strategies=["frozen"],
            device="cpu",
            offline=True,
            on_event=events.append,
        )
        study.close()
        return events

    first = search("first")
    assert len(decoded) == 90, "once for all: to check, for the network and for the yardsticks"
    assert sum(passed) == 90
    assert any(isinstance(event, Progress) and event.what == "reading" for event in first)
    again = search("second")
    assert (len(decoded), sum(passed)) == (0, 0)
    screened = [event for event in again if isinstance(event, BackboneScreened)]
    assert screened and all(event.cached for event in screened)
    for seed in range(90, 99):
        image_file(tmp_path / "data" / f"class{seed % 3}" / f"{seed}.png", seed)
    search("more")
    assert (len(decoded), sum(passed)) == (9, 9)
