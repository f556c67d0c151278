"""A search over the toy modality: the whole path, in seconds, without pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from automl_transfer.events import Event
from automl_transfer.outcome import Outcome
from automl_transfer.plugins import load_registry
from automl_transfer.request import SearchRequest
from automl_transfer.searching import run_search
from automl_transfer.study import Study
from automl_transfer.testing.toy import toy_plugin, write_toy_data


def comparable(outcomes: Sequence[Outcome]) -> list[tuple[object, ...]]:
    """What must be the same of trials, however they came about."""
    return [
        (
            row.number,
            row.stage,
            row.configuration,
            row.state,
            row.reason,
            row.value,
            row.metrics,
            row.proof,
        )
        for row in outcomes
    ]


class ToySearch:
    """A directory with toy data and toy backbones, and searches over them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = write_toy_data(directory / "data.toy.csv", n=120)
        self.plugin = toy_plugin(directory)

    def request(self, **changes: Any) -> SearchRequest:
        """A small search; ``changes`` replace its options."""
        usual = SearchRequest(
            data=str(self.data),
            study="toy",
            studies=str(self.directory / "studies"),
            trials=9,
            epochs=2,
            backbones=("toy/*",),
            offline=True,
            device="cpu",
            hold_out="yes",
        )
        return replace(usual, **changes)

    def events(
        self, request: SearchRequest | None = None, plugins: Sequence[object] = ()
    ) -> Iterator[Event]:
        """Runs a search and yields its events."""
        registry = load_registry(extra=[self.plugin, *plugins], third_party=False)
        return run_search(request or self.request(), registry)

    def run(
        self, request: SearchRequest | None = None, plugins: Sequence[object] = ()
    ) -> list[Event]:
        """Runs a search to its end."""
        return list(self.events(request, plugins))

    def compared(self, name: str = "toy") -> list[tuple[object, ...]]:
        """The trials of a stored study; see :func:`comparable`."""
        return comparable(self.study(name).trials)

    def study(self, name: str = "toy") -> Study:
        """The stored study."""
        return Study(self.directory / "studies" / name)
