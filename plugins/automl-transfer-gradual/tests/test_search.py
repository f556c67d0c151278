"""A search names the strategies, and ranks them."""

from __future__ import annotations

from pathlib import Path

from automl_transfer.plugins import load_registry
from automl_transfer.request import SearchRequest
from automl_transfer.searching import run_search
from automl_transfer.study import Study
from automl_transfer.testing.toy import toy_plugin, write_toy_data


def test_a_search_ranks_both(tmp_path: Path) -> None:
    request = SearchRequest(
        data=str(write_toy_data(tmp_path / "data.toy.csv")),
        study="toy",
        studies=str(tmp_path / "studies"),
        trials=6,
        epochs=4,
        backbones=("toy/small",),
        heads=("ridge",),
        strategies=("gradual/*",),
        offline=True,
        device="cpu",
    )
    list(run_search(request, load_registry(extra=[toy_plugin(tmp_path)])))
    study = Study(tmp_path / "studies" / "toy")
    assert [row.reason for row in study.trials if row.state == "failed"] == []
    ranked = {row.configuration.strategy: row for row in study.ranking}
    assert set(ranked) == {"gradual/unfreezing", "gradual/surgical"}
    # Of the three blocks of the toy network one, and all of them.
    assert (
        0
        < ranked["gradual/surgical"].trainable_parameters
        < ranked["gradual/unfreezing"].trainable_parameters
    )
