"""Weights of the classes on data in which half of the classes are rare.

    python benchmarks/class_weights.py --write

Frozen heads, and a fine-tune of the last stage from a probed head, each trained twice on the same
samples with the same seed: all classes alike, and `balanced`. Every other class has a tenth of
the samples of the rest in training; all that is left is the test part. Writes
`benchmarks/class_weights.md`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _report
import numpy as np
import torch

from automl_transfer.class_weights import RULES, balanced
from automl_transfer.dataset import DataOptions
from automl_transfer.generators import ended
from automl_transfer.plugins import load_registry
from automl_transfer.scoring import scores
from automl_transfer.space import Space
from automl_transfer.target import Target
from automl_transfer.training.activation_store import ActivationStore
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.device import prepare_process
from automl_transfer.training.features import FeatureKey
from automl_transfer.training.inference import pooled
from automl_transfer.training.link import Link, link_of
from automl_transfer.training.rows import RowStore
from automl_transfer.training.stages import stage_views, stages_of
from automl_transfer.training.trial import Part, Settings, run_trial
from automl_transfer.weights import locate, shared_probe

CPU = torch.device("cpu")
RATIO = 10
TRAIN_SHARE = 0.6
"""Of a large class."""
METRICS = ("balanced_accuracy", "macro_f1", "accuracy")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A data set, and its frozen features."""

    title: str
    card: Any
    weights: Any
    rows: RowStore
    features: np.ndarray
    labels: np.ndarray
    classes: int
    link: Link
    activations: ActivationStore


def subject(title: str, directory: Path, id: str, cache: ArrayCache) -> Subject:
    registry = load_registry(third_party=False)
    modality = registry.load(registry.modalities["image"].card)()
    dataset = modality.open(directory, DataOptions())
    card = registry.backbone(id)
    weights = locate(card.weights, offline=True, hub=shared_probe())
    encoder = modality.encoder(dataset.root, card.input, {"augment": "flip"})
    rows = RowStore(encoder, dataset.samples)
    network = registry.load(card)(card=card, weights=weights, seed=0)
    network.module.eval()
    return Subject(
        title=title,
        card=card,
        weights=weights,
        rows=rows,
        features=pooled(network.features, rows, np.arange(len(dataset.samples)), CPU),
        labels=np.array([sample.label for sample in dataset.samples]),
        classes=len(dataset.classes),
        link=link_of(Target(names=dataset.classes)),
        activations=ActivationStore(
            cache=cache,
            key=FeatureKey(
                weights=weights.sha256 or "unknown", card=card.digest, encoder=encoder.digest
            ),
        ),
    )


def parts(subject: Subject, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions to learn from, every other class a tenth as large, and all others."""
    generator = np.random.default_rng([seed, 7])
    large = int(TRAIN_SHARE * np.bincount(subject.labels).min())
    rare = np.arange(subject.classes) % 2 == seed % 2
    chosen = [
        generator.permutation(np.flatnonzero(subject.labels == label))[
            : max(2, large // RATIO) if rare[label] else large
        ]
        for label in range(subject.classes)
    ]
    train = np.sort(np.concatenate(chosen))
    return train, np.setdiff1d(np.arange(len(subject.labels)), train)


def trained(
    subject: Subject, strategy_id: str, head_id: str, rule: str, seed: int, epochs: int
) -> dict[str, float]:
    """Scores on the test part."""
    registry = load_registry(third_party=False)
    strategy, head = registry.strategies[strategy_id].card, registry.heads[head_id].card
    network = registry.load(subject.card)(card=subject.card, weights=subject.weights, seed=0)
    stages = stages_of(network, subject.card)
    params = Space(head.space).defaults()
    train, test = parts(subject, seed)

    def part(positions: np.ndarray) -> Part:
        return Part(
            rows=subject.rows,
            positions=positions,
            targets=subject.labels[positions],
            features=subject.features[positions],
        )

    weights = tuple(balanced(subject.labels[train], subject.classes))
    running = run_trial(
        backbone=network,
        stages=stages,
        plan=registry.load(strategy)(
            stages=stage_views(network.module, stages),
            params=Space(strategy.space).defaults(),
        ),
        head=lambda width: registry.load(head)(
            width=width, classes=subject.link.outputs, params=params
        ),
        head_lr=float(params.get("lr", 1e-2)),
        head_weight_decay=float(params.get("weight_decay", 1e-4)),
        closed_form=head.closed_form,
        link=subject.link,
        train=part(train),
        evaluate=part(test),
        settings=Settings(
            epochs=epochs, seed=seed, class_weights=weights if rule == "balanced" else None
        ),
        device=CPU,
        activations=subject.activations,
    )
    return scores(ended(running).probabilities, subject.labels[test])


def line(title: str, recipe: str, found: dict[str, list[dict[str, float]]]) -> list[str]:
    def mean(rule: str, metric: str) -> float:
        return 100 * statistics.mean(one[metric] for one in found[rule])

    pairs = zip(found["none"], found["balanced"], strict=True)
    gains = [100 * (other["balanced_accuracy"] - one["balanced_accuracy"]) for one, other in pairs]
    return [
        title,
        recipe,
        *(f"{mean('none', metric):.1f} / {mean('balanced', metric):.1f}" for metric in METRICS),
        f"**{statistics.mean(gains):+.1f}** ({min(gains):+.1f} to {max(gains):+.1f})",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="more image folders")
    parser.add_argument("--backbone", default="bundled/efficientnet_lite0@96")
    parser.add_argument("--heads", nargs="*", default=["ridge", "linear", "cosine", "mlp"])
    parser.add_argument("--per-class", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=4, help="of the fine-tune; 0: none")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="write class_weights.md")
    options = parser.parse_args()
    prepare_process(CPU)
    registry = load_registry(third_party=False)
    lines = []
    recipes = [("frozen", head) for head in options.heads]
    if options.epochs:
        recipes.append(("last-stages", "linear"))
    with tempfile.TemporaryDirectory() as folder:
        places = []
        for name in ("digits", "textiles"):
            place = Path(folder) / name
            place.mkdir()
            write = registry.load(registry.sample_data[name].card)
            write(directory=place, labelling=None, per_class=options.per_class)
            places.append((name, place))
        places += [(given.name, given) for given in options.data]
        for title, place in places:
            known = subject(title, place, options.backbone, ArrayCache(Path(folder) / "cache"))
            for strategy, head in recipes:
                found: dict[str, list[dict[str, float]]] = {rule: [] for rule in RULES}
                for seed in range(options.seeds):
                    for rule in RULES:
                        found[rule].append(
                            trained(known, strategy, head, rule, seed, options.epochs)
                        )
                lines.append(line(title, f"{head}, {strategy}", found))
                print(*lines[-1], sep=" | ", file=sys.stderr, flush=True)
    header = ["data", "recipe", *(f"{metric}, %" for metric in METRICS), "gain, points"]
    text = _report.page(
        "Class weights where half of the classes are rare",
        f"`{options.backbone}`, default recipes, {options.seeds} seeds (of the samples as well). "
        f"In training every other class has a tenth of the samples of the rest; the test part "
        f"is all else. Each cell: all classes alike / `balanced`. Fine-tune: {options.epochs} "
        "epochs from a probed head.",
        _report.table(header, lines),
        "- **gain**: of balanced accuracy, mean of the seeds' differences (and range), same "
        "samples and seed.",
    )
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)


if __name__ == "__main__":
    main()
