"""Heads that read the outputs of stages, through whole searches."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from automl_transfer.cards import CardError, HeadCard
from automl_transfer.errors import TrialError
from automl_transfer.hookspecs import hookimpl
from automl_transfer.plugins import load_registry
from automl_transfer.recommendation import Recommendation
from automl_transfer.trained import Model
from automl_transfer.training import stage_outputs as outputs_module
from tests.toy_search import ToySearch

HEAD = "ridge-stages"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToySearch:
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    return ToySearch(tmp_path)


def answer(toy: ToySearch, name: str = "toy") -> Recommendation:
    found = toy.study(name).recommendation
    assert found is not None
    return found


def reasons(toy: ToySearch) -> dict[str, str]:
    return {row.what: row.reason for row in answer(toy).why_not}


def tried(toy: ToySearch, stage: str) -> set[str]:
    return {row.configuration.head for row in toy.study().trials if row.stage == stage}


def nothing_pooled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs_module, "stage_outputs", lambda *_, **__: None)


def test_its_model_is_stored_and_answers_as_it_did(toy: ToySearch) -> None:
    toy.run(toy.request(heads=(HEAD,), strategies=("frozen",), trials=2))
    found = answer(toy)
    assert found.winner.configuration.head == HEAD
    files = toy.study().files
    stored = json.loads((files.model / "model.json").read_text())
    widths = [one["width"] for one in stored["stage_outputs"]["outputs"]]
    assert stored["width"] == stored["stage_outputs"]["width"] + sum(widths) and widths
    model = Model.load(files.model, load_registry(extra=[toy.plugin], third_party=False))
    held_out = files.read_held_out()
    assert held_out is not None
    places, expected = held_out
    sources = files.read_manifest()["source"]
    probabilities, errors = model.probabilities(
        [f"{toy.data}#{sources[place]}" for place in places], device="cpu"
    )
    assert not any(errors)
    np.testing.assert_allclose(probabilities, expected, atol=1e-4)


def test_a_fine_tune_begins_with_another_head(toy: ToySearch) -> None:
    toy.run(toy.request(heads=(HEAD, "ridge"), strategies=("frozen", "last-stages"), trials=14))
    assert tried(toy, "heads") == {HEAD, "ridge"}
    assert tried(toy, "tune") == {"ridge"}


def test_alone_it_is_not_fine_tuned_with_and_that_is_said(toy: ToySearch) -> None:
    toy.run(toy.request(heads=(HEAD,), strategies=("frozen", "last-stages"), trials=9))
    assert tried(toy, "heads") == {HEAD} and not tried(toy, "tune")
    assert "nothing is fine-tuned" in reasons(toy)[HEAD]


def test_a_second_search_passes_nothing_through_a_network_again(
    toy: ToySearch, passed: list[int]
) -> None:
    options: dict[str, Any] = {"strategies": ("frozen",), "trials": 8, "backbones": ("toy/small",)}
    toy.run(toy.request(**options))
    assert sum(passed) == 120, "each sample once, for the features and for the stages"
    passed.clear()
    toy.run(toy.request(study="again", **options))
    assert not passed
    assert answer(toy, "again").test.value == answer(toy).test.value


def test_where_nothing_can_be_pooled_the_other_heads_are_tried(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing_pooled(monkeypatch)
    toy.run(toy.request(heads=(HEAD, "ridge"), strategies=("frozen",), trials=6))
    assert tried(toy, "heads") == {"ridge"}
    assert "none can be pooled" in reasons(toy)[f"{HEAD} on toy/small"]


def test_a_resumed_search_reads_what_it_has_read(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"heads": (HEAD,), "strategies": ("frozen",)}
    toy.run(toy.request(trials=1, **options))
    nothing_pooled(monkeypatch)
    toy.run(toy.request(trials=2, **options))
    assert [row.state for row in toy.study().trials] == ["finished"] * 2


def test_a_stage_that_fails_in_a_pass_costs_its_head_and_no_backbone(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, batch: Any) -> Any:
        raise KeyError("blocks.3")

    monkeypatch.setattr(outputs_module.WithStageOutputs, "features", broken)
    toy.run(toy.request(heads=(HEAD, "ridge"), strategies=("frozen",), trials=6))
    assert {row.configuration.backbone for row in toy.study().trials} == {"toy/small", "toy/wide"}
    assert tried(toy, "heads") == {"ridge"}
    assert f"{HEAD} on toy/wide" in reasons(toy)


def test_with_such_heads_alone_all_trials_are_theirs(toy: ToySearch) -> None:
    options: dict[str, Any] = {"heads": (HEAD,), "strategies": ("frozen", "last-stages")}
    toy.run(toy.request(trials=2, **options))
    assert len(toy.study().trials) == 2, "none is kept for fine-tunes"


def test_a_model_of_an_earlier_version_reads_the_features(toy: ToySearch) -> None:
    toy.run(toy.request(heads=("ridge",), strategies=("frozen",), trials=1))
    files = toy.study().files
    stored = json.loads((files.model / "model.json").read_text())
    assert stored.pop("stage_outputs") is None
    assert stored["head"].pop("reads") == "features"
    (files.model / "model.json").write_text(json.dumps(stored))
    model = Model.load(files.model, load_registry(extra=[toy.plugin], third_party=False))
    probabilities, errors = model.probabilities([f"{toy.data}#1"], device="cpu")
    assert errors == [None] and np.isfinite(probabilities).all()


def test_a_fault_in_looking_for_outputs_costs_no_backbone(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("hooks are not allowed here")

    monkeypatch.setattr(outputs_module, "stage_outputs", broken)
    toy.run(toy.request(strategies=("frozen",), trials=6))
    assert {row.configuration.backbone for row in toy.study().trials} == {"toy/small", "toy/wide"}


def test_a_plugins_head_that_learns_step_by_step_may_read_stages(toy: ToySearch) -> None:
    @hookimpl
    def automl_transfer_heads() -> list[HeadCard]:
        card = HeadCard(
            id="deep/linear", factory="automl_transfer.heads.linear:build", reads="stages"
        )
        return [card]

    plugin = SimpleNamespace(__name__="deep", automl_transfer_heads=automl_transfer_heads)
    options: dict[str, Any] = {"strategies": ("frozen",), "trials": 10}
    toy.run(toy.request(heads=("deep/linear", "linear"), **options), [plugin])
    rows = [row for row in toy.study().trials if row.state == "finished"]
    assert {row.configuration.head for row in rows} == {"deep/linear", "linear"}
    by_head = {row.configuration.head: row.proof.trainable_parameters for row in rows if row.proof}
    assert by_head["deep/linear"] > by_head["linear"], "it has weights for the stages as well"


def test_a_card_says_what_its_head_reads_in_known_words() -> None:
    with pytest.raises(CardError, match="must be one of features, stages, but got 'all'"):
        HeadCard(id="any", factory="any.module:build", reads="all")  # type: ignore[arg-type]


def test_a_trial_whose_head_cannot_read_its_backbone_says_so(toy: ToySearch) -> None:
    from automl_transfer.configuration import Configuration
    from automl_transfer.stages.context import Bench

    registry = load_registry(extra=[toy.plugin], third_party=False)
    candidate = SimpleNamespace(read_by=lambda head: None)
    bench = Bench(request=toy.request(), registry=registry, candidates={"toy/small": candidate})  # type: ignore[dict-item]
    asked = Configuration(backbone="toy/small", head=HEAD, strategy="frozen", params={})
    with pytest.raises(TrialError, match="of 'toy/small' none can be pooled"):
        bench.candidate_of(asked)


def test_it_is_not_begun_when_there_is_no_time_for_it(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl_transfer.stages import heads as stage

    monkeypatch.setattr(stage, "OF_WHAT_IS_LEFT", 0.0)
    toy.run(
        toy.request(
            heads=(HEAD, "ridge"), strategies=("frozen",), trials=None, budget_seconds=30.0
        )
    )
    assert tried(toy, "heads") == {"ridge"}
    assert "more than a tenth of the time left" in reasons(toy)[f"{HEAD} on toy/small"]
