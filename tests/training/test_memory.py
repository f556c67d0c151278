"""What features are made of takes the same memory for any number of samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from automl_transfer.rankers import knn, logme, ridge
from automl_transfer.scoring import knn_predict
from automl_transfer.space import Space
from automl_transfer.target import Target, totals
from automl_transfer.training.frozen import FrozenFeatures, fitted
from automl_transfer.training.head import scores_of, train_head
from automl_transfer.training.head_runs import HeadRun
from automl_transfer.training.link import link_of
from automl_transfer.training.matrix import (
    GrowingMatrix,
    batch_of,
    beside,
    blocks,
    gathered,
    give_back,
    readable,
    stored,
    taken,
)
from automl_transfer.training.model import FeatureScaler
from automl_transfer.training.nested import looks
from automl_transfer.training.packed import train_heads
from automl_transfer.training.similarity import CosineSimilarity, NearestMean
from tests.training.workshop import CPU, HEADS, REGISTRY

SAMPLES, WIDTH, CLASSES = 120_000, 256, 5
LINK = link_of(Target(names=tuple("abcde")))
BATCH = 64
"""Small: with a row that is read of a file, the system maps what lies around it as well."""
MEGABYTES = 4 * SAMPLES * WIDTH / 1e6
MOST = 1.0 * MEGABYTES
"""What a copy of the features takes; whoever goes through them in blocks needs half of it, and the
allocator may hold on to some of what was there before."""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak can be reset on Linux only"
)


@pytest.fixture(scope="module")
def labels() -> NDArray[np.int64]:
    return np.arange(SAMPLES) % CLASSES


@pytest.fixture(scope="module")
def features(
    labels: NDArray[np.int64], tmp_path_factory: pytest.TempPathFactory
) -> NDArray[np.float32]:
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(CLASSES, WIDTH))
    made = GrowingMatrix(SAMPLES, WIDTH, tmp_path_factory.mktemp("features"))
    for start in range(0, SAMPLES, 1000):
        places = np.arange(start, start + 1000)
        noise = 3 * generator.normal(size=(1000, WIDTH))
        made.put(places, (centres[labels[places]] + noise).astype(np.float32))
    found = made.done()
    assert isinstance(found, np.memmap)
    return found


def resident(what: str) -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in status if line.startswith(what))


def growth(work: Callable[[], object]) -> float:
    """By how many MB the resident memory of the process rises at most while ``work`` is done.

    The second time: the first one imports modules.
    """
    work()
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    work()
    return resident("VmHWM") - before


def test_what_was_read_of_a_file_is_given_back_whoever_has_it(
    features: NDArray[np.float32],
) -> None:
    for one in (features, features[5:], readable(features), readable(features)[5:].numpy()):
        give_back(features)
        before = resident("RssFile")
        assert float(one.sum()) != 0
        assert resident("RssFile") - before > 0.8 * MEGABYTES
        give_back(one)
        assert resident("RssFile") - before < 0.1 * MEGABYTES


def test_a_file_of_another_process_is_given_back_as_well(
    tmp_path: Path, features: NDArray[np.float32]
) -> None:
    np.save(tmp_path / "features.npy", features)
    give_back(features)
    tensor = readable(stored(tmp_path / "features.npy"))
    before = resident("RssFile")
    places = np.array([5, 3, SAMPLES - 1])
    np.testing.assert_array_equal(gathered(tensor[2:], places[:2]), features[[7, 5]])
    np.testing.assert_array_equal(batch_of(tensor, torch.from_numpy(places)), features[places])
    assert resident("RssFile") - before < 0.1 * MEGABYTES
    tensor.sum()
    give_back(tensor)
    assert resident("RssFile") - before < 0.1 * MEGABYTES
    assert isinstance(beside(tensor, SAMPLES, WIDTH).done(), np.memmap)


def test_what_is_made_of_a_matrix_lies_where_it_lies(features: NDArray[np.float32]) -> None:
    places = np.arange(0, SAMPLES, 2)
    found = taken(features, places)
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found[:50], features[:100:2])
    in_memory = np.array(features[:100])
    copied = taken(in_memory, places[:50])
    assert not isinstance(copied, np.memmap)
    np.testing.assert_array_equal(copied, in_memory[::2])
    np.testing.assert_array_equal(np.concatenate(list(blocks(in_memory))), in_memory)
    assert [block.shape for block in blocks(in_memory, places[:0])] == [(0, WIDTH)]


@pytest.mark.parametrize("ranker", [ridge, logme, knn])
def test_rankers(ranker: object, features: NDArray[np.float32], labels: NDArray[np.int64]) -> None:
    score = ranker.score  # type: ignore[attr-defined]
    assert growth(lambda: score(features=features, labels=labels, classes=CLASSES, seed=0)) < MOST


@pytest.mark.parametrize("head", [card.id for card in HEADS])
def test_heads_that_fit_themselves_or_are_trained(
    head: str, features: NDArray[np.float32], labels: NDArray[np.int64], tmp_path: Path
) -> None:
    card = next(card for card in HEADS if card.id == head)
    params = Space(card.space).defaults()
    make = REGISTRY.load(card)

    def build() -> torch.nn.Module:
        module: torch.nn.Module = make(width=WIDTH, classes=CLASSES, params=params)
        return module

    def work() -> None:
        train, evaluate = np.arange(0, 100_000), np.arange(100_000, SAMPLES)
        data = FrozenFeatures.scaled(features, train, labels[train], evaluate, tmp_path)
        if card.closed_form:
            found = fitted(build, data, 0, LINK).probabilities
        else:
            steps = train_heads(
                runs=[HeadRun(build=build, lr=1e-3, weight_decay=0.0)],
                features=data.train,
                targets=data.targets,
                evaluate_features=data.evaluate,
                link=LINK,
                epochs=1,
                batch_size=BATCH,
                seed=0,
                device=CPU,
            )
            try:
                while True:
                    next(steps)
            except StopIteration as stop:
                found = stop.value[0].probabilities
        accuracy = (found.argmax(axis=1) == labels[evaluate]).mean()
        assert accuracy > 0.9

    assert growth(work) < MOST


def test_a_trial_on_frozen_features(
    features: NDArray[np.float32], labels: NDArray[np.int64]
) -> None:
    frozen, truth = readable(features), torch.from_numpy(labels)
    scaler, head = FeatureScaler(WIDTH), torch.nn.Linear(WIDTH, CLASSES)

    def work() -> None:
        scaler.fit(frozen)
        scaler.scaled(frozen)
        losses = train_head(
            torch.nn.Sequential(scaler, head),
            list(head.parameters()),
            frozen,
            truth,
            link=LINK,
            epochs=1,
            batch_size=BATCH,
            lr=1e-3,
            weight_decay=0.0,
            label_smoothing=0.0,
            class_weights=None,
            seed=0,
            check_time=lambda: None,
        )
        assert all(np.isfinite(loss) for loss in losses)
        scores_of(head, frozen)

    assert growth(work) < MOST


def test_neighbours_and_learning_curves(
    features: NDArray[np.float32], labels: NDArray[np.int64]
) -> None:
    def neighbours() -> None:
        asked = features[:64]
        knn_predict(features, labels, asked, CLASSES, block_done=lambda: give_back(features))

    def curve() -> None:
        for _ in looks(
            features, labels, CLASSES, np.arange(SAMPLES), seed=0, repeats=1, work=3e10
        ):
            pass

    assert growth(neighbours) < MOST
    assert growth(curve) < MOST


@pytest.mark.parametrize(
    "head", [NearestMean(WIDTH, CLASSES), CosineSimilarity(WIDTH, CLASSES, 1)]
)
def test_class_means_are_those_of_all_rows_at_once(
    head: torch.nn.Module, features: NDArray[np.float32], labels: NDArray[np.int64]
) -> None:
    """Nearest means were fitted to copies of all features."""
    head.requires_grad_(False)
    head.fit(readable(features), torch.from_numpy(labels))  # type: ignore[operator]
    values = np.asarray(features, dtype=np.float64)
    if isinstance(head, CosineSimilarity) or head.by_angle:
        values = values / np.linalg.norm(values, axis=1, keepdims=True)
    means = np.stack([values[labels == label].mean(axis=0) for label in range(CLASSES)])
    np.testing.assert_allclose(head.weight.numpy(), means, atol=1e-6)  # type: ignore[operator,union-attr]
    give_back(features)


def test_scaled_rows_are_those_of_the_module() -> None:
    values = torch.randn(700, 33, generator=torch.Generator().manual_seed(0)) * 4 + 2
    scaler = FeatureScaler(33)
    scaler.fit(values)
    assert torch.equal(scaler.scaled(values), scaler(values))
    assert float(scaler(values).mean()) == pytest.approx(0, abs=1e-6)
    assert float(scaler(values).std()) == pytest.approx(1, abs=0.05)


def test_many_classes_do_not_take_a_column_of_all_samples_each(
    features: NDArray[np.float32],
) -> None:
    many = np.arange(SAMPLES) % 1000

    def neighbours() -> None:
        asked = features[:64]
        knn_predict(features, many, asked, 1000, block_done=lambda: give_back(features))

    def evidence() -> None:
        logme.score(features=features, labels=many, classes=1000, seed=0)

    assert growth(lambda: totals(many, 1000)) < MOST
    assert growth(neighbours) < MOST
    assert growth(evidence) < MOST
