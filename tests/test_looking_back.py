"""What a search keeps for its pages, beside the answer and never at its cost."""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import automl_transfer
from automl_transfer.artifacts import HELD_OUT, MAP, STILLS, StudyDirectory
from automl_transfer.cards import StrategyCard
from automl_transfer.configuration import Configuration
from automl_transfer.dataset import DataOptions
from automl_transfer.errors import UsageError
from automl_transfer.events import Event, Note, Recommended, StageStarted, TrialEnded
from automl_transfer.hookspecs import hookimpl
from automl_transfer.importance import importances
from automl_transfer.jsonable import from_json, to_json
from automl_transfer.kinds import Kind
from automl_transfer.outcome import Outcome
from automl_transfer.plan import FreezePlan, Phase, StageView
from automl_transfer.stages.looking_back import FIRST_STILLS, _in_turn, _keep_map
from automl_transfer.testing.toy import ToyModality, write_toy_data
from tests.toy_search import ToySearch


@pytest.fixture
def toy(tmp_path: Path) -> ToySearch:
    return ToySearch(tmp_path)


def view(self: object, dataset: object, position: int) -> tuple[str, bytes]:
    return "image/png", b"view of %d" % position


def rows(values: list[float], **choices: list[object]) -> list[Outcome]:
    names = {"backbone", "head", "strategy"}
    return [
        Outcome(
            number=number,
            stage="heads",
            configuration=Configuration(
                backbone=str(choices.get("backbone", ["b"] * len(values))[number]),
                head=str(choices.get("head", ["h"] * len(values))[number]),
                strategy="s",
                params={
                    name: found[number]  # type: ignore[dict-item]
                    for name, found in choices.items()
                    if name not in names
                },
            ),
            state="finished",
            value=value,
        )
        for number, value in enumerate(values)
    ]


def test_what_the_winner_predicted_gives_its_confusion_matrix(toy: ToySearch) -> None:
    toy.run()
    study = toy.study()
    stored = study.files.read_held_out()
    answer = study.recommendation
    assert stored is not None and answer is not None
    positions, probabilities = stored
    manifest = study.files.read_manifest()
    classes = study.document("data")["classes"]
    assert {manifest["part"][at] for at in positions} == {"test"}
    matrix = np.zeros((len(classes), len(classes)), dtype=int)
    for at, row in zip(positions, probabilities, strict=True):
        matrix[classes.index(manifest["class"][at]), row.argmax()] += 1
    assert matrix.tolist() == [list(row) for row in answer.test.confusion]


def test_what_mattered_and_the_map_are_kept(toy: ToySearch) -> None:
    toy.run(toy.request(trials=30, strategies=("frozen",), heads=("linear",)))
    study = toy.study()
    found = study.document("importances")["heads"]
    assert {"head/linear/lr", "head/linear/weight_decay"} <= {row["name"] for row in found}
    assert all(0 <= row["share"] <= 1 and 0 <= row["null"] <= 1 for row in found)
    positions, points = study.files.read_map() or (np.zeros(0), np.zeros(0))
    assert points.shape == (len(positions), 2) and np.isfinite(points).all()
    assert study.document("map")["samples"] == len(positions) == 96
    parts = study.files.read_manifest()["part"]
    assert "test" not in {parts[at] for at in positions}


def test_the_map_is_the_same_again(toy: ToySearch, tmp_path: Path) -> None:
    toy.run()
    first = toy.study().files.read_map()
    toy.run(toy.request(study="again"))
    second = toy.study("again").files.read_map()
    assert first is not None and second is not None
    np.testing.assert_array_equal(first[1], second[1])


def test_a_modality_that_shows_nothing_keeps_no_views(toy: ToySearch) -> None:
    toy.run()
    assert toy.study().files.known_stills() == []
    assert toy.study().files.read_stills([0, 1]) == {}


def test_views_begin_with_what_is_wrong(toy: ToySearch, monkeypatch: pytest.MonkeyPatch) -> None:
    def thumbnail(self: object, dataset: object, position: int) -> tuple[str, bytes]:
        if position % 3 == 0:
            raise OSError("gone")
        return "image/png", b"view of %d" % position

    monkeypatch.setattr(ToyModality, "thumbnail", thumbnail, raising=False)
    monkeypatch.setattr("automl_transfer.stages.looking_back.MOST_STILLS", 20)
    toy.run()
    files = toy.study().files
    kept = files.known_stills()
    assert len(kept) == 20 and all(at % 3 for at in kept)
    assert files.read_stills(kept[:2]) == {
        at: ("image/png", b"view of %d" % at) for at in kept[:2]
    }
    positions, probabilities = files.read_held_out() or (np.zeros(0), np.zeros((0, 1)))
    manifest, classes = files.read_manifest(), toy.study().document("data")["classes"]
    wrong = [
        int(at)
        for at, row in zip(positions, probabilities, strict=True)
        if classes[row.argmax()] != manifest["class"][at] and at % 3
    ]
    assert set(wrong) <= set(kept)


def test_a_search_under_way_has_a_few_views_already(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyModality, "thumbnail", view, raising=False)
    events = toy.events()
    next(e for e in events if isinstance(e, StageStarted) and e.stage == "screen")
    files = toy.study().files
    kept = files.known_stills()
    assert len(kept) == FIRST_STILLS
    manifest = files.read_manifest()
    assert {manifest["class"][at] for at in kept} == set(manifest["class"])
    assert {manifest["part"][at] for at in kept} == {"train", "val", "test"}
    list(events)
    assert len(files.known_stills()) == 120


def test_views_that_are_none_are_passed_over(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = [("image/png", "text"), ("text/html; x", b"<script>"), None, (1, b""), (b"a", b"b")]

    def thumbnail(self: object, dataset: object, position: int) -> object:
        return ("image/png", b"good") if position % 10 == 0 else odd[position % 5]

    monkeypatch.setattr(ToyModality, "thumbnail", thumbnail, raising=False)
    events = toy.run(toy.request(trials=2))
    assert not [e for e in events if isinstance(e, Note) and "could not be kept" in e.text]
    assert toy.study().files.known_stills() == list(range(0, 120, 10))


def test_views_end_when_their_time_is_over(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(self: object, dataset: object, position: int) -> tuple[str, bytes]:
        time.sleep(0.1)
        return "image/png", b"slow"

    monkeypatch.setattr(ToyModality, "thumbnail", slow, raising=False)
    toy.run(toy.request(trials=2))
    assert 2 <= len(toy.study().files.known_stills()) <= 15


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=60))
def test_no_class_has_a_second_view_before_all_have_one(of: list[tuple[int, int]]) -> None:
    labels = np.array([label for label, _ in of], dtype=np.int64)
    part = np.array([["train", "val", "test", ""][at] for _, at in of], dtype=object)
    context: Any = SimpleNamespace(
        request=SimpleNamespace(seed=0),
        dataset=SimpleNamespace(samples=of, labels=labels),
        splits=SimpleNamespace(of=lambda name: np.flatnonzero(part == name)),
    )
    order = _in_turn(context)
    assert sorted(order) == list(range(len(of)))
    turns = Counter[int]()
    before = 0
    for at in order:
        turns[labels[at]] += 1
        assert turns[labels[at]] >= before
        before = turns[labels[at]]
    for label in set(labels.tolist()):
        parts = [part[at] for at in order if labels[at] == label]
        there = [name for name in ("test", "val", "train", "") if name in parts]
        assert parts[: len(there)] == there


def test_of_features_without_scatter_there_is_no_map(tmp_path: Path) -> None:
    candidate = SimpleNamespace(
        positions=np.arange(9),
        width=4,
        features_at=lambda at: np.tile([0.5, 1.0, 2.0, 0.0], (len(at), 1)),
    )
    context: Any = SimpleNamespace(
        request=SimpleNamespace(seed=0),
        candidates={"b": candidate},
        files=StudyDirectory(tmp_path),
    )
    answer: Any = SimpleNamespace(
        winner=SimpleNamespace(configuration=SimpleNamespace(backbone="b"))
    )
    _keep_map(context, answer)
    assert context.files.read_map() is None


@pytest.mark.slow
def test_of_images_there_are_small_pictures(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for at in range(60):
        file = tmp_path / "data" / f"class{at % 3}" / f"{at}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        array = generator.integers(0, 128, (300, 200, 3), dtype=np.uint8)
        array[:, :, at % 3] += 100
        Image.fromarray(array).save(file)
    study = automl_transfer.search(
        tmp_path / "data",
        trials=2,
        studies=tmp_path / "studies",
        backbones=["bundled/efficientnet_lite0@96"],
        heads=["prototype"],
        strategies=["frozen"],
        device="cpu",
        offline=True,
    )
    views = study.files.read_stills(range(60))
    study.close()
    assert len(views) == 60
    for media, content in views.values():
        assert media.startswith("image/")
        assert max(Image.open(io.BytesIO(content)).size) < 200


def test_whatever_fails_is_said_and_does_not_cost_the_answer(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ValueError("no space")

    monkeypatch.setattr(StudyDirectory, "write_map", broken)
    monkeypatch.setattr(StudyDirectory, "write_held_out", broken)
    events = toy.run()
    said = [event.text for event in events if isinstance(event, Note)]
    assert (
        "What the winner predicted could not be kept for the dashboard (ValueError: no space)."
        in said
    )
    assert any("The map of the samples could not be kept" in text for text in said)
    study = toy.study()
    assert study.recommendation is not None and study.status["state"] == "finished"
    assert study.document("importances") is not None


@pytest.mark.parametrize("kind", ["regression", "multi-label"])
def test_other_kinds_of_targets_are_kept_too(toy: ToySearch, kind: Kind) -> None:
    toy.data = write_toy_data(toy.directory / "kinds.toy.csv", n=240, kind=kind)
    events = toy.run(toy.request(options=DataOptions(task=kind)))
    assert not [e for e in events if isinstance(e, Note) and "could not be kept" in e.text]
    assert toy.study().files.read_held_out() is not None
    assert toy.study().files.read_map() is not None


def test_the_stages_are_timed_over_all_sessions(toy: ToySearch) -> None:
    toy.run()
    first = toy.study().document("timeline")
    assert [row["stage"] for row in first][:2] == ["load", "screen"]
    assert first[-1]["stage"] == "recommend"
    assert all(row["began"] <= row["ended"] for row in first)
    toy.run(toy.request(trials=12))
    both = toy.study().document("timeline")
    assert both[: len(first)] == first
    assert both[len(first)]["stage"] == "load"
    assert both[len(first)]["began"] >= first[-1]["ended"]


def test_the_stage_under_way_has_no_end_until_the_search_is_broken_off(toy: ToySearch) -> None:
    events = toy.events()
    next(event for event in events if isinstance(event, TrialEnded))
    study = toy.study()
    running = study.document("timeline")
    assert [row["ended"] is None for row in running] == [False] * (len(running) - 1) + [True]
    events.close()  # type: ignore[attr-defined]
    assert study.status["state"] == "interrupted"
    stopped = study.document("timeline")
    assert stopped[:-1] == running[:-1] and stopped[-1]["ended"] >= stopped[-1]["began"]


def test_the_stage_that_failed_ends_there(toy: ToySearch, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Iterator[Event]:
        yield StageStarted(stage="tune")
        raise UsageError("no more")

    monkeypatch.setattr("automl_transfer.searching.tune", broken)
    with pytest.raises(UsageError, match="no more"):
        toy.run()
    assert toy.study().status["state"] == "failed"
    last = toy.study().document("timeline")[-1]
    assert last["stage"] == "tune" and last["ended"] >= last["began"]


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({}, {}),
        ({"budget_seconds": 60.0}, {"screen": 0.35, "heads": 0.45, "recommend": 1.0}),
        (
            {"budget_seconds": 60.0, "strategies": ("frozen",)},
            {"screen": 0.35, "recommend": 1.0},
        ),
    ],
)
def test_until_when_a_stage_may_run_is_told_where_it_is_fixed(
    toy: ToySearch, changes: dict[str, object], ends: dict[str, float]
) -> None:
    next(event for event in toy.events(toy.request(**changes)) if isinstance(event, StageStarted))
    stages = ("load", "screen", "heads", "tune", "confirm", "recommend")
    assert toy.study().document("planned") == dict.fromkeys(stages) | ends


def test_a_search_with_nothing_left_to_do_keeps_its_files(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyModality, "thumbnail", view, raising=False)
    toy.run()
    files, names = toy.study().files, (HELD_OUT, MAP, STILLS)
    before = [(files.path / name).read_bytes() for name in names]
    documents = [toy.study().document(name) for name in ("importances", "map")]
    events = toy.run()
    assert any("Nothing is left to do" in e.text for e in events if isinstance(e, Note))
    assert [(files.path / name).read_bytes() for name in names] == before
    assert [toy.study().document(name) for name in ("importances", "map")] == documents


def test_trials_that_train_a_backbone_have_their_plan(toy: ToySearch) -> None:
    toy.run(toy.request(trials=14, strategies=("frozen", "last-stages")))
    trials = toy.study().trials
    assert {row.plan for row in trials if row.configuration.strategy == "frozen"} == {None}
    tuned = [row for row in trials if row.configuration.strategy == "last-stages"]
    assert tuned and all(isinstance(row.plan, FreezePlan) for row in tuned)
    assert all(row.plan is not None and row.plan.phases[-1].trains for row in tuned)


class OddPlans:
    """A plugin whose plans hold what JSON does not, and what no plan may hold."""

    @hookimpl
    def automl_transfer_freeze_strategies(self) -> list[StrategyCard]:
        return [
            StrategyCard(id=f"odd/{name}", trains_backbone=True, factory=f"{__name__}:{name}")
            for name in ("of_numpy", "of_no_mode", "of_no_number")
        ]


def of_numpy(*, stages: Sequence[StageView], params: object) -> FreezePlan:
    return FreezePlan(
        phases=(Phase(name="last", share=1.0, trains={stages[-1].name: np.float32(0.5)}),),  # type: ignore[dict-item]
        lr=np.float32(1e-3),  # type: ignore[arg-type]
    )


def of_no_mode(*, stages: Sequence[StageView], params: object) -> FreezePlan:
    phase = Phase(name="last", share=1.0, trains={stages[-1].name: 1.0}, norm="odd")  # type: ignore[arg-type]
    return FreezePlan(phases=(phase,))


def of_no_number(*, stages: Sequence[StageView], params: object) -> FreezePlan:
    phase = Phase(name="last", share=1.0, trains={stages[-1].name: 1.0})
    return FreezePlan(phases=(phase,), lr=float("nan"))


@pytest.mark.parametrize("name", ["of_numpy", "of_no_mode", "of_no_number"])
def test_an_odd_plan_costs_neither_the_search_nor_the_study(toy: ToySearch, name: str) -> None:
    strategies = ("frozen", f"odd/{name}")
    events = toy.run(toy.request(trials=6, strategies=strategies), plugins=[OddPlans()])
    assert isinstance(events[-1], Recommended)
    plans = [row.plan for row in toy.study().trials if row.configuration.strategy == strategies[1]]
    assert plans
    for plan in plans:
        assert (plan is not None and plan.lr == pytest.approx(1e-3)) == (name == "of_numpy")


def test_rows_without_a_plan_stay_readable() -> None:
    row = rows([0.5])[0]
    stored = to_json(row)
    del stored["plan"]
    assert from_json(Outcome, stored) == row


@pytest.mark.parametrize("name", [HELD_OUT, MAP, STILLS])
def test_a_file_damaged_anywhere_takes_no_page_down(tmp_path: Path, name: str) -> None:
    files, generator = StudyDirectory(tmp_path), np.random.default_rng(0)
    files.write_held_out(np.arange(9), np.ones((9, 3), dtype=np.float32))
    files.write_map(np.arange(9), np.ones((9, 2), dtype=np.float32))
    files.write_stills({at: ("image/png", bytes(200)) for at in range(70)})
    whole = (tmp_path / name).read_bytes()
    for turn in range(400):
        content = bytearray(whole[: generator.integers(1, len(whole))] if turn % 4 == 0 else whole)
        for at in generator.integers(len(content), size=3):
            content[at] = generator.integers(256)
        (tmp_path / name).write_bytes(content)
        files.read_held_out()
        files.read_map()
        files.read_stills([1, 69])
        files.known_stills()


def test_arrays_of_another_form_are_as_good_as_none(tmp_path: Path) -> None:
    files, points = StudyDirectory(tmp_path), np.ones((3, 2))
    for wrong in (
        {"positions": np.arange(3), "points": np.ones((3, 5))},
        {"positions": np.arange(2), "points": points},
        {"positions": np.arange(3), "points": points[:, 0]},
        {"positions": np.arange(3) / 2, "points": points},
        {"positions": np.array(["a", "b", "c"]), "points": points},
        {"positions": np.arange(3), "points": points.astype(complex)},
        {"positions": np.arange(3)},
    ):
        np.savez(tmp_path / MAP, **wrong)  # type: ignore[arg-type]
        assert files.read_map() is None
    files.write_map(np.arange(3), points.astype(np.float32))
    found = files.read_map()
    assert found is not None and (found[0].dtype, found[1].dtype) == (np.int64, np.float32)


def test_few_views_are_read_without_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = StudyDirectory(tmp_path)
    files.write_stills({at: ("image/png", b"%d" % at) for at in range(600)})
    read: list[int] = []
    whole = pq.ParquetFile.read_row_group

    def counted(self: pq.ParquetFile, group: int, **options: object) -> object:
        if "columns" not in options:
            read.append(group)
        return whole(self, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    assert files.read_stills([5, 599, 1000]) == {
        5: ("image/png", b"5"),
        599: ("image/png", b"599"),
    }
    assert len(read) == 2
    assert files.known_stills() == list(range(600))


@pytest.mark.parametrize("name", [HELD_OUT, MAP, STILLS])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged", b"\x00" * 100])
def test_a_damaged_file_is_as_good_as_none(tmp_path: Path, name: str, content: bytes) -> None:
    files = StudyDirectory(tmp_path)
    (tmp_path / name).write_bytes(content)
    assert files.read_held_out() is None
    assert files.read_map() is None
    assert files.read_stills([1]) == {}
    assert files.known_stills() == []


def test_views_of_another_kind_are_not_handed_out(tmp_path: Path) -> None:
    files = StudyDirectory(tmp_path)
    files.write_stills({3: ("text/html; x", b"<script>"), 1: ("image/png", b"1")})
    assert files.read_stills([1, 2, 3]) == {1: ("image/png", b"1")}


def test_noise_is_not_told_from_chance() -> None:
    generator = np.random.default_rng(0)
    beyond, seen = 0, 0
    searches = 0
    for seed in range(60):
        values = generator.normal(size=80).tolist()
        found = importances(
            rows(
                values,
                backbone=generator.integers(5, size=80).tolist(),
                head=generator.integers(3, size=80).tolist(),
                lr=generator.random(80).tolist(),
            ),
            seed,
        )
        beyond += sum(one.beyond_chance for one in found)
        searches += any(one.beyond_chance for one in found)
        seen += len(found)
    assert seen == 180
    assert beyond <= 0.11 * seen
    assert searches <= 8, "of 60, at 5 % each"


def test_what_matters_is_found_and_named() -> None:
    generator = np.random.default_rng(1)
    lr = (10 ** generator.uniform(-4, -1, 200)).tolist()
    values = [0.8 - 0.1 * (np.log10(rate) + 2) ** 2 for rate in lr]
    found = importances(rows(values, lr=lr, head=generator.integers(3, size=200).tolist()), 0)
    assert [one.name for one in found] == ["lr", "head"]
    assert found[0].beyond_chance and found[0].share > 0.5
    low, high = (float(end) for end in found[0].best.split(" to "))
    assert low < 0.01 < high


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(1e-6, 1e3), min_size=12, max_size=60, unique=True), st.integers(0, 99))
def test_only_the_order_of_a_number_counts(numbers: list[float], seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=len(numbers)).tolist()
    plain = importances(rows(values, lr=list(numbers)), seed)
    squared = importances(rows(values, lr=[number**3 for number in numbers]), seed)
    assert [(one.share, one.null, one.groups) for one in plain] == [
        (one.share, one.null, one.groups) for one in squared
    ]


def test_of_what_is_chosen_by_name_the_best_is_named() -> None:
    generator = np.random.default_rng(2)
    heads = [("bad", "good", "worst")[at % 3] for at in range(90)]
    values = [{"bad": 0.5, "good": 0.7, "worst": 0.2}[head] for head in heads]
    noisy = (np.array(values) + 0.05 * generator.normal(size=90)).tolist()
    found = importances(rows(noisy, head=list(heads)), 0)[0]
    assert (found.name, found.best, found.groups, found.trials) == ("head", "good", 3, 90)
    of_good = [value for value, head in zip(noisy, heads, strict=True) if head == "good"]
    assert found.median == pytest.approx(np.median(of_good))


def test_thousands_of_trials_take_seconds() -> None:
    generator = np.random.default_rng(3)
    params = {f"p{at}": generator.random(6000).tolist() for at in range(10)}
    many = rows(generator.normal(size=6000).tolist(), **params)
    began = time.process_time()
    found = importances(many, 0)
    assert time.process_time() - began < 10
    assert len(found) == 10 and {one.trials for one in found} == {5000}


def test_little_is_said_of_few_and_nothing_of_what_does_not_vary() -> None:
    assert importances(rows([0.1, 0.2], lr=[1.0, 2.0]), 0) == []
    assert importances(rows([0.5] * 20, lr=list(range(20))), 0) == []
    assert importances(rows(list(np.linspace(0, 1, 20)), lr=[1.0] * 20), 0) == []
