"""What the outputs of all stages add to a ridge head, and what they cost.

    python benchmarks/stage_outputs.py DATA_DIR... [--backbones NAME...] [--write]

For each data set and backbone: accuracy of five folds of a ridge head on the features alone, on
features and outputs of the stages with one scale for all, and with a scale for each group (what
the head ``ridge-stages`` does); the time of a pass that pools the outputs over one that does not,
passes in turns.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _heads
import _report
import numpy as np
import torch
from _heads import CPU, FOLDS
from _paired import gained
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from automl_transfer.dataset import DataOptions
from automl_transfer.plugins import load_registry
from automl_transfer.training.array_cache import ArrayCache
from automl_transfer.training.device import prepare_process
from automl_transfer.training.features import FeatureKey, extract
from automl_transfer.training.frozen import FrozenFeatures
from automl_transfer.training.ridge import ridge_path
from automl_transfer.training.rows import RowStore
from automl_transfer.training.stage_outputs import TRIED, WithStageOutputs, stage_outputs
from automl_transfer.training.stages import stages_of
from automl_transfer.weights import locate, shared_probe

TURNS = 15
BATCH = 16

Hits = Mapping[str, NDArray[np.float64]]
"""Whether each sample was right, by column of a table, shape (n,)."""


@dataclass(frozen=True)
class Cell:
    """One data set and one backbone."""

    data: str
    backbone: str
    width: int
    wide: int
    hits: Hits
    ratio: float
    """Seconds of a pass with the outputs over one without."""


def ratio(own: Any, whole: Any, batch: torch.Tensor) -> float:
    """Median over turns in which both passes come one after the other."""
    found = []
    with torch.inference_mode():
        for turn in range(TURNS + 2):
            seconds = {}
            for name, one in (("own", own), ("whole", whole))[:: 1 if turn % 2 else -1]:
                begun = time.perf_counter()
                one.features(batch)
                seconds[name] = time.perf_counter() - begun
            if turn >= 2:
                found.append(seconds["whole"] / seconds["own"])
    return float(np.median(found))


def hits(
    features: NDArray[np.float32], labels: NDArray[np.int64], widths: Sequence[int], home: Path
) -> NDArray[np.float64]:
    """Which samples a ridge head that has not seen them gets right."""
    found = np.zeros(len(labels))
    classes = int(labels.max()) + 1
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels):
        data = FrozenFeatures.scaled(features, train, labels[train], test, home, widths)
        path = ridge_path(data.train, data.targets, classes)
        found[test] = path.predicted(data.evaluate).argmax(axis=1) == labels[test]
    return found


@dataclass(frozen=True, kw_only=True)
class Extracted:
    """What a backbone returns of a data set, its stages behind its features."""

    features: NDArray[np.float32]
    """Shape (n, d)."""
    labels: NDArray[np.int64]
    widths: tuple[int, ...]
    """Of the groups that ``features`` are of; the first is what the network returns."""
    ratio: float
    """Seconds of a pass with the outputs over one without."""


def extracted(directory: Path, name: str, home: Path) -> Extracted | None:
    """None if no outputs of the backbone's stages can be pooled."""
    registry = load_registry()
    modality = registry.load(registry.modality("image"))()
    dataset = modality.open(directory, DataOptions())
    card = registry.backbone(name)
    weights = locate(card.weights, offline=True, hub=shared_probe())
    encoder = modality.encoder(dataset.root, card.input, {})
    rows = RowStore(encoder, dataset.samples)
    own = registry.load(card)(card=card, weights=weights, seed=0)
    own.module.to(memory_format=torch.channels_last)
    few = rows.rows(np.arange(TRIED))
    batch, fewer = encoder.batch(few), encoder.batch(few[: TRIED // 2])
    read = stage_outputs(own, stages_of(own, card), batch, fewer)
    if read is None:
        return None
    whole = WithStageOutputs(own, read)
    features, _ = extract(
        backbone=whole,
        rows=rows,
        positions=np.arange(len(dataset.samples)),
        cache=ArrayCache(home),
        key=FeatureKey(weights=name, card=card.id, encoder=encoder.digest),
        device=CPU,
    )
    return Extracted(
        features=np.array(features),
        labels=np.asarray(dataset.labels, dtype=np.int64),
        widths=tuple(read.widths),
        ratio=ratio(own, whole, encoder.batch(rows.rows(np.arange(BATCH)))),
    )


def short(name: str) -> str:
    """Of a backbone, in a table."""
    return Path(name).name.partition(".")[0]


def cell(directory: Path, name: str) -> Cell | None:
    """Measures one; None if no outputs of the backbone's stages can be pooled."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        data = extracted(directory, name, home)
        if data is None:
            return None
        features, labels, width = data.features, data.labels, data.widths[0]
        found = Cell(
            data=directory.name,
            backbone=short(name),
            width=width,
            wide=features.shape[1],
            hits={
                "features": hits(features[:, :width].copy(), labels, (), home),
                "one scale": hits(features, labels, (), home),
                "a scale each": hits(features, labels, data.widths, home),
            },
            ratio=data.ratio,
        )
    values = {key: f"{100 * value.mean():.1f}" for key, value in found.hits.items()}
    print(found.data, found.backbone, values, f"{found.ratio:.3f}", flush=True)
    return found


def gain(hits: Sequence[Hits], of: str = "a scale each", over: str = "features") -> str:
    """Mean of the cells' gains in points, and its 95 % interval over samples drawn again."""
    return gained([one[of] - one[over] for one in hits])


def table(cells: Sequence[Cell]) -> str:
    rows = []
    for one in cells:
        values = [f"{100 * one.hits[key].mean():.1f}" for key in one.hits]
        width = f"{one.width} + {one.wide - one.width}"
        rows.append([one.data, one.backbone, width, *values, gain([one.hits]), f"{one.ratio:.2f}"])
    header = ["data", "backbone", "numbers", "features", "one scale", "a scale each"]
    return _report.table([*header, "gain, points", "time of a pass"], rows)


def main() -> None:
    options = _heads.options(__doc__)
    prepare_process(CPU)
    found = [cell(directory, name) for name in options.backbones for directory in options.data]
    cells = [one for one in found if one is not None]
    backbones = dict.fromkeys(one.backbone for one in cells)
    means = [
        [name, gain([one.hits for one in cells if one.backbone == name])] for name in backbones
    ] + [["all", gain([one.hits for one in cells])]]
    text = _report.page(
        "The outputs of all stages, beside the features",
        f"Accuracy of a ridge head in {FOLDS} folds, %; its penalty by leave-one-out within the "
        "other folds. **features**: what the network returns. **one scale**: behind them the "
        "pooled outputs of its stages, all centred and divided by one deviation. **a scale "
        "each**: every stage brought to the same variance, as the head `ridge-stages` has them; "
        "**gain** of that over the features, on the same samples, with a 95 % interval over "
        "samples. **time of a pass**: with the outputs over without, median of "
        f"{TURNS} turns on batches of {BATCH}.",
        table(cells),
        _report.table(["backbone", "mean gain, points"], means),
    )
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)


if __name__ == "__main__":
    main()
