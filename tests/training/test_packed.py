from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from automl_transfer.errors import DivergedError, OutOfMemoryError
from automl_transfer.space import Space
from automl_transfer.target import Target
from automl_transfer.training import teams
from automl_transfer.training.head import fit, train_head
from automl_transfer.training.link import link_of
from automl_transfer.training.packed import HeadReport, HeadResult, HeadRun, train_heads
from automl_transfer.training.run import OutOfTimeError
from tests.training.workshop import CPU, HEADS, REGISTRY

N, WIDTH, CLASSES = 90, 12, 3
LINK = link_of(Target(names=("a", "b", "c")))
CARDS = {card.id: card for card in HEADS}


def data(n: int = N, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % CLASSES
    centres = np.random.default_rng(99).normal(size=(CLASSES, WIDTH))
    return (centres[labels] + generator.normal(size=(n, WIDTH))).astype(np.float32), labels


FEATURES, LABELS = data()
EVALUATE, _ = data(30, seed=1)


def builder(id: str, seed: int = 0, **params) -> Callable[[], nn.Module]:
    card = CARDS[id]
    values = Space(card.space).defaults() | params

    def build() -> nn.Module:
        torch.manual_seed(seed)
        head: nn.Module = REGISTRY.load(card)(width=WIDTH, classes=CLASSES, params=values)
        return head

    return build


def run(id: str, lr: float = 1e-2, weight_decay: float = 1e-2, **params) -> HeadRun:
    return HeadRun(build=builder(id, **params), lr=lr, weight_decay=weight_decay)


def train(
    runs: list[HeadRun],
    answer: Callable[[list[HeadReport]], Collection[int] | None] = lambda reports: None,
    **options,
) -> tuple[list[list[HeadReport]], list[HeadResult]]:
    given = {
        "features": FEATURES,
        "targets": LABELS,
        "evaluate_features": EVALUATE,
        "link": LINK,
        "epochs": 10,
        "batch_size": 32,
        "seed": 5,
        "reports": 5,
        "device": CPU,
        "end_settled": False,
    }
    training = train_heads(runs=runs, **(given | options))
    seen = []
    try:
        seen.append(next(training))
        while True:
            seen.append(training.send(answer(seen[-1])))
    except StopIteration as stop:
        return seen, stop.value


def by_itself(run: HeadRun, epochs: int = 10, weights=None) -> tuple[nn.Module, list[float]]:
    head = run.build()
    features, labels = torch.from_numpy(FEATURES), torch.from_numpy(LABELS)
    fit(head, features, labels)
    losses = train_head(
        head,
        list(head.parameters()),
        features,
        labels,
        link=LINK,
        epochs=epochs,
        batch_size=32,
        lr=run.lr,
        weight_decay=run.weight_decay,
        label_smoothing=run.label_smoothing,
        class_weights=weights,
        seed=5,
        check_time=lambda: None,
    )
    return head, list(losses)


def predicted(head: nn.Module) -> np.ndarray:
    head.eval()
    with torch.no_grad():
        found: np.ndarray = head(torch.from_numpy(EVALUATE)).softmax(dim=1).numpy()
    return found


class Alike(nn.Module):
    """A third party's head: parameters of one shape, and batch statistics."""

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(WIDTH)
        self.layer = nn.Linear(WIDTH, CLASSES)
        self.temperature = temperature
        self.gain = nn.Parameter(torch.tensor(1.0))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.gain * self.layer(self.norm(features)) / self.temperature
        return scores


class Stubborn(Alike):
    """Cannot be vectorised: it looks at values."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        scores = super().forward(features)
        return scores if scores.detach().sum().item() > -math.inf else -scores


def made(kind: type[nn.Module], seed: int, **arguments) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        torch.manual_seed(seed)
        return kind(**arguments)

    return build


LINEAR = [run("linear", lr, decay) for lr in (1e-3, 1e-2, 1e-1) for decay in (1e-3, 0.5)]
COSINE = [run("cosine", lr, scale=scale) for lr in (1e-3, 1e-1) for scale in (4.0, 16.0)]
MLP = [
    run("mlp", lr, hidden=hidden, dropout=0.0, seed=hidden)
    for lr, hidden in ((1e-3, 64), (1e-2, 70), (3e-3, 129))
]
OTHERS = [
    HeadRun(build=made(kind, seed, **arguments), lr=1e-2 / (1 + seed), weight_decay=0.1)
    for kind in (Alike, Stubborn)
    for seed, arguments in enumerate(({}, {}, {"temperature": 2.0}))
]


@pytest.mark.parametrize(
    "runs",
    [LINEAR, COSINE, MLP, OTHERS, [*LINEAR, *MLP, *COSINE, *OTHERS]],
    ids=["linear", "cosine", "mlp", "third party", "all"],
)
def test_each_head_ends_as_if_trained_by_itself(runs: list[HeadRun]) -> None:
    reports, results = train(runs)
    assert [result.run for result in results] == list(range(len(runs)))
    for one, result in zip(runs, results, strict=True):
        head, losses = by_itself(one)
        assert result.error is None and not result.stopped
        assert result.epochs == 10
        np.testing.assert_allclose(result.probabilities, predicted(head), atol=2e-4)
        np.testing.assert_allclose(predicted(result.head), predicted(head), atol=2e-4)
        assert result.loss == pytest.approx(losses[-1], abs=2e-4)
        curve = [report.loss for step in reports for report in step if report.run == result.run]
        assert curve == pytest.approx(losses[1::2], abs=2e-4)


@pytest.mark.parametrize("smoothings", [(0.0, 0.0), (0.0, 0.2)], ids=["plain", "smoothed"])
def test_smoothing_and_class_weights_are_each_heads_own(smoothings: tuple[float, float]) -> None:
    weights = (0.3, 0.7, 2.0)
    runs = [
        replace(one, label_smoothing=smoothing, class_weights=given)
        for one in (LINEAR[2], COSINE[0], MLP[1], MLP[2], OTHERS[0], OTHERS[4])
        for smoothing in smoothings
        for given in (None, weights, (1.0, 1.0, 1.0))
    ]
    doomed = {0, 1, 7}
    _, results = train(runs, lambda reports: doomed if reports[0].epoch == 4 else None)
    for index, (one, result) in enumerate(zip(runs, results, strict=True)):
        if index in doomed:
            continue
        given = None if one.class_weights is None else torch.tensor(one.class_weights)
        head, losses = by_itself(one, weights=given)
        np.testing.assert_allclose(result.probabilities, predicted(head), atol=2e-4)
        assert result.loss == pytest.approx(losses[-1], abs=2e-4)
    plain, weighted, alike = (result.probabilities for result in results[3:6])
    assert weighted[:, 2].mean() > plain[:, 2].mean() + 1e-3
    np.testing.assert_allclose(alike, plain, atol=1e-5)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_runs_that_are_stopped_change_nothing_for_the_others(dropout: float) -> None:
    runs = [
        *LINEAR,
        *COSINE,
        *[run("mlp", hidden=h, dropout=dropout, seed=h) for h in (96, 64, 200)],
        *OTHERS,
    ]
    _, whole = train(runs)
    doomed = set(range(0, len(runs), 2))
    seen, cut = train(runs, lambda reports: doomed if reports[0].epoch == 4 else None)
    assert [len(step) for step in seen] == [len(runs)] * 2 + [len(runs) - len(doomed)] * 3
    for index, (one, other) in enumerate(zip(whole, cut, strict=True)):
        if index in doomed:
            assert other.stopped and other.epochs == 4 and other.error is None
            np.testing.assert_allclose(predicted(other.head), other.probabilities, atol=1e-5)
        else:
            assert not other.stopped and other.epochs == 10
            np.testing.assert_allclose(one.probabilities, other.probabilities, atol=2e-4)


def test_dropout_does_something_and_is_the_same_each_time() -> None:
    runs = [run("mlp", hidden=64, dropout=dropout) for dropout in (0.0, 0.3, 0.6)]
    _, first = train(runs)
    _, second = train(runs)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert first[0].loss < first[1].loss < first[2].loss


def test_a_run_that_diverges_ends_alone() -> None:
    wild = HeadRun(build=builder("linear"), lr=math.inf, weight_decay=0.0)
    _, (first, bad, last) = train([LINEAR[0], wild, LINEAR[3]])
    assert isinstance(bad.error, DivergedError)
    assert bad.head is None
    for one, result in ((LINEAR[0], first), (LINEAR[3], last)):
        np.testing.assert_allclose(result.probabilities, predicted(by_itself(one)[0]), atol=2e-4)


def test_a_head_that_cannot_be_built_or_used_ends_alone() -> None:
    class Broken(Alike):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            raise ValueError("no scores today")

    def refuse() -> nn.Module:
        raise ValueError("not today")

    broken = HeadRun(build=lambda: Broken(), lr=1e-2, weight_decay=0.0)
    refusing = HeadRun(build=refuse, lr=1e-2, weight_decay=0.0)
    _, results = train([broken, LINEAR[0], refusing, broken])
    assert [str(result.error) for result in results] == [
        "no scores today",
        "None",
        "not today",
        "no scores today",
    ]


def test_too_little_memory_halves_the_pack_and_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [*LINEAR, *MLP]
    _, whole = train(runs)
    sizes = []
    step = teams.Pack._step

    def hungry(self, chosen, number, steps):
        if self.stack.heads > 2 and number >= 4:  # after a first report
            raise torch.OutOfMemoryError("out of memory")
        sizes.append(self.stack.heads)
        return step(self, chosen, number, steps)

    monkeypatch.setattr(teams.Pack, "_step", hungry)
    seen, cut = train(runs)
    assert set(sizes) == {6, 3, 2, 1}
    assert [len(reports) for reports in seen] == [len(runs)] * 5
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=2e-4)


def test_a_single_head_that_does_not_fit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def hungry(self, chosen, number, steps):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(teams.Pack, "_step", hungry)
    seen, results = train(LINEAR[:3])
    assert seen == []
    assert all(isinstance(result.error, OutOfMemoryError) for result in results)


def test_large_packs_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = train(LINEAR)
    heads = []
    made = teams.Pack.__init__

    def count(self, stack, rates, recipe):
        heads.append(stack.heads)
        made(self, stack, rates, recipe)

    monkeypatch.setattr(teams.Pack, "__init__", count)
    monkeypatch.setattr(teams, "NUMBERS", 2 * (WIDTH + 1) * CLASSES)
    _, cut = train(LINEAR)
    assert heads == [2, 2, 2]
    for one, other in zip(whole, cut, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


def test_when_the_time_is_over_what_was_reported_remains() -> None:
    calls = []

    def late() -> bool:
        calls.append(1)
        return len(calls) > 3 * 2 * 2  # steps of an epoch, epochs to a report, packs

    seen, results = train([LINEAR[0], MLP[0]], should_stop=late)
    assert len(seen) == 1
    for report, result in zip(seen[0], results, strict=True):
        assert isinstance(result.error, OutOfTimeError)
        np.testing.assert_array_equal(report.probabilities, result.probabilities)
        assert result.epochs == 2


def test_a_run_that_no_longer_changes_ends_with_what_it_has() -> None:
    still = HeadRun(build=builder("linear"), lr=1e-7, weight_decay=0.0)
    seen, (settled, moving) = train([still, LINEAR[2]], end_settled=True)
    assert settled.epochs == 6 and not settled.stopped and settled.error is None
    assert settled.head is not None
    np.testing.assert_allclose(predicted(settled.head), settled.probabilities, atol=1e-6)
    assert moving.epochs == 10
    assert [len(reports) for reports in seen] == [2, 2, 2, 1, 1]


def test_mapped_files_and_tensors_do_as_well(tmp_path) -> None:
    np.save(tmp_path / "x.npy", FEATURES)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    runs = [LINEAR[1], COSINE[0]]
    _, plain = train(runs)
    for features in (mapped, torch.from_numpy(FEATURES)):
        _, found = train(runs, features=features, targets=torch.from_numpy(LABELS))
        for one, other in zip(plain, found, strict=True):
            np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_nothing_to_report_on_is_no_trouble() -> None:
    _, results = train(LINEAR[:2], evaluate_features=EVALUATE[:0])
    assert all(result.probabilities.shape == (0, CLASSES) for result in results)
    assert all(result.head is not None for result in results)


def test_shares_of_the_time_add_up_and_grow() -> None:
    seen, _ = train([*LINEAR, *MLP])
    totals = [sum(report.seconds for report in reports) for reports in seen]
    assert totals == sorted(totals) and totals[0] > 0
    last = {report.run: report.seconds for report in seen[-1]}
    assert last[0] == pytest.approx(last[1])
    assert last[8] > last[6]  # the widest perceptron and the narrowest


def test_no_runs_no_results() -> None:
    assert train([]) == ([], [])
