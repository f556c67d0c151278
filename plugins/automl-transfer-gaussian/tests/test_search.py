"""A search names the head, and ranks it."""

from __future__ import annotations

from pathlib import Path

from automl_transfer.plugins import load_registry
from automl_transfer.request import SearchRequest
from automl_transfer.searching import run_search
from automl_transfer.study import Study
from automl_transfer.testing.toy import toy_plugin, write_toy_data


def test_a_search_ranks_it_frozen_and_as_the_start_of_a_fine_tune(tmp_path: Path) -> None:
    request = SearchRequest(
        data=str(write_toy_data(tmp_path / "data.toy.csv")),
        study="toy",
        studies=str(tmp_path / "studies"),
        trials=8,
        epochs=1,
        backbones=("toy/small",),
        heads=("gaussian/lda",),
        strategies=("frozen", "last-stages"),
        offline=True,
        device="cpu",
    )
    list(run_search(request, load_registry(extra=[toy_plugin(tmp_path)])))
    study = Study(tmp_path / "studies" / "toy")
    ended = [row for row in study.trials if row.state == "finished"]
    assert {row.configuration.head for row in study.trials} == {"gaussian/lda"}
    assert {row.configuration.strategy for row in ended} == {"frozen", "last-stages"}
    assert study.ranking
    assert study.recommendation is not None
    assert study.recommendation.winner.configuration.head == "gaussian/lda"
