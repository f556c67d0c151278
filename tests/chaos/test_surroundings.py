"""A search whose data cannot be written, whose data change, or whose clock jumps."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine

from automl_transfer.errors import AutomlTransferError, StudyError
from automl_transfer.events import DataLoaded, Event, Recommended, StageStarted
from automl_transfer.plugins import load_registry
from automl_transfer.request import SearchRequest
from automl_transfer.searching import run_search
from automl_transfer.study import Study
from tests.toy_search import ToySearch, comparable

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty-eight digits of four classes, in folders; nothing of them is in the cache."""
    from automl_transfer.modalities.image.samples import write_digits

    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    root = tmp_path / "digits"
    root.mkdir()
    write_digits(directory=root, labelling=None, per_class=12)
    for folder in sorted(filter(Path.is_dir, root.iterdir()))[4:]:
        shutil.rmtree(folder)
    return root


def request(images: Path, **changes: Any) -> SearchRequest:
    usual: dict[str, Any] = {
        "data": str(images),
        "study": "digits",
        "studies": str(images.parent / "studies"),
        "trials": 3,
        "epochs": 1,
        "backbones": ("bundled/efficientnet_lite0@96",),
        "heads": ("ridge",),
        "strategies": ("frozen", "last-stages"),
        "offline": True,
        "device": "cpu",
    }
    return SearchRequest(**usual | changes)


def events(wanted: SearchRequest) -> Iterator[Event]:
    return run_search(wanted, load_registry(third_party=False))


def seen(root: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below a directory; a file that came and went shows in its directory's time."""
    return {
        str(path): (state.st_mode, state.st_size, state.st_mtime_ns)
        for path in (root, *root.rglob("*"))
        for state in [path.lstat()]
    }


def test_data_that_cannot_be_written_are_only_read(images: Path) -> None:
    places = (images, *images.rglob("*"))
    for path in places:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = seen(images)
    try:
        assert isinstance(list(events(request(images)))[-1], Recommended)
        assert seen(images) == before
    finally:
        for path in places:
            path.chmod(0o755 if path.is_dir() else 0o644)


def change(images: Path) -> None:
    """Other pixels in each file of a class, and nothing else that shows."""
    first, *_, last = sorted(filter(Path.is_dir, images.iterdir()))
    for file, other in zip(sorted(first.iterdir()), sorted(last.iterdir()), strict=True):
        state = file.stat()
        shutil.copy(other, file)
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def test_data_that_change_once_they_are_read_change_no_result(images: Path) -> None:
    for event in events(request(images, study="alone")):
        if isinstance(event, StageStarted) and event.stage == "confirm":
            break
    shutil.rmtree(images.parent / "cache")
    for event in events(request(images)):
        if isinstance(event, DataLoaded):
            change(images)
        if isinstance(event, StageStarted) and event.stage == "confirm":
            break
    studies = images.parent / "studies"
    found, alone = (comparable(Study(studies / name).trials) for name in ("digits", "alone"))
    assert found == alone
    with pytest.raises(StudyError, match="data"):
        list(events(request(images)))


def test_data_that_change_before_they_are_read_are_refused(images: Path) -> None:
    run = events(request(images, cache_size=0))
    with pytest.raises(AutomlTransferError, match="content has changed since it was listed"):
        for event in run:
            if isinstance(event, DataLoaded):
                change(images)
    study = Study(images.parent / "studies" / "digits")
    assert study.trials == []
    assert study.status["state"] == "failed"


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    """By up to three days either way, at each event of the search."""
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    toy = ToySearch(tmp_path)
    wanted = toy.request(trials=12, heads=("linear",), backbones=("toy/small",))
    toy.run(replace(wanted, study="alone"))
    generator = random.Random(turn)
    with time_machine.travel(datetime(2026, 1, 1, tzinfo=UTC), tick=True) as clock:
        for _ in toy.events(wanted):
            clock.move_to(
                datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=generator.uniform(-3, 3))
            )
    assert toy.compared() == toy.compared("alone")
