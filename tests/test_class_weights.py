"""The weights of the classes, and that they are searched over where classes are unequal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from automl_transfer import class_weights
from automl_transfer.class_weights import PARAMETER, balanced, searched, weights_of
from automl_transfer.configuration import Configuration
from automl_transfer.outcome import Outcome
from automl_transfer.space import Space
from automl_transfer.stages import evaluate, heads, tune
from tests.toy_search import ToySearch

UNEQUAL = np.repeat([0, 1, 2], [40, 10, 5])


def configuration(**params: str) -> Configuration:
    return Configuration(backbone="b", head="linear", strategy="frozen", params=params)


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_the_weights_are_scikit_learns_and_one_on_average(given_labels: list[int]) -> None:
    labels = np.array(given_labels)
    weights = balanced(labels, 7)
    present = np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=labels)
    np.testing.assert_allclose(weights[present], expected)
    assert weights[labels].mean() == pytest.approx(1)
    assert (weights[np.setdiff1d(np.arange(7), present)] == 1).all()


@pytest.mark.parametrize(
    ("counts", "metric", "default"),
    [
        ([31, 10, 20], "balanced_accuracy", "balanced"),
        ([31, 10, 20], "macro_f1", "balanced"),
        ([31, 10, 20], "accuracy", "none"),
        ([31, 10, 20], "neg_log_loss", "none"),
        ([30, 10, 0], "balanced_accuracy", None),
        ([10, 10, 10], "macro_f1", None),
    ],
)
def test_they_are_searched_over_where_classes_are_unequal(
    counts: list[int], metric: str, default: str | None
) -> None:
    space = searched(np.repeat([0, 1, 2], counts), metric)
    assert space.defaults() == ({} if default is None else {"class_weights": default})


def test_a_configuration_without_the_parameter_weights_all_alike() -> None:
    assert weights_of(configuration(), UNEQUAL, 3) is None
    assert weights_of(configuration(**{PARAMETER: "none"}), UNEQUAL, 3) is None
    found = weights_of(configuration(**{PARAMETER: "balanced"}), UNEQUAL, 3)
    assert found == pytest.approx((55 / 120, 55 / 30, 55 / 15))


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToySearch:
    """Toy data of which the first class has five times the samples of the others."""
    monkeypatch.setenv("AUTOML_TRANSFER_CACHE_DIR", str(tmp_path / "cache"))
    toy = ToySearch(tmp_path)
    lines = toy.data.read_text(encoding="utf-8").splitlines()
    kept = [
        line for place, line in enumerate(lines) if line.startswith("class0") or place % 15 < 3
    ]
    toy.data.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return toy


def rules(rows: list[Outcome], stage: str) -> dict[str, set[Any]]:
    """By head, what its trials of a stage have for the parameter."""
    found: dict[str, set[Any]] = {}
    for row in rows:
        if row.stage == stage:
            values = found.setdefault(row.configuration.head, set())
            values.add(row.configuration.params.get(PARAMETER))
    return found


def test_a_search_over_unequal_classes_tries_both_and_nothing_twice(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, int]] = []

    def watched(configuration: Configuration, labels: Any, classes: int) -> Any:
        asked.append((configuration.params.get(PARAMETER), len(labels)))
        return weights_of(configuration, labels, classes)

    monkeypatch.setattr(evaluate, "weights_of", watched)
    few = {"backbones": ("toy/small",), "strategies": ("frozen", "full")}
    toy.run(toy.request(trials=34, epochs=1, **few))
    study = toy.study()
    assert {row.state for row in study.trials} <= {"finished", "pruned"}
    digests = [row.configuration.digest for row in study.trials]
    assert len(digests) == len(set(digests))
    both = {"none", "balanced"}
    frozen = rules(study.trials, heads.NAME)
    assert frozen.pop("prototype") == {None}  # a class mean is the same however it is weighted
    weighed = ("ridge", "ridge-stages", "linear", "cosine", "mlp", "mlp-stages")
    assert frozen == dict.fromkeys(weighed, both)
    tuned = rules(study.trials, tune.NAME)
    assert set.union(*tuned.values()) == both
    recommendation = study.recommendation
    assert recommendation is not None and recommendation.metric == "balanced_accuracy"
    # The winner was trained again by the rule of its own, on train and validation together.
    manifest = study.files.read_manifest()["part"]
    development = manifest.count("train") + manifest.count("val")
    rule = recommendation.winner.configuration.params.get(PARAMETER)
    assert rule is not None and (rule, development) in asked


def test_a_study_from_before_there_were_class_weights_goes_on(
    toy: ToySearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(class_weights, "searched", lambda labels, metric: Space())
        toy.run(toy.request(trials=8, backbones=("toy/small",)))
    before = [row.configuration for row in toy.study().trials]
    assert not any(PARAMETER in known.params for known in before)
    toy.run(toy.request(trials=16, backbones=("toy/small",)))
    after = [row.configuration for row in toy.study().trials]
    assert after[: len(before)] == before
    assert any(PARAMETER in known.params for known in after[len(before) :])
