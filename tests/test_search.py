"""The whole path over a kind of data that has no pixels."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import automl_transfer
from automl_transfer import budget as budget_module
from automl_transfer.cards import (
    BackboneCard,
    HeadCard,
    PrunerCard,
    SamplerCard,
    StrategyCard,
    WeightsCard,
)
from automl_transfer.errors import (
    DataError,
    EmptySpaceError,
    NothingUsableError,
    StudyError,
    UsageError,
)
from automl_transfer.events import (
    BackboneExcluded,
    DataLoaded,
    Event,
    Note,
    Recommended,
    SearchStarted,
    Standing,
    TrialEnded,
    TrialReported,
    TrialStarted,
)
from automl_transfer.hookspecs import hookimpl
from automl_transfer.outcome import Outcome
from automl_transfer.plan import FreezePlan, Phase
from automl_transfer.space import Choice, Scalar
from automl_transfer.store import Store
from automl_transfer.tempering import tempered
from automl_transfer.testing.toy import toy_plugin, write_toy_data
from tests.toy_search import ToySearch


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> ToySearch:
    """A search that ran to its end; tests only read it."""
    with pytest.MonkeyPatch.context() as patch:
        directory = tmp_path_factory.mktemp("finished")
        patch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(directory / "cache"))
        toy = ToySearch(directory)
        # Which of the tied is the fastest is measured, and differs from time to time.
        toy.events_seen = toy.run(toy.request(trials=16, prefer="accuracy"))  # type: ignore[attr-defined]
        return toy


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToySearch:
    """A directory for a search of its own."""
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    return ToySearch(tmp_path)


def ended(events: list[object]) -> list[Outcome]:
    return [event.outcome for event in events if isinstance(event, TrialEnded)]


def comparable(outcomes: list[Outcome]) -> list[object]:
    return [(row.number, row.stage, row.configuration, row.state, row.value) for row in outcomes]


def test_a_search_leaves_exactly_the_files_it_promises(finished: ToySearch) -> None:
    study = finished.study()
    study.close()
    left = {
        str(path.relative_to(study.directory))
        for path in study.directory.rglob("*")
        if path.is_file() and path.parent.name != "predictions"
    }
    assert left - {"study.db-wal", "study.db-shm"} == {
        "study.toml",
        "study.db",
        "search.lock",
        "manifest.parquet",
        "audit.json",
        "quarantined.csv",
        "recommendation.json",
        "report.md",
        "report.html",
        "mislabelled.json",
        "held_out.npz",
        "map.npz",
        "checkpoint/model.safetensors",
        "checkpoint/trial.json",
        "model/model.safetensors",
        "model/model.json",
    }


def test_both_reports_give_the_answer(finished: ToySearch) -> None:
    study = finished.study()
    answer = study.recommendation
    assert answer is not None
    page = study.files.page.read_text(encoding="utf-8")
    said = f"Use {answer.winner.configuration.backbone} with the head"
    assert said in page
    assert said in study.files.report.read_text(encoding="utf-8")
    assert '<h2 id="learning-curves">' in page
    assert '<h2 id="screening">' in page
    assert "<svg" in page


def test_a_report_that_cannot_be_written_takes_nothing_from_the_answer(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("automl_transfer.searching.write_reports", full)
    events = toy.run(toy.request(trials=2))
    notes = [event.text for event in events if isinstance(event, Note)]
    assert "The report could not be written (OSError: no space left on device)." in notes
    assert isinstance(events[-1], Recommended)
    assert toy.study().recommendation is not None
    assert toy.study().status["state"] == "finished"


def test_frozen_partial_and_full_strategies_are_all_ranked(finished: ToySearch) -> None:
    tried = {row.configuration.strategy for row in finished.study().trials}
    assert {"frozen", "last-stages", "full"} <= tried


def test_the_ranking_holds_finalists_and_then_the_others_best_first(finished: ToySearch) -> None:
    study = finished.study()
    recommendation = study.recommendation
    assert recommendation is not None
    assert recommendation.confirmation is not None
    finalists = {one.number for one in recommendation.confirmation.finalists}
    assert {row.number for row in study.ranking[: len(finalists)]} == finalists
    values = [row.value for row in study.ranking[len(finalists) :]]
    assert values == sorted(values, reverse=True)
    assert len(study.ranking) == recommendation.trials["finished"]
    assert sum(recommendation.trials.values()) == 16 == len(study.trials)
    assert study.ranking[0].number == recommendation.winner.number
    for row in study.ranking:
        assert row.interval is not None
        assert row.interval.low <= row.value <= row.interval.high


def test_the_answer_says_what_it_costs_also_without_finalists(
    finished: ToySearch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = finished.study().recommendation
    assert known is not None and known.confirmation is not None
    costs = {one.number: one.cost for one in known.confirmation.finalists}
    assert known.cost is not None and known.cost == costs[known.winner.number]
    monkeypatch.setattr("automl_transfer.stages.recommend.confirmation", lambda context: None)
    toy = ToySearch(tmp_path)
    toy.run(toy.request(trials=3))
    alone = toy.study().recommendation
    assert alone is not None and alone.confirmation is None
    assert alone.cost is not None and alone.cost.latency > 0
    report = (toy.study().files.path / "report.md").read_text(encoding="utf-8")
    assert "latency was not measured" not in report and "for one sample" in report


def test_the_test_part_is_opened_once_and_never_trained_on(finished: ToySearch) -> None:
    recommendation = finished.study().recommendation
    assert recommendation is not None
    assert recommendation.test.openings == 1
    manifest = finished.study().files.read_manifest()
    assert recommendation.test.samples == manifest["part"].count("test")
    assert sum(map(sum, recommendation.test.confusion)) == recommendation.test.samples


def test_the_winner_beats_the_majority_class(finished: ToySearch) -> None:
    recommendation = finished.study().recommendation
    assert recommendation is not None
    baselines = {row.name: row.value for row in recommendation.baselines}
    assert {"majority class", "kNN on raw inputs", "kNN on frozen features"} < set(baselines)
    assert recommendation.test.value > baselines["majority class"] + 0.2


def test_each_row_tells_where_it_came_from(finished: ToySearch) -> None:
    for row in finished.study().trials:
        assert row.providers[row.configuration.head].startswith("automl-transfer ")
        assert row.weights is not None and len(row.weights) == 64
        assert row.device == "cpu"
        if row.state == "finished":
            assert row.proof is not None and row.proof.frozen_tensors > 0


def test_the_stored_model_predicts_what_the_report_says(finished: ToySearch) -> None:
    study = finished.study()
    model = finished_model(finished)
    manifest = study.files.read_manifest()
    places = [place for place, part in enumerate(manifest["part"]) if part == "test"]
    paths = [f"{finished.data}#{manifest['source'][place]}" for place in places]
    predictions = model.predict(paths, device="cpu")
    truth = [manifest["class"][place] for place in places]
    hits = [guess.label == label for guess, label in zip(predictions, truth, strict=True)]
    recommendation = study.recommendation
    assert recommendation is not None
    assert np.mean(hits) == pytest.approx(recommendation.test.metrics["accuracy"])
    assert sum(predictions[0].probabilities.values()) == pytest.approx(1, abs=1e-4)


def finished_model(toy: ToySearch) -> automl_transfer.Model:
    from automl_transfer.plugins import load_registry
    from automl_transfer.trained import Model

    registry = load_registry(extra=[toy.plugin], third_party=False)
    return Model.load(toy.study().files.model, registry)


def test_a_flipped_bit_in_the_model_is_found(finished: ToySearch, tmp_path: Path) -> None:
    from automl_transfer.plugins import load_registry
    from automl_transfer.trained import Model

    copy = shutil.copytree(finished.study().files.model, tmp_path / "model")
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-3] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    registry = load_registry(extra=[finished.plugin], third_party=False)
    with pytest.raises(StudyError, match="must have SHA-256"):
        Model.load(copy, registry)


def _test_paths(toy: ToySearch) -> list[str]:
    manifest = toy.study().files.read_manifest()
    places = [place for place, part in enumerate(manifest["part"]) if part == "test"]
    return [f"{toy.data}#{manifest['source'][place]}" for place in places]


@pytest.mark.parametrize("stored", [None, 1.0, 2.5])
def test_a_stored_model_predicts_at_its_temperature(
    finished: ToySearch, tmp_path: Path, stored: float | None
) -> None:
    from automl_transfer.plugins import load_registry
    from automl_transfer.trained import Model

    copy = shutil.copytree(finished.study().files.model, tmp_path / "model")
    described = json.loads((copy / "model.json").read_text(encoding="utf-8"))
    assert described.pop("temperature") == 1.0
    if stored is not None:
        described["temperature"] = stored
    (copy / "model.json").write_text(json.dumps(described), encoding="utf-8")
    model = Model.load(copy, load_registry(extra=[finished.plugin], third_party=False))
    paths = _test_paths(finished)
    plain, _ = finished_model(finished).probabilities(paths, device="cpu")
    found, _ = model.probabilities(paths, device="cpu")
    np.testing.assert_allclose(found, tempered(plain, stored or 1.0), atol=1e-6)
    guesses = model.predict(paths[:3], device="cpu")
    assert [guess.probability for guess in guesses] == pytest.approx(found[:3].max(axis=1))


@pytest.mark.parametrize("stored", [0, -1.0, "warm", None, True])
def test_a_temperature_that_is_none_is_refused(
    finished: ToySearch, tmp_path: Path, stored: object
) -> None:
    from automl_transfer.plugins import load_registry
    from automl_transfer.trained import Model

    copy = shutil.copytree(finished.study().files.model, tmp_path / "model")
    described = json.loads((copy / "model.json").read_text(encoding="utf-8"))
    (copy / "model.json").write_text(
        json.dumps({**described, "temperature": stored}), encoding="utf-8"
    )
    registry = load_registry(extra=[finished.plugin], third_party=False)
    with pytest.raises(StudyError, match="must be a positive number"):
        Model.load(copy, registry)


def test_a_temperature_is_stored_with_the_model(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automl_transfer.stages.held_out._temperature", lambda *_: 1.75)
    toy.run(toy.request(strategies=("frozen",), trials=3))
    model = finished_model(toy)
    assert model.temperature == 1.75
    found, _ = model.probabilities(_test_paths(toy), device="cpu")
    model.temperature = 1.0
    plain, _ = model.probabilities(_test_paths(toy), device="cpu")
    np.testing.assert_allclose(found, tempered(plain, 1.75), atol=1e-6)


def test_the_events_tell_the_story_in_order(finished: ToySearch) -> None:
    events = finished.events_seen  # type: ignore[attr-defined]
    assert isinstance(events[0], SearchStarted)
    assert isinstance(events[-1], Recommended)
    loaded = next(event for event in events if isinstance(event, DataLoaded))
    assert sum(loaded.counts.values()) == 120
    running: set[int] = set()
    for event in events:
        if isinstance(event, TrialReported):
            running.add(event.number)
        if isinstance(event, TrialEnded) and event.outcome.curve:
            assert event.outcome.number in running


def test_same_seed_same_search(toy: ToySearch, finished: ToySearch) -> None:
    toy.run(toy.request(trials=16, prefer="accuracy"))
    assert comparable(toy.study().trials) == comparable(finished.study().trials)
    first, second = toy.study().recommendation, finished.study().recommendation
    assert first is not None and second is not None
    assert [row.number for row in first.ranking] == [row.number for row in second.ranking]
    assert first.test.value == second.test.value


def test_features_that_are_too_large_for_memory_give_the_same_search(
    toy: ToySearch, finished: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl_transfer.training import matrix

    monkeypatch.setattr(matrix, "MEMORY_BYTES", 0)
    toy.run(toy.request(trials=16))
    assert comparable(toy.study().trials) == comparable(finished.study().trials)


def test_another_seed_is_another_search(toy: ToySearch, finished: ToySearch) -> None:
    toy.run(toy.request(trials=16, seed=1))
    assert comparable(toy.study().trials) != comparable(finished.study().trials)


@pytest.mark.parametrize("stop_after", [3, 9])
def test_a_search_that_is_broken_off_goes_on_as_if_it_had_not_been(
    toy: ToySearch, finished: ToySearch, stop_after: int
) -> None:
    events = toy.events(toy.request(trials=16))
    for count, _ in enumerate((e for e in events if isinstance(e, TrialEnded)), start=1):
        if count == stop_after:
            break
    events.close()  # type: ignore[attr-defined]
    study = toy.study()
    assert study.status["state"] == "interrupted"
    assert study.running == []
    assert len(study.trials) == stop_after
    resumed = toy.run(toy.request(trials=16))
    assert isinstance(resumed[0], SearchStarted) and resumed[0].resumed == stop_after
    assert comparable(toy.study().trials) == comparable(finished.study().trials)


@pytest.mark.slow
@pytest.mark.parametrize("damaged", [False, True])
def test_a_batch_that_is_broken_off_between_rungs_goes_on_from_its_checkpoints(
    toy: ToySearch, tmp_path_factory: pytest.TempPathFactory, damaged: bool
) -> None:
    changes = {"trials": 14, "epochs": 100, "exclude": ("lora",)}
    whole = ToySearch(tmp_path_factory.mktemp("whole"))
    whole.run(whole.request(**changes))
    rungs = [
        event.point.step for event in toy_reports(toy.events(toy.request(**changes)), stop_at=3)
    ]
    assert rungs == [150, 150, 150]
    parked = sorted((toy.study().directory / "parked").iterdir())
    assert len(parked) == 3
    if damaged:
        for file in filter(Path.is_file, parked[0].rglob("*")):
            file.write_bytes(file.read_bytes()[:-7])
    again = [
        (event.number, event.point.step)
        for event in toy_reports(toy.events(toy.request(**changes)))
    ]
    first = int(parked[0].name)
    # What was done is not done again, unless its checkpoint is gone.
    assert ((first, 150) in again) == damaged
    assert comparable(toy.study().trials) == comparable(whole.study().trials)
    tuned = [row for row in toy.study().trials if row.stage == "tune"]
    assert {row.state for row in tuned} >= {"finished", "pruned"}
    for row in tuned:
        said = toy.study().files.read_predictions(row.number)
        assert said is not None
        np.testing.assert_array_equal(said, whole.study().files.read_predictions(row.number))
    assert not (toy.study().directory / "parked").exists()


def toy_reports(events: Iterator[Event], stop_at: int | None = None) -> Iterator[TrialReported]:
    """Reports of fine-tunes; the search is broken off after ``stop_at`` of them."""
    count = 0
    for event in events:
        if isinstance(event, TrialReported) and event.point.step:
            count += 1
            yield event
            if count == stop_at:
                events.close()  # type: ignore[attr-defined]
                return


def test_a_finished_search_is_not_run_again(toy: ToySearch) -> None:
    toy.run()
    before = toy.study().recommendation
    again = toy.run()
    assert ended(again) == []
    assert toy.study().recommendation == before
    assert toy.study().status["state"] == "finished"


def test_more_trials_continue_a_finished_search(toy: ToySearch) -> None:
    toy.run()
    events = toy.run(toy.request(trials=11))
    assert len(ended(events)) == 2
    recommendation = toy.study().recommendation
    assert recommendation is not None
    assert recommendation.test.openings == 2


def test_other_options_under_the_same_name_are_refused(toy: ToySearch) -> None:
    toy.run()
    with pytest.raises(StudyError, match=r"other options \(seed: 0 then, 5 now\)"):
        toy.run(toy.request(seed=5))


def test_other_data_under_the_same_name_are_refused(toy: ToySearch) -> None:
    toy.run()
    write_toy_data(toy.data, n=130)
    with pytest.raises(StudyError, match="was made with other data"):
        toy.run(toy.request(trials=10))


def test_a_directory_with_other_files_is_not_taken(toy: ToySearch) -> None:
    place = toy.directory / "studies" / "toy"
    place.mkdir(parents=True)
    (place / "thesis.txt").write_text("mine")
    with pytest.raises(StudyError, match="holds other files"):
        toy.run()
    assert {path.name for path in place.iterdir()} - {"search.lock"} == {"thesis.txt"}


def bad_head(*, width: int, classes: int, params: Mapping[str, Scalar]) -> object:
    """A head factory with a bug."""
    raise ZeroDivisionError("a bug in the plugin")


def exiting_head(*, width: int, classes: int, params: Mapping[str, Scalar]) -> object:
    """A head factory that tries to end the process."""
    raise SystemExit(3)


def nan_head(*, width: int, classes: int, params: Mapping[str, Scalar]) -> object:
    """A head whose scores are not numbers."""
    import torch

    layer = torch.nn.Linear(width, classes)
    torch.nn.init.constant_(layer.weight, float("nan"))
    return layer


def head_plugin(name: str) -> object:
    @hookimpl
    def automl_transfer_heads() -> list[HeadCard]:
        return [HeadCard(id=f"bad/{name}", factory=f"{__name__}:{name}_head")]

    return SimpleNamespace(__name__=f"bad_{name}", automl_transfer_heads=automl_transfer_heads)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("bad", "a bug in the plugin"), ("exiting", "SystemExit"), ("nan", "diverged")],
)
def test_a_failing_trial_is_recorded_and_the_search_goes_on(
    toy: ToySearch, name: str, reason: str
) -> None:
    request = toy.request(heads=("linear", "bad/*"), strategies=("frozen",), trials=6)
    toy.run(request, [head_plugin(name)])
    study = toy.study()
    failed = [row for row in study.trials if row.state == "failed"]
    assert failed and all(reason in (row.reason or "") for row in failed)
    assert all(row.value is None or np.isfinite(row.value) for row in failed)
    assert {row.configuration.head for row in study.ranking} == {"linear"}


def test_when_every_trial_fails_the_reasons_are_said(toy: ToySearch) -> None:
    request = toy.request(heads=("bad/*",), strategies=("frozen",), trials=4)
    with pytest.raises(NothingUsableError, match="a bug in the plugin") as caught:
        toy.run(request, [head_plugin("bad")])
    assert caught.value.exit_code == 1
    assert toy.study().status["state"] == "failed"


def moving_plan(*, stages: object, params: object) -> FreezePlan:
    """Names a stage that no network has."""
    return FreezePlan(phases=(Phase(name="all", share=1.0, trains={"nowhere": 1.0}),))


def test_a_plan_for_unknown_stages_fails_its_trials_only(toy: ToySearch) -> None:
    @hookimpl
    def automl_transfer_freeze_strategies() -> list[StrategyCard]:
        return [StrategyCard(id="bad/plan", factory=f"{__name__}:moving_plan")]

    plugin = SimpleNamespace(
        __name__="bad_plan", automl_transfer_freeze_strategies=automl_transfer_freeze_strategies
    )
    request = toy.request(heads=("linear",), strategies=("frozen", "bad/plan"), trials=6)
    toy.run(request, [plugin])
    failed = [row for row in toy.study().trials if row.state == "failed"]
    assert failed and all("must name stages of the backbone" in str(row.reason) for row in failed)


def broken_build(*, card: object, weights: object, seed: int) -> object:
    """A backbone that cannot be built."""
    raise RuntimeError("no such layer")


def backbone_plugin(toy: ToySearch, **changes: object) -> object:
    good = toy.plugin.automl_transfer_backbones()[0]  # type: ignore[attr-defined]

    @hookimpl
    def automl_transfer_backbones() -> list[BackboneCard]:
        return [replace(good, id="toy/other", **changes)]

    return SimpleNamespace(__name__="other", automl_transfer_backbones=automl_transfer_backbones)


def test_a_backbone_that_cannot_be_built_is_in_the_why_not_table(toy: ToySearch) -> None:
    plugin = backbone_plugin(toy, factory=f"{__name__}:broken_build")
    events = toy.run(plugins=[plugin])
    assert BackboneExcluded(backbone="toy/other", reason="RuntimeError: no such layer") in events
    recommendation = toy.study().recommendation
    assert recommendation is not None
    assert any(row.what == "toy/other" for row in recommendation.why_not)


def test_missing_weights_are_in_the_why_not_table(toy: ToySearch) -> None:
    weights = WeightsCard(sources=(f"dir:{toy.directory / 'missing.safetensors'}",))
    events = toy.run(plugins=[backbone_plugin(toy, weights=weights)])
    reasons = [event.reason for event in events if isinstance(event, BackboneExcluded)]
    assert len(reasons) == 1 and "missing.safetensors" in reasons[0]


def test_without_any_backbone_the_error_lists_why(toy: ToySearch) -> None:
    weights = WeightsCard(sources=(f"dir:{toy.directory / 'missing.safetensors'}",))
    plugin = backbone_plugin(toy, weights=weights)
    request = toy.request(backbones=("toy/other",))
    with pytest.raises(EmptySpaceError, match=r"missing\.safetensors") as caught:
        toy.run(request, [plugin])
    assert caught.value.exit_code == 5


asked: list[tuple[str, object]] = []


def own_sampler(*, seed: int, startup: int) -> object:
    """A sampler of a plugin."""
    import optuna

    asked.append(("sampler", seed))
    return optuna.samplers.RandomSampler(seed=seed)


def own_pruner(*, rungs: Sequence[int]) -> object:
    """A pruner of a plugin that stops everything at the first rung."""
    import optuna

    asked.append(("pruner", tuple(rungs)))
    return optuna.pruners.ThresholdPruner(lower=2.0)


def test_a_plugins_sampler_and_pruner_are_chosen_by_name(toy: ToySearch) -> None:
    @hookimpl
    def automl_transfer_samplers() -> list[SamplerCard]:
        return [SamplerCard(id="acme/mine", factory=f"{__name__}:own_sampler")]

    @hookimpl
    def automl_transfer_pruners() -> list[PrunerCard]:
        return [PrunerCard(id="acme/strict", factory=f"{__name__}:own_pruner")]

    plugin = SimpleNamespace(
        __name__="acme",
        automl_transfer_samplers=automl_transfer_samplers,
        automl_transfer_pruners=automl_transfer_pruners,
    )
    asked.clear()
    request = toy.request(
        sampler="acme/mine", pruner="acme/strict", epochs=100, trials=9, exclude=("lora",)
    )
    toy.run(request, [plugin])
    assert {what for what, _ in asked} == {"sampler", "pruner"}
    assert ("pruner", (150, 300)) in asked
    tuned = [row for row in toy.study().trials if row.stage == "tune"]
    assert tuned and all(row.state == "pruned" and row.steps == 150 for row in tuned)
    assert all("'acme/strict' stopped it" in (row.reason or "") for row in tuned)


@pytest.mark.parametrize("option", ["sampler", "pruner", "ranker"])
def test_an_unknown_way_to_search_is_refused_before_a_study_is_made(
    toy: ToySearch, option: str
) -> None:
    with pytest.raises(UsageError, match=f"There is no {option} 'magic'"):
        toy.run(toy.request(**{option: "magic"}))
    assert not (toy.directory / "studies").exists()


@pytest.mark.parametrize("ranker", ["ridge", "logme", "knn"])
def test_each_ranker_can_decide_and_all_are_told(toy: ToySearch, ranker: str) -> None:
    toy.run(toy.request(ranker=ranker, trials=4, strategies=("frozen",)))
    rows = toy.study().document("screen")
    assert {row["ranker"] for row in rows} == {ranker}
    assert all(set(row["scores"]) == {"ridge", "logme", "knn"} for row in rows)
    assert all(row["score"] == row["scores"][ranker] and row["verdict"] for row in rows)


def test_there_is_a_ranking_before_the_first_trial(toy: ToySearch) -> None:
    events = toy.run(toy.request(trials=4))
    first = next(place for place, event in enumerate(events) if isinstance(event, Standing))
    assert first < next(
        place for place, event in enumerate(events) if isinstance(event, TrialStarted)
    )
    standing = events[first]
    assert isinstance(standing, Standing)
    assert (
        standing.rows[0].interval.low <= standing.rows[0].value <= standing.rows[0].interval.high
    )


def test_a_veto_needs_no_more_than_a_reason(toy: ToySearch) -> None:
    @hookimpl
    def automl_transfer_veto(backbone: BackboneCard) -> str | None:
        return "too wide for our taste" if backbone.id == "toy/wide" else None

    plugin = SimpleNamespace(__name__="veto", automl_transfer_veto=automl_transfer_veto)
    toy.run(toy.request(trials=14), plugins=[plugin])
    assert {row.configuration.backbone for row in toy.study().trials} == {"toy/small"}
    recommendation = toy.study().recommendation
    assert recommendation is not None
    assert [row.reason for row in recommendation.why_not] == ["too wide for our taste (veto)"]


def test_max_params_leaves_out_what_is_larger(toy: ToySearch) -> None:
    toy.run(toy.request(max_params=1000))
    assert {row.configuration.backbone for row in toy.study().trials} == {"toy/small"}


def test_an_observer_that_raises_changes_nothing(toy: ToySearch, finished: ToySearch) -> None:
    heard = []

    @hookimpl
    def automl_transfer_trial_event(study: str, event: object) -> None:
        heard.append(event)
        raise ValueError("a broken tracker")

    plugin = SimpleNamespace(
        __name__="tracker", automl_transfer_trial_event=automl_transfer_trial_event
    )
    toy.run(toy.request(trials=16), [plugin])
    assert heard
    assert comparable(toy.study().trials) == comparable(finished.study().trials)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": ("liner",)}, r"--head must name one of .*Did you mean 'linear'"),
        ({"strategies": ("froze",)}, r"--strategy must name one of .*Did you mean 'frozen'"),
        ({"backbones": ("nothing/*",)}, r"must match a backbone that is offered"),
    ],
)
def test_names_that_match_nothing_are_refused(
    toy: ToySearch, changes: dict[str, tuple[str, ...]], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        toy.run(toy.request(**changes))


def test_excluding_everything_is_refused(toy: ToySearch) -> None:
    with pytest.raises(EmptySpaceError, match="--exclude"):
        toy.run(toy.request(exclude=("*",)))


def test_excluding_what_nothing_is_called_is_refused(toy: ToySearch) -> None:
    with pytest.raises(UsageError, match=r"got 'ful'. Did you mean 'full'\?"):
        toy.run(toy.request(exclude=("ful",)))
    toy.run(toy.request(exclude=("none/*", "timm/none", "local:none", "lora"), trials=2))


def test_a_refused_device_changes_nothing_of_a_study(toy: ToySearch) -> None:
    toy.run(toy.request(trials=2))
    asked = toy.study().files.read_toml()
    for changes in ({"devices": ("cuda:97", "cuda:98"), "device": "auto"}, {"device": "cuda:97"}):
        with pytest.raises(UsageError, match="must be auto or one of"):
            toy.run(toy.request(trials=4, **changes))
    assert toy.study().files.read_toml() == asked
    with pytest.raises(UsageError, match="must be auto or one of"):
        toy.run(toy.request(study="other", device="cuda:97"))
    assert not (toy.directory / "studies" / "other").exists()


def test_an_empty_directory_is_called_so(toy: ToySearch, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match=r"nothing' is empty"):
        toy.run(toy.request(data=str(tmp_path / "nothing")))


def test_globs_and_exclusions_narrow_the_search(toy: ToySearch) -> None:
    toy.run(toy.request(heads=("lin*", "proto*"), strategies=("frozen", "l*"), exclude=("lora",)))
    trials = toy.study().trials
    assert {row.configuration.head for row in trials} <= {"linear", "prototype"}
    assert {row.configuration.strategy for row in trials} == {"frozen", "last-stages"}


def test_from_scratch_is_tried_only_when_named(toy: ToySearch, finished: ToySearch) -> None:
    assert "scratch" not in {row.configuration.strategy for row in finished.study().trials}
    toy.run(toy.request(strategies=("scratch",), trials=2))
    assert {row.configuration.strategy for row in toy.study().trials} == {"scratch"}


def test_frozen_features_are_computed_once(toy: ToySearch) -> None:
    from automl_transfer.events import BackboneScreened

    first = [event for event in toy.run() if isinstance(event, BackboneScreened)]
    assert not any(event.cached for event in first)
    renamed = toy.run(toy.request(study="renamed"))
    assert all(event.cached for event in renamed if isinstance(event, BackboneScreened))


def test_a_study_outlives_a_backbone_that_goes_and_one_that_comes(toy: ToySearch) -> None:
    toy.run()
    before = comparable(toy.study().trials)
    toy.plugin = toy_plugin(toy.directory)
    newcomer = backbone_plugin(toy)
    wide_only = SimpleNamespace(
        __name__="less",
        automl_transfer_veto=hookimpl(_no_small),
    )
    events = toy.run(toy.request(trials=13), [newcomer, wide_only])
    after = toy.study().trials
    assert comparable(after)[: len(before)] == before
    assert "toy/small" not in {row.configuration.backbone for row in ended(events)}
    assert {row.generation for row in after} == {0, 1}


def _no_small(backbone: BackboneCard) -> str | None:
    return "gone" if backbone.id == "toy/small" else None


def test_a_time_budget_is_kept(toy: ToySearch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "MINIMUM_SECONDS", 1.0)
    toy.run(toy.request(trials=None, epochs=None, budget_seconds=45.0))
    study = toy.study()
    assert study.status["state"] == "finished"
    strategies = {row.configuration.strategy for row in study.trials}
    assert "frozen" in strategies and len(strategies) > 1
    # Not a time of this machine: what the search itself says that it has spent of what it had.
    assert study.status["spent"] <= 45.0 * 1.1


def test_the_python_api_does_the_same(toy: ToySearch) -> None:
    heard: list[object] = []
    study = automl_transfer.search(
        toy.data,
        trials=4,
        study="api",
        studies=toy.directory / "studies",
        backbones=["toy/small"],
        strategies=["frozen"],
        offline=True,
        plugins=[toy.plugin],
        on_event=heard.append,
    )
    assert isinstance(heard[-1], Recommended)
    assert study.recommendation is not None
    assert study.ranking[0].configuration.backbone == "toy/small"
    opened = automl_transfer.open_study("api", toy.directory / "studies")
    assert opened.recommendation == study.recommendation
    assert [path.name for path in automl_transfer.list_studies(toy.directory / "studies")] == [
        "api"
    ]


def test_recommendation_json_is_plain_and_versioned(finished: ToySearch) -> None:
    path = finished.study().directory / "recommendation.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    assert data["schema"] == 2
    assert data["winner"]["configuration"]["backbone"].startswith("toy/")
    assert data["command"].startswith("automl-transfer search --data ")


def test_two_searches_do_not_work_on_one_study_at_once(toy: ToySearch) -> None:
    first = toy.events()
    next(first)
    with pytest.raises(StudyError, match="another one is at work on 'toy'"):
        toy.run()
    first.close()  # type: ignore[attr-defined]
    toy.run()
    assert toy.study().status["state"] == "finished"


def test_a_search_whose_time_is_used_up_can_be_repeated(toy: ToySearch) -> None:
    request = toy.request(budget_seconds=40.0, trials=9)
    toy.run(request)
    store = Store(toy.study().files.database_url, "toy", create=True)
    store.put("status", {**store.get("status"), "spent": 41.0})
    before = toy.study().recommendation
    repeated = toy.run(request)
    assert ended(repeated) == []
    assert any("Nothing is left to do" in e.text for e in repeated if isinstance(e, Note))
    assert toy.study().recommendation == before
    # Also when it was broken off before there was an answer: what is there is ranked.
    (toy.study().directory / "recommendation.json").unlink()
    toy.run(request)
    again = toy.study().recommendation
    assert again is not None and before is not None
    assert {row.number for row in again.ranking} == {row.number for row in before.ranking}
    assert not {row.what for row in again.why_not} & {"toy/small", "toy/wide"}


def test_a_wrong_option_leaves_no_study_behind(toy: ToySearch) -> None:
    with pytest.raises(UsageError):
        toy.run(toy.request(heads=("liner",)))
    with pytest.raises(DataError, match="does not exist"):
        toy.run(toy.request(data=str(toy.directory / "nowhere")))
    assert not (toy.directory / "studies").exists()


def test_other_data_take_nothing_from_a_finished_study(toy: ToySearch) -> None:
    toy.run()
    write_toy_data(toy.data, n=130)
    with pytest.raises(StudyError):
        toy.run()
    assert toy.study().status["state"] == "finished"


def test_rows_are_not_looked_for_in_another_database(toy: ToySearch) -> None:
    url = f"sqlite:///{toy.directory / 'elsewhere.db'}"
    toy.run(toy.request(storage=url))
    with pytest.raises(StudyError, match="would look in 'its directory'"):
        toy.run(toy.request(trials=12))
    toy.run(toy.request(storage=url, trials=12))
    assert len(toy.study().trials) == 12


def test_a_euclidean_prototype_as_the_best_head_starts_fine_tunes(toy: ToySearch) -> None:
    events = toy.events(toy.request(heads=("prototype",), trials=12))
    for event in events:
        if isinstance(event, TrialEnded) and event.outcome.stage == "heads":
            continue
    tuned = [row for row in toy.study().trials if row.stage == "tune"]
    assert tuned and all(row.state != "failed" for row in tuned)


def test_a_best_head_whose_plugin_is_gone_does_not_stop_a_resume(toy: ToySearch) -> None:
    request = toy.request(heads=(), strategies=("frozen", "last-stages"), trials=20)

    @hookimpl
    def automl_transfer_heads() -> list[HeadCard]:
        return [HeadCard(id="good/head", factory="automl_transfer.heads.linear:build")]

    plugin = SimpleNamespace(__name__="good", automl_transfer_heads=automl_transfer_heads)
    toy.run(request, [plugin])
    assert "good/head" in {row.configuration.head for row in toy.study().trials}
    toy.run(replace(request, trials=24))
    recommendation = toy.study().recommendation
    assert recommendation is not None
    assert recommendation.winner.configuration.head != "good/head"


def test_a_failing_yardstick_does_not_cost_the_answer(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl_transfer.testing.toy import ToyModality

    def broken(*_: object) -> object:
        raise OSError("the disk is gone")

    monkeypatch.setattr(ToyModality, "raw_features", broken)
    toy.run()
    recommendation = toy.study().recommendation
    assert recommendation is not None
    assert "kNN on raw inputs" not in {row.name for row in recommendation.baselines}
    assert len(recommendation.baselines) == 4
    assert any("the disk is gone" in note for note in recommendation.notes)


def test_data_that_cannot_be_used_leave_no_study_behind(toy: ToySearch) -> None:
    toy.data.write_text("class0,1,2,3,4,5,6,7,8\n", encoding="utf-8")
    with pytest.raises(DataError, match="At least two classes"):
        toy.run()
    assert not (toy.directory / "studies" / "toy").exists()


def test_a_head_with_few_choices_leaves_the_others_their_trials(toy: ToySearch) -> None:
    @hookimpl
    def automl_transfer_heads() -> list[HeadCard]:
        choices = Choice(name="kind", choices=("a", "b"), default="a")
        factory = "automl_transfer.heads.ridge:build"
        return [HeadCard(id="few/two", factory=factory, closed_form=True, space=(choices,))]

    plugin = SimpleNamespace(__name__="few", automl_transfer_heads=automl_transfer_heads)
    request = toy.request(
        backbones=("toy/wide",), heads=("linear", "few/two"), strategies=("frozen",), trials=24
    )
    toy.run(request, [plugin])
    tried = Counter(row.configuration.head for row in toy.study().trials)
    assert tried["few/two"] == 2
    assert tried["linear"] == 22


def test_default_heads_are_tried_even_when_screening_took_long(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl_transfer.stages import heads as stage

    monkeypatch.setattr(budget_module, "MINIMUM_SECONDS", 1.0)
    monkeypatch.setattr(stage, "SHARE", 0.0)
    toy.run(toy.request(trials=None, budget_seconds=25.0, strategies=("frozen", "last-stages")))
    tried = {row.configuration.head for row in toy.study().trials if row.stage == "heads"}
    assert tried == {"linear", "mlp", "mlp-stages", "cosine", "prototype", "ridge", "ridge-stages"}


@pytest.mark.slow
def test_trials_that_are_too_large_to_wait_in_memory_wait_on_disk(
    toy: ToySearch, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    from automl_transfer.stages import advancing

    changes = {"trials": 14, "epochs": 100, "exclude": ("lora",)}
    held = ToySearch(tmp_path_factory.mktemp("held"))
    held.run(held.request(**changes))
    monkeypatch.setattr(advancing, "HELD_BYTES", 0)
    toy.run(toy.request(**changes))
    assert comparable(toy.study().trials) == comparable(held.study().trials)
    assert any(row.state == "finished" and row.stage == "tune" for row in toy.study().trials)
