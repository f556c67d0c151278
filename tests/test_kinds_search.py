"""Several labels, and numbers: from the file to the prediction."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from automl_transfer.cards import HeadCard
from automl_transfer.dataset import DataOptions
from automl_transfer.errors import StudyError, UsageError
from automl_transfer.events import DataLoaded, TrialEnded
from automl_transfer.hookspecs import hookimpl
from automl_transfer.kinds import Kind
from automl_transfer.metrics import prepare
from automl_transfer.plugins import load_registry
from automl_transfer.testing.toy import write_toy_data
from automl_transfer.trained import Model
from tests.toy_search import ToySearch

KINDS: tuple[Kind, ...] = ("multi-label", "regression")
STRATEGIES = ("frozen", "full", "last-stages", "lora", "norm-bias", "first-stages")


def searched(directory: Path, kind: Kind, **changes) -> ToySearch:
    toy = ToySearch(directory)
    toy.data = write_toy_data(directory / "kinds.toy.csv", n=240, kind=kind)
    usual = {"trials": 30, "strategies": STRATEGIES, "options": DataOptions(task=kind)}
    toy.run(toy.request(**(usual | changes)))
    return toy


@pytest.fixture(scope="module", params=KINDS)
def finished(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Kind, ToySearch]:
    """A search that ran to its end; tests only read it."""
    with pytest.MonkeyPatch.context() as patch:
        directory = tmp_path_factory.mktemp("kinds")
        patch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(directory / "cache"))
        return request.param, searched(directory, request.param)


def model_of(toy: ToySearch) -> Model:
    registry = load_registry(extra=[toy.plugin], third_party=False)
    return Model.load(toy.study().files.model, registry)


def test_every_strategy_and_every_fit_head_is_tried_without_a_failure(finished) -> None:
    _, toy = finished
    trials = toy.study().trials
    assert [row.reason for row in trials if row.state == "failed"] == []
    ended = [row.configuration for row in trials if row.state == "finished"]
    assert {row.head for row in ended} == {"linear", "mlp", "mlp-stages", "ridge", "ridge-stages"}
    assert len({row.strategy for row in ended}) >= 4


def test_the_answer_beats_what_looks_at_no_sample(finished) -> None:
    kind, toy = finished
    answer = toy.study().recommendation
    assert answer is not None and answer.kind == kind
    assert answer.metric == {"multi-label": "mean_average_precision", "regression": "r2"}[kind]
    names = [row.name for row in answer.baselines]
    assert names[0] == {"multi-label": "label frequencies", "regression": "mean"}[kind]
    assert answer.baselines[0].value is not None
    assert answer.test.value > answer.baselines[0].value + 0.2
    assert answer.baselines[0].gain is not None and answer.baselines[0].gain.low > 0
    assert answer.confirmation is not None and answer.learning is not None


def test_the_stored_model_predicts_what_the_report_says(finished) -> None:
    kind, toy = finished
    study, model = toy.study(), model_of(toy)
    manifest = study.files.read_manifest()
    places = [at for at, part in enumerate(manifest["part"]) if part == "test"]
    paths = [f"{toy.data}#{manifest['source'][at]}" for at in places]
    found, errors = model.probabilities(paths, device="cpu")
    assert not any(errors)
    texts = [manifest["class"][at] for at in places]
    if kind == "regression":
        targets = np.array([float(text) for text in texts])
        assert model.predict(paths[:1])[0].number == pytest.approx(float(found[0, 0]))
    else:
        sets = [set(text.split("; ")) for text in texts]
        targets = np.array(
            [[name in one for name in model.classes] for one in sets], dtype=np.uint8
        )
        first = model.predict(paths[:1])[0]
        assert set(first.labels or ()) == {
            name for name, chance in first.probabilities.items() if chance >= 0.5
        }
    value = prepare(study.recommendation.metric, found, targets)(np.ones((1, len(targets))))[0]
    assert value == pytest.approx(study.recommendation.test.value, abs=1e-4)


def test_the_report_shows_where_it_is_wrong(finished) -> None:
    kind, toy = finished
    test = toy.study().recommendation.test
    text = (toy.study().files.path / "report.md").read_text(encoding="utf-8")
    assert test.misses and "Furthest off" in text and test.misses[0].source in text
    assert test.confusion == ()
    if kind == "regression":
        assert len(test.points) == test.samples and not test.report
        assert "mean absolute error" in text and "Classification report" not in text
    else:
        assert {"even", "positive"} <= set(test.report) and test.reliability
        assert "Label by label" in text
    html = (toy.study().files.path / "report.html").read_text(encoding="utf-8")
    assert "<svg" in html


def test_a_resumed_study_goes_on(tmp_path: Path) -> None:
    toy = searched(tmp_path, "regression")
    before = {row.number: row for row in toy.study().trials}
    request = toy.study().request
    events = toy.run(replace(request, trials=34))
    assert sum(isinstance(event, TrialEnded) for event in events) == 4
    after = {row.number: row for row in toy.study().trials}
    assert all(after[number] == row for number, row in before.items())


def test_the_same_seed_gives_the_same_numbers(tmp_path: Path) -> None:
    values = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        toy = searched(tmp_path / name, "regression", strategies=("frozen", "lora"))
        values.append([row.value for row in toy.study().trials])
    assert values[0] == values[1]


def test_other_units_change_nothing_but_the_unit(tmp_path: Path) -> None:
    toy = searched(tmp_path, "regression", strategies=("frozen",), metric="neg_mae")
    lines = toy.data.read_text(encoding="utf-8").splitlines()
    rows = [line.partition(",") for line in lines]
    toy.data = tmp_path / "scaled.toy.csv"
    toy.data.write_text(
        "".join(f"{1000 * float(y) - 7},{rest}\n" for y, _, rest in rows), encoding="utf-8"
    )
    first = toy.study()
    toy.run(replace(first.request, data=str(toy.data), study="scaled"))
    second = toy.study("scaled")
    assert second.recommendation.winner.configuration == first.recommendation.winner.configuration
    assert second.recommendation.test.value == pytest.approx(
        1000 * first.recommendation.test.value, rel=1e-3
    )


def test_what_is_fine_tuned_next_does_not_depend_on_the_unit(tmp_path: Path) -> None:
    tried = []
    for name, factor in (("small", 1e-3), ("large", 1e5)):
        toy = ToySearch(tmp_path)
        toy.data = tmp_path / f"{name}.toy.csv"
        write_toy_data(toy.data, n=120, kind="regression")
        rows = [line.partition(",") for line in toy.data.read_text(encoding="utf-8").splitlines()]
        lines = [f"{factor * float(y)!r},{rest}\n" for y, _, rest in rows]
        toy.data.write_text("".join(lines), encoding="utf-8")
        strategies = ("frozen", "full", "last-stages", "norm-bias")
        options = DataOptions(task="regression")
        toy.run(
            toy.request(
                study=name, trials=14, strategies=strategies, options=options, metric="neg_mae"
            )
        )
        tried.append([row.configuration.title for row in toy.study(name).trials])
    assert tried[0] == tried[1]


def test_a_head_for_classes_alone_is_refused_by_name_and_passed_over_else(tmp_path: Path) -> None:
    toy = ToySearch(tmp_path)
    toy.data = write_toy_data(tmp_path / "kinds.toy.csv", n=120, kind="regression")
    options = DataOptions(task="regression")
    with pytest.raises(UsageError, match=r"'cosine' is for single-label only.*linear"):
        toy.run(toy.request(heads=("cosine", "linear"), options=options))
    toy.run(toy.request(study="glob", heads=("*e*",), trials=4, options=options))
    tried = {row.configuration.head for row in toy.study("glob").trials}
    assert tried <= {"linear", "ridge", "ridge-stages"}


def test_of_a_single_label_the_report_is_about_its_presence(tmp_path: Path) -> None:
    toy = ToySearch(tmp_path)
    toy.data = write_toy_data(tmp_path / "kinds.toy.csv", n=120, kind="multi-label")
    rows = [line.partition(",") for line in toy.data.read_text(encoding="utf-8").splitlines()]
    lines = [f"{'even' if 'even' in labels else ''},{rest}\n" for labels, _, rest in rows]
    toy.data.write_text("".join(lines), encoding="utf-8")
    toy.run(toy.request(trials=2, strategies=("frozen",), options=DataOptions(task="multi-label")))
    test, manifest = toy.study().recommendation.test, toy.study().files.read_manifest()
    held_out = [
        name
        for name, part in zip(manifest["class"], manifest["part"], strict=True)
        if part == "test"
    ]
    assert test.report["even"]["support"] == held_out.count("even") != len(held_out) / 2
    assert test.report["even"]["f1-score"] == pytest.approx(test.metrics["macro_f1"])


def test_a_metric_of_another_kind_is_refused(tmp_path: Path) -> None:
    toy = ToySearch(tmp_path)
    toy.data = write_toy_data(tmp_path / "kinds.toy.csv", n=120, kind="multi-label")
    with pytest.raises(UsageError, match="of a multi-label task must be one of auto, m"):
        toy.run(toy.request(metric="r2", options=DataOptions(task="multi-label")))


def test_the_kind_is_part_of_the_study(tmp_path: Path) -> None:
    toy = ToySearch(tmp_path)
    toy.data = write_toy_data(tmp_path / "kinds.toy.csv", n=120, kind="multi-label")
    loaded = [
        event
        for event in toy.events(toy.request(trials=2, options=DataOptions(task="multi-label")))
        if isinstance(event, DataLoaded)
    ]
    assert loaded[0].kind == "multi-label" and loaded[0].classes == ("even", "positive")
    with pytest.raises(StudyError, match="options"):
        toy.run(toy.request(trials=4))


class ForClasses:
    """A plugin whose head says nothing of kinds: written before there were any."""

    @hookimpl
    def automl_transfer_heads(self):
        return [HeadCard(id="acme/old", factory="automl_transfer.heads.linear:build")]


def test_a_plugins_head_that_says_nothing_is_for_classes(tmp_path: Path) -> None:
    toy = ToySearch(tmp_path)
    toy.data = write_toy_data(tmp_path / "kinds.toy.csv", n=120, kind="regression")
    toy.run(toy.request(trials=6, options=DataOptions(task="regression")), plugins=[ForClasses()])
    assert "acme/old" not in {row.configuration.head for row in toy.study().trials}
