"""Frozen features of data sets, computed once by the product's own extraction and kept.

_features.write(Path("features.npz"), ["bundled/efficientnet_lite0"], [Path("data/trashnet")])
for name, labels, features in _features.read(Path("features.npz")): ...
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _extracted(
    directory: Path, names: Sequence[str]
) -> tuple[NDArray[Any], dict[str, NDArray[Any]]]:
    """Labels, and the features of each backbone."""
    from automl_transfer.dataset import DataOptions
    from automl_transfer.plugins import load_registry
    from automl_transfer.training import features
    from automl_transfer.training.array_cache import ArrayCache
    from automl_transfer.training.device import choose_device, prepare_process
    from automl_transfer.training.row_keeper import RowKeeper
    from automl_transfer.training.rows import RowStore
    from automl_transfer.weights import locate, shared_probe

    device = choose_device("cpu")
    prepare_process(device)
    registry = load_registry()
    modality = registry.load(registry.modality("image"))()
    cards = {name: registry.backbone(name) for name in names}
    found = {}
    with tempfile.TemporaryDirectory() as kept:
        cache = ArrayCache(Path(kept))
        inputs = [card.input for card in cards.values()]
        dataset = modality.open_prepared(directory, DataOptions(), inputs, RowKeeper(cache))
        for name, card in cards.items():
            begun = time.perf_counter()
            weights = locate(card.weights, offline=True, hub=shared_probe())
            encoder = modality.encoder(dataset.root, card.input, {})
            rows, _ = features.extract(
                backbone=registry.load(card)(card=card, weights=weights, seed=0),
                rows=RowStore(encoder, dataset.samples, cache),
                positions=np.arange(len(dataset.samples)),
                cache=cache,
                key=features.FeatureKey(weights=name, card=card.id, encoder=encoder.digest),
                device=device,
            )
            found[name.rpartition("/")[2]] = np.array(rows, dtype=np.float32)
            took = time.perf_counter() - begun
            print(f"{directory.name}, {name}: {len(rows)} in {took:.0f} s", file=sys.stderr)
    return np.asarray(dataset.labels), found


def write(path: Path, backbones: Sequence[str], directories: Sequence[Path]) -> None:
    """Adds what is not there yet, data set by data set."""
    for directory in directories:
        kept = dict(np.load(path)) if path.is_file() else {}
        if f"{directory.name}/labels" in kept:
            continue
        labels, features = _extracted(directory, backbones)
        kept[f"{directory.name}/labels"] = labels
        kept |= {f"{directory.name}/{name}": rows for name, rows in features.items()}
        np.savez(path, **kept)


def read(path: Path) -> Iterator[tuple[str, NDArray[np.int64], dict[str, NDArray[np.float32]]]]:
    """Yields the name, the labels and the features of each data set."""
    with np.load(path) as kept:
        names = [key.removesuffix("/labels") for key in kept if key.endswith("/labels")]
        for name in names:
            features = {
                key.removeprefix(f"{name}/"): kept[key]
                for key in kept
                if key.startswith(f"{name}/") and not key.endswith("/labels")
            }
            yield name, kept[f"{name}/labels"].astype(np.int64), features
