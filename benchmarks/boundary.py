"""Fine-tuning the last stage from kept activations, against recomputing them in every epoch.

    python benchmarks/boundary.py --data IMAGES [--backbone ID...] [--device cuda] --write

Both are the product's own training (`training/trial.py`), with and without an activation store:
the same splits, seeds, mini-batches and steps, in turns, from the same frozen features and decoded
rows. A backbone whose weights are not on this machine gets random ones, and the table says so.
`local:DIR` (see `lay_out_assets.py`) names real ones. Writes `benchmarks/boundary.md`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _report
import numpy as np

DEFAULT = ("bundled/efficientnet_lite0", "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training."""

    epoch: float
    """Seconds of an epoch with its evaluation, once everything that is kept is there."""
    total: float
    """Seconds of the whole training, filling included."""
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A backbone, its data prepared."""

    title: str
    card: Any
    weights: Any
    rows: Any
    features: np.ndarray
    labels: np.ndarray
    link: Any


def subjects(options: argparse.Namespace) -> list[Subject]:
    """Opens the data once and prepares every backbone."""
    from automl_transfer.dataset import DataOptions
    from automl_transfer.errors import WeightsUnavailableError
    from automl_transfer.plugins import load_registry
    from automl_transfer.target import Target
    from automl_transfer.training.inference import pooled
    from automl_transfer.training.link import link_of
    from automl_transfer.training.rows import RowStore
    from automl_transfer.weights import locate, shared_probe

    registry = load_registry(third_party=False)
    modality = registry.load(registry.modalities["image"].card)()
    dataset = modality.open(options.data, DataOptions())
    labels = np.array([sample.label for sample in dataset.samples])
    chosen = np.sort(np.random.default_rng(0).permutation(len(labels))[: options.samples])
    samples = [dataset.samples[place] for place in chosen]
    found = []
    for id in options.backbone:
        card = registry.backbone(id)
        try:
            weights = locate(card.weights, offline=True, hub=shared_probe())
        except WeightsUnavailableError:
            weights = None
        encoder = modality.encoder(dataset.root, card.input, {"augment": options.augment})
        rows = RowStore(encoder, samples)
        network = registry.load(card)(card=card, weights=weights, seed=0)
        network.module.to(options.device).eval()
        features = pooled(network.features, rows, np.arange(len(samples)), options.device)
        name = id.rpartition("/")[2] if id.startswith("local:") else id
        found.append(
            Subject(
                title=name if weights else f"{name} (random weights)",
                card=card,
                weights=weights,
                rows=rows,
                features=features,
                labels=labels[chosen],
                link=link_of(Target(names=dataset.classes)),
            )
        )
    return found


def train(subject: Subject, seed: int, options: argparse.Namespace, directory: Path | None) -> Run:
    """Trains the last stage with a linear head from its probe; keeps activations there."""
    from automl_transfer.generators import ended
    from automl_transfer.plugins import load_registry
    from automl_transfer.space import Space
    from automl_transfer.training.activation_store import ActivationStore
    from automl_transfer.training.array_cache import ArrayCache
    from automl_transfer.training.features import FeatureKey
    from automl_transfer.training.stages import stage_views, stages_of
    from automl_transfer.training.trial import Part, Settings, run_trial

    registry = load_registry(third_party=False)
    order = np.random.default_rng([seed, 1]).permutation(len(subject.labels))
    cut = round(0.8 * len(order))

    def part(positions: np.ndarray) -> Part:
        return Part(
            rows=subject.rows,
            positions=positions,
            targets=subject.labels[positions],
            features=subject.features[positions],
        )

    strategy, head = registry.strategies["last-stages"].card, registry.heads["linear"].card
    network = registry.load(subject.card)(card=subject.card, weights=subject.weights, seed=0)
    stages = stages_of(network, subject.card)
    params = Space(head.space).defaults()
    store = None
    if directory is not None:
        store = ActivationStore(
            cache=ArrayCache(directory),
            key=FeatureKey(
                weights=subject.weights.sha256 if subject.weights else "seed-0",
                card=subject.card.digest,
                encoder=subject.rows.encoder.digest,
            ),
        )
    validation = np.sort(order[cut:])
    started = time.perf_counter()
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
        head_lr=float(params["lr"]),
        head_weight_decay=float(params.get("weight_decay", 1e-4)),
        closed_form=head.closed_form,
        link=subject.link,
        train=part(np.sort(order[:cut])),
        evaluate=part(validation),
        settings=Settings(epochs=options.epochs, seed=seed),
        device=options.device,
        activations=store,
    )
    ends = []
    result = ended(running, lambda _: ends.append(time.perf_counter() - started))
    predicted = result.probabilities.argmax(axis=1)
    return Run(
        epoch=statistics.median(np.diff(ends)),
        total=time.perf_counter() - started,
        accuracy=float((predicted == subject.labels[validation]).mean()),
    )


def row(title: str, recomputed: list[Run], kept: list[Run]) -> list[str]:
    """Medians of the ratios of each seed, and the mean difference of the scores."""
    pairs = list(zip(recomputed, kept, strict=True))
    each = [one.epoch / other.epoch for one, other in pairs]
    whole = [one.total / other.total for one, other in pairs]
    differences = [100 * (other.accuracy - one.accuracy) for one, other in pairs]

    def median(runs: list[Run], what: str) -> float:
        return statistics.median(getattr(run, what) for run in runs)

    def mean(runs: list[Run]) -> float:
        return 100 * statistics.mean(run.accuracy for run in runs)

    return [
        title,
        f"{median(recomputed, 'epoch'):.2f} / {median(kept, 'epoch'):.2f}",
        f"**{statistics.median(each):.1f}** ({min(each):.1f} to {max(each):.1f})",
        f"{median(recomputed, 'total'):.1f} / {median(kept, 'total'):.1f}",
        f"{statistics.median(whole):.1f}",
        f"{mean(recomputed):.1f} / {mean(kept):.1f}",
        f"{statistics.mean(differences):+.2f} "
        f"({min(differences):+.2f} to {max(differences):+.2f})",
    ]


def main() -> None:
    from automl_transfer.training.device import choose_device, prepare_process

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folders of images, one a class")
    parser.add_argument("--samples", type=int, help="of all images; all without it")
    parser.add_argument("--backbone", nargs="+", default=list(DEFAULT), metavar="ID")
    parser.add_argument("--augment", choices=("none", "flip"), default="flip")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", action="store_true", help="write boundary.md")
    options = parser.parse_args()
    options.device = choose_device(options.device)
    prepare_process(options.device)
    lines = []
    count = 0
    for subject in subjects(options):
        count = len(subject.labels)
        recomputed, kept = [], []
        train(subject, 0, argparse.Namespace(**vars(options) | {"epochs": 2}), None)  # warms up
        for seed in range(options.seeds):
            recomputed.append(train(subject, seed, options, None))
            with tempfile.TemporaryDirectory() as directory:
                kept.append(train(subject, seed, options, Path(directory)))
            print(subject.title, seed, recomputed[-1], kept[-1], file=sys.stderr)
        lines.append(row(subject.title, recomputed, kept))
    header = [
        "backbone",
        "s an epoch, recomputed / kept",
        "ratio",
        f"s in all, {options.epochs} epochs",
        "ratio",
        "accuracy, %",
        "difference, points",
    ]
    views = {"none": "one view", "flip": "two views (plain, mirrored)"}[options.augment]
    text = _report.page(
        "Last-stage fine-tuning from kept activations",
        f"`last-stages` with k = 1 and its other defaults, a linear head, batch 32, "
        f"{options.epochs} epochs, {options.device.type}; {count} images of "
        f"`{options.data.name}`, {views} of each in training; 80 % to train and 20 % to evaluate "
        f"after each epoch. {options.seeds} seeds, of splits as well; both trainings of a seed "
        "one after the other.",
        "- **an epoch**: training and evaluation, median of all epochs but the first; ratio: "
        "median of the seeds (and range).\n"
        "- **in all**: from the built network to the last evaluation, with finding the boundary "
        "and computing what is kept, from an empty cache. A second trial with the same boundary "
        "finds it filled.\n"
        "- **difference**: kept minus recomputed, mean of the seeds (and range).",
        _report.table(header, lines),
    )
    name = "boundary.md" if options.device.type == "cpu" else f"boundary_{options.device.type}.md"
    _report.write(Path(__file__).with_name(name), text, wanted=options.write)


if __name__ == "__main__":
    main()
