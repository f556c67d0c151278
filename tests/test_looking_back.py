"""What a search keeps for its pages, beside the answer and never at its cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_transfer.artifacts import HELD_OUT, MAP, STILLS, StudyDirectory
from automl_transfer.configuration import Configuration
from automl_transfer.dataset import DataOptions
from automl_transfer.events import Note
from automl_transfer.importance import importances
from automl_transfer.kinds import Kind
from automl_transfer.outcome import Outcome
from automl_transfer.plan import FreezePlan
from automl_transfer.testing.toy import ToyModality, write_toy_data
from tests.toy_search import ToySearch


@pytest.fixture
def toy(tmp_path: Path) -> ToySearch:
    return ToySearch(tmp_path)


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


def test_whatever_fails_is_said_and_does_not_cost_the_answer(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(StudyDirectory, "write_map", broken)
    monkeypatch.setattr(StudyDirectory, "write_held_out", broken)
    events = toy.run()
    said = [event.text for event in events if isinstance(event, Note)]
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


def test_trials_that_train_a_backbone_have_their_plan(toy: ToySearch) -> None:
    toy.run(toy.request(trials=14, strategies=("frozen", "last-stages")))
    trials = toy.study().trials
    assert {row.plan for row in trials if row.configuration.strategy == "frozen"} == {None}
    tuned = [row for row in trials if row.configuration.strategy == "last-stages"]
    assert tuned and all(isinstance(row.plan, FreezePlan) for row in tuned)
    assert all(row.plan is not None and row.plan.phases[-1].trains for row in tuned)


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
        seen += len(found)
    assert seen == 180
    assert beyond <= 0.11 * seen


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


def test_little_is_said_of_few_and_nothing_of_what_does_not_vary() -> None:
    assert importances(rows([0.1, 0.2], lr=[1.0, 2.0]), 0) == []
    assert importances(rows([0.5] * 20, lr=list(range(20))), 0) == []
    assert importances(rows(list(np.linspace(0, 1, 20)), lr=[1.0] * 20), 0) == []
