"""B8: what feature extraction leaves of a network's bare speed.

    python benchmarks/extraction.py --backbone NAME [--backbone ...] [--device cuda] [--write]

**bare** is the same network (pretrained, eval, inference mode, channels-last, the same precision)
in a minimal loop: rows that are decoded already and lie in memory, stacked, normalised by one
multiplication and one addition, moved, passed through, fetched; the batch size is the one that
extraction has found. **extract** is ``training.features.extract`` with decoded rows in the cache
on disk and no features in it: it finds its batch size, reads and checks rows, normalises them as
the modality does, and writes the features. Both in one process, in turns; the first turn does not
count. The ratio of each turn is taken; the median and the range of these are shown.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import _report

LARGEST = 1024
"""Samples that lie in memory for the bare loop."""


def samples(directory: Path, count: int, side: int) -> None:
    """Writes images, each different."""
    import numpy as np
    from PIL import Image

    generator = np.random.default_rng(0)
    for place in range(count):
        folder = directory / f"class{place % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        coarse = generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        picture.save(folder / f"{place:06d}.jpg", quality=85)


class Bare:
    """The minimal loop."""

    def __init__(self, backbone: Any, rows: list[Any], encoder: Any, device: Any) -> None:
        import torch

        self.backbone, self.rows, self.device = backbone, rows, device
        shape = (1, 1, 1, -1)
        std = torch.tensor(encoder.input.std).reshape(shape)
        self.scale = 1 / (255 * std)
        self.shift = -torch.tensor(encoder.input.mean).reshape(shape) / std

    def run(self, batch: int) -> float:
        """Samples a second."""
        import numpy as np
        import torch

        from automl_transfer.training.device import autocast

        begun = time.perf_counter()
        with torch.inference_mode(), autocast(self.device):
            for start in range(0, len(self.rows), batch):
                pixels = torch.from_numpy(np.stack(self.rows[start : start + batch]))
                if self.device.type == "cuda":
                    pixels = pixels.pin_memory().to(self.device, non_blocking=True)
                images = torch.addcmul(
                    self.shift.to(self.device),
                    pixels.to(torch.float32),
                    self.scale.to(self.device),
                )
                # Rows have the channels last already: only the order of the axes is told anew.
                self.backbone.features(images.permute(0, 3, 1, 2)).float().cpu()
        return len(self.rows) / (time.perf_counter() - begun)


def measured(name: str, options: argparse.Namespace) -> list[object]:
    """A row of the table."""
    import numpy as np

    from automl_transfer.dataset import DataOptions
    from automl_transfer.plugins import load_registry
    from automl_transfer.training import features
    from automl_transfer.training.array_cache import ArrayCache
    from automl_transfer.training.batch_sizes import BatchSizes
    from automl_transfer.training.device import choose_device, prepare_process
    from automl_transfer.training.row_keeper import RowKeeper
    from automl_transfer.training.rows import RowStore
    from automl_transfer.weights import locate, shared_probe

    device = choose_device(options.device)
    prepare_process(device)
    registry = load_registry()
    modality = registry.load(registry.modality("image"))()
    card = registry.backbone(name)
    weights = locate(card.weights, offline=True, hub=shared_probe())
    backbone = registry.load(card)(card=card, weights=weights, seed=0)
    ratios, speeds = [], []
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        samples(root / "data", options.samples, options.side)
        cache = ArrayCache(root / "cache")
        keeper = RowKeeper(cache)
        dataset = modality.open_prepared(root / "data", DataOptions(), [card.input], keeper)
        encoder = modality.encoder(dataset.root, card.input, {})
        positions = np.arange(len(dataset.samples))
        store = RowStore(encoder, dataset.samples, cache)
        bare = Bare(backbone, store.rows(positions[:LARGEST]), encoder, device)
        for turn in range(options.turns + 1):
            key = features.FeatureKey(weights=f"turn {turn}", card=card.id, encoder=encoder.digest)
            sizes = BatchSizes(device)
            begun = time.perf_counter()
            features.extract(
                backbone=backbone,
                # A store of its own: rows are read from disk, as after opening the data.
                rows=RowStore(encoder, dataset.samples, cache),
                positions=positions,
                cache=cache,
                key=key,
                device=device,
                sizes=sizes,
            )
            extracted = len(positions) / (time.perf_counter() - begun)
            batch = sizes.next(10**9)
            speed = bare.run(batch)
            print(f"{name} turn {turn}: {extracted:.1f} of {speed:.1f}/s", file=sys.stderr)
            if turn:
                ratios.append(extracted / speed)
                speeds.append((speed, extracted))
    return [
        name,
        batch,
        f"{statistics.median(speed for speed, _ in speeds):.1f}",
        f"{statistics.median(extracted for _, extracted in speeds):.1f}",
        f"{statistics.median(ratios):.2f}",
        f"{min(ratios):.2f} to {max(ratios):.2f}",
    ]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backbone", action="append")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--side", type=int, default=256, help="of the images that are written")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="write extraction.md")
    options = parser.parse_args()
    backbones = options.backbone or ["bundled/efficientnet_lite0"]
    header = ["backbone", "batch", "bare, images/s", "extract, images/s", "ratio", "range"]
    text = _report.page(
        "B8: extraction against the bare network",
        (__doc__ or "").partition("\n\n")[2].partition("\n\n")[2],
        _report.table(header, [measured(name, options) for name in backbones]),
        f"{options.samples} images, {options.turns} turns, device {options.device}. Target: 0.90.",
    )
    suffix = ".md" if options.device == "cpu" else f".{options.device.partition(':')[0]}.md"
    _report.write(Path(__file__).with_suffix(suffix), text, wanted=options.write)


if __name__ == "__main__":
    main()
