"""Many heads on frozen features, trained as one computation and one by one (bar B6).

    python benchmarks/packed_heads.py --write

Both train the same heads with the same seeds, on the features of the bundled backbone and a
sample data set, and predict the held-out part at ten points on the way, as a trial does. They take
turns in one process (A, B, A, B ...); the ratio is that of the medians. Writes
`benchmarks/packed_heads.md`.
"""

from __future__ import annotations

import argparse
import copy
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import _report
import numpy as np
import torch
from torch import nn

from automl_transfer.cards import HeadCard
from automl_transfer.dataset import DataOptions
from automl_transfer.generators import ended
from automl_transfer.plugins import load_registry
from automl_transfer.registry import Registry
from automl_transfer.space import Float, Int, Space
from automl_transfer.target import Target
from automl_transfer.training.device import prepare_process
from automl_transfer.training.head import fit, train_head
from automl_transfer.training.link import link_of
from automl_transfer.training.packed import HeadRun, train_heads
from automl_transfer.weights import locate, shared_probe

OUTPUT = Path(__file__).with_suffix(".md")
CPU = torch.device("cpu")
EPOCHS, BATCH, REPORTS, SEED = 30, 256, 10, 0
LARGE = 1e-3
MIXES = {
    "linear": ("linear",),
    "cosine": ("cosine",),
    "mlp": ("mlp",),
    "a third each": ("linear", "cosine", "mlp"),
}


def sample_features(registry: Registry, per_class: int) -> tuple[np.ndarray, np.ndarray]:
    """Features of the bundled backbone, shape (n, d), centred and scaled, and labels."""
    card = registry.backbones["bundled/efficientnet_lite0"].card
    modality = registry.load(registry.modalities[card.modality].card)()
    with tempfile.TemporaryDirectory() as folder:
        write = registry.load(registry.sample_data["textiles"].card)
        write(directory=Path(folder), labelling=None, per_class=per_class)
        dataset = modality.open(Path(folder), DataOptions())
        encoder = modality.encoder(dataset.root, card.input, {})
        weights = locate(card.weights, offline=True, hub=shared_probe())
        backbone = registry.load(card)(card=card, weights=weights, seed=0)
        backbone.module.eval()
        found = []
        with torch.inference_mode():
            for start in range(0, len(dataset.samples), 16):
                rows = [encoder.prepare(one) for one in dataset.samples[start : start + 16]]
                found.append(backbone.features(encoder.batch(rows)).numpy())
    order = np.random.default_rng(SEED).permutation(len(dataset.samples))
    features = np.concatenate(found)[order]
    features = (features - features.mean(axis=0)) / math.sqrt(features.var(axis=0).mean())
    return features.astype(np.float32), np.asarray(dataset.labels)[order]


def draw(card: HeadCard, generator: np.random.Generator) -> dict[str, float | int]:
    """A point of the head's space, by chance."""
    values = {}
    for param in card.space:
        assert isinstance(param, (Float, Int))
        low, high = param.low, param.high
        if param.log:
            value = math.exp(generator.uniform(math.log(low), math.log(high)))
        else:
            value = generator.uniform(low, high)
        values[param.name] = round(value) if isinstance(param, Int) else value
    return values


def make_runs(
    registry: Registry, heads: tuple[str, ...], count: int, width: int, classes: int
) -> list[HeadRun]:
    """As many runs, the kinds in turn, each drawn from its card's space."""
    generator = np.random.default_rng(SEED)
    runs = []
    for place in range(count):
        card = registry.heads[heads[place % len(heads)]].card
        params = Space(card.space).defaults() | draw(card, generator)
        if "dropout" in params:
            params["dropout"] = 0.0  # so that the results can be compared

        def build(card: HeadCard = card, params: dict = params) -> nn.Module:
            torch.manual_seed(SEED)
            head: nn.Module = registry.load(card)(width=width, classes=classes, params=params)
            return head

        runs.append(HeadRun(build=build, lr=params["lr"], weight_decay=params["weight_decay"]))
    return runs


class Data:
    """Two thirds to learn from, the rest to predict."""

    def __init__(self, features: np.ndarray, labels: np.ndarray) -> None:
        cut = 2 * len(labels) // 3
        self.classes = int(labels.max()) + 1
        self.link = link_of(Target(names=tuple(map(str, range(self.classes)))))
        self.train, self.test = features[:cut], features[cut:]
        self.labels, self.test_labels = labels[:cut], labels[cut:]

    def nudged(self) -> Data:
        """The same but for the last digit of the features to learn from."""
        other = copy.copy(self)
        other.train = self.train * np.float32(1 + 2**-22)
        return other


def packed(runs: list[HeadRun], data: Data) -> np.ndarray:
    """Probabilities of the held-out part at the end, shape (runs, m, c)."""
    training = train_heads(
        runs=runs,
        features=data.train,
        targets=data.labels,
        evaluate_features=data.test,
        link=data.link,
        epochs=EPOCHS,
        batch_size=BATCH,
        seed=SEED,
        reports=REPORTS,
        device=CPU,
        end_settled=False,
    )
    results = ended(training)
    for result in results:
        if result.error is not None:
            raise result.error
    return np.stack([result.probabilities for result in results])


def one_by_one(runs: list[HeadRun], data: Data) -> np.ndarray:
    """Likewise, each head trained by itself."""
    features, labels = torch.from_numpy(data.train), torch.from_numpy(data.labels)
    test = torch.from_numpy(data.test)
    found = []
    for run in runs:
        head = run.build()
        fit(head, features, labels)
        losses = train_head(
            head,
            list(head.parameters()),
            features,
            labels,
            link=data.link,
            epochs=EPOCHS,
            batch_size=BATCH,
            lr=run.lr,
            weight_decay=run.weight_decay,
            label_smoothing=run.label_smoothing,
            class_weights=None,
            seed=SEED,
            check_time=lambda: None,
        )
        for epoch, _ in enumerate(losses, start=1):
            if epoch % -(-EPOCHS // REPORTS) == 0:
                head.eval()
                with torch.no_grad():
                    probabilities = head(test).softmax(dim=1).numpy()
                head.train()
        found.append(probabilities)
    return np.stack(found)


def timed(what: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    found = what()
    return time.perf_counter() - started, found


def ratio(slow: list[float], fast: list[float]) -> str:
    """Of the medians, and in brackets of the fastest turns."""
    medians = statistics.median(slow) / statistics.median(fast)
    return f"{medians:.1f} ({min(slow) / min(fast):.1f})"


def differences(found: np.ndarray, expected: np.ndarray) -> str:
    """Largest one of a probability: of the median head, the worst, and how many are large."""
    worst = np.abs(found - expected).max(axis=(1, 2))
    return f"{np.median(worst):.0e} ({worst.max():.0e}; {(worst > LARGE).sum()})"


def accuracy(probabilities: np.ndarray, data: Data) -> np.ndarray:
    return (probabilities.argmax(axis=2) == data.test_labels).mean(axis=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=int, default=64)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--per-class", type=int, default=300, help="pictures of each class")
    parser.add_argument("--mix", action="append", choices=MIXES, help="only this; repeatable")
    parser.add_argument("--features", type=Path, help="an .npz with x (n, d) and y (n,) instead")
    parser.add_argument("--write", action="store_true", help=f"write {OUTPUT.name}")
    options = parser.parse_args()
    prepare_process(CPU)
    registry = load_registry(third_party=False)
    if options.features:
        stored = np.load(options.features)
        x = stored["x"] - stored["x"].mean(axis=0)
        data = Data((x / math.sqrt(x.var(axis=0).mean())).astype(np.float32), stored["y"])
    else:
        data = Data(*sample_features(registry, options.per_class))
    width = data.train.shape[1]
    rows = []
    for mix in options.mix or MIXES:
        arguments = (registry, MIXES[mix], options.heads, width, data.classes)
        runs = make_runs(*arguments)
        times: dict[str, list[float]] = {}
        for _ in range(options.turns):
            for name, what in (
                ("alone", lambda runs=runs: one_by_one(runs, data)),
                ("packed", lambda runs=runs: packed(runs, data)),
            ):
                seconds, found = timed(what)
                times.setdefault(name, []).append(seconds)
                if name == "alone":
                    expected = found
        points = np.abs(accuracy(found, data) - accuracy(expected, data))
        nudged = one_by_one(runs, data.nudged())
        rows.append(
            (
                f"{options.heads} {mix}",
                f"{statistics.median(times['alone']):.2f}",
                f"{statistics.median(times['packed']):.2f}",
                ratio(times["alone"], times["packed"]),
                differences(found, expected),
                differences(nudged, expected),
                f"{100 * np.median(points):.1f} ({100 * points.max():.1f})",
            )
        )
        print(
            rows[-1],
            {name: np.round(found, 2).tolist() for name, found in times.items()},
            flush=True,
        )
    header = [
        "heads",
        "one by one, s",
        "packed, s",
        "times as fast",
        "change of a probability",
        "by rounding alone",
        "of an accuracy, points",
    ]
    text = _report.page(
        "Heads packed against one by one",
        f"{len(data.train)} training and {len(data.test)} held-out samples, {width} features, "
        f"{data.classes} classes, {EPOCHS} epochs in batches of {BATCH}; hyper-parameters drawn "
        "from the whole space of each head, but no dropout. Medians of "
        f"{options.turns} turns each, and in brackets the ratio of the fastest ones.",
        "The changes are the largest of each head: of the median head, and in brackets of the "
        f"worst one and how many heads are beyond {LARGE:g}. A perceptron at a high learning rate "
        "amplifies rounding: one by one, with features that differ in the last digit, it ends as "
        "far away (the column *by rounding alone*).",
        _report.table(header, rows),
        "A linear head is a thin matrix product that leaves a processor idle; stacked, 64 of them "
        "fill it. Perceptrons fill it by themselves: they are as many multiplications, and there "
        "is little to gain.",
    )
    _report.write(OUTPUT, text, wanted=options.write)


if __name__ == "__main__":
    main()
