"""A search over the toy data whose fine-tunes take a while, for several processes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from automl_transfer.events import Event
from automl_transfer.plugins import load_registry
from automl_transfer.registry import Registry
from automl_transfer.request import SearchRequest
from automl_transfer.searching import run_search
from automl_transfer.testing import toy
from automl_transfer.testing.toy import toy_plugin, write_toy_data

HANG = "hang"
"""A file of this name beside the data: the next batch that is read for training hangs."""
SLOW = float(os.environ.get("CHAOS_SLOW", "0.02"))
"""Seconds that a batch of a training takes longer."""


def request(directory: Path, workers: int = 1, storage: str | None = None) -> SearchRequest:
    """Two batches of fine-tuning trials over two rungs."""
    return SearchRequest(
        data=str(directory / "data.toy.csv"),
        study="toy",
        studies=str(directory / "studies"),
        storage=storage,
        trials=14,
        epochs=60,
        backbones=("toy/small",),
        heads=("linear",),
        strategies=("frozen", "full", "last-stages"),
        offline=True,
        device="cpu",
        hold_out="yes",
        workers=workers,
    )


def plugins(directory: Path) -> Registry:
    """The built-in plugin and the toy one, in whichever process."""
    whole = toy._Encoder.batch

    def slow(self: Any, rows: Any, generator: Any = None) -> Any:
        if generator is not None:
            time.sleep(SLOW)
            if os.environ.get("CHAOS_HANGS") and (directory / HANG).exists():
                (directory / HANG).unlink()
                (directory / "hung").write_text(str(os.getpid()))
                time.sleep(600)
        return whole(self, rows, generator)

    toy._Encoder.batch = slow  # type: ignore[method-assign]
    return load_registry(extra=[toy_plugin(directory)], third_party=False)


def prepared(directory: Path) -> Path:
    """A directory with the data."""
    directory.mkdir(parents=True, exist_ok=True)
    write_toy_data(directory / "data.toy.csv", n=120)
    toy_plugin(directory)
    return directory


def searching(directory: Path, wanted: SearchRequest) -> Iterator[Event]:
    """Runs or resumes the search."""
    return run_search(wanted, plugins(directory))
