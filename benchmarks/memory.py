"""B7: the memory of a whole frozen search, with few images and with many.

    python benchmarks/memory.py [--counts 2000 50000] [--write]

Writes synthetic images (JPEG, each different, ten classes), then runs a search over heads on
frozen features of `bundled/efficientnet_lite0@96` in a fresh process with empty caches, from
opening the files to the recommendation: same options, same number of trials. **peak** is the
largest resident memory of that process (`ru_maxrss`), everything in it: Python, torch, the
network, the data. **of which files** is what of it at the end of the search are pages of mapped
files (`RssFile`): the libraries, whose size does not depend on the data, and features.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import _report

CLASSES = 10


def write_images(directory: Path, count: int, side: int) -> None:
    """Writes images whose coarse pattern tells the class, with noise of their own."""
    import numpy as np
    from PIL import Image

    patterns = np.random.default_rng(0).integers(64, 192, (CLASSES, 4, 4, 3))
    for place in range(count):
        generator = np.random.default_rng([1, place])
        label = place % CLASSES
        noise = generator.normal(0, 60, (4, 4, 3))
        coarse = np.clip(patterns[label] + noise, 0, 255).astype(np.uint8)
        folder = directory / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        picture = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        picture.save(folder / f"{place:06d}.jpg", quality=85)


def measure(directory: Path, trials: int, backbone: str, device: str) -> dict[str, Any]:
    """Runs the search in this process; peaks in MB by the stage in which they were reached."""
    import resource

    os.environ["AUTOML_TRANSFER_CACHE_DIR"] = str(directory / "cache")
    import automl_transfer
    from automl_transfer.events import Event, StageStarted

    peaks: dict[str, float] = {}
    stage = "start"

    def note(event: Event) -> None:
        nonlocal stage
        if isinstance(event, StageStarted):
            stage = event.stage
        peaks[stage] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    begun = time.monotonic()
    study = automl_transfer.search(
        directory / "data",
        trials=trials,
        study="memory",
        studies=directory / "studies",
        backbones=[backbone],
        strategies=["frozen"],
        device=device,
        offline=True,
        on_event=note,
    )
    test = study.recommendation.test if study.recommendation else None
    study.close()
    return {
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "peaks": peaks,
        "files": _mapped_files(),
        "seconds": time.monotonic() - begun,
        "test": None if test is None else test.value,
    }


def _mapped_files() -> float:
    """Resident pages of mapped files, in MB; not-a-number where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssFile"))


STAGES = ("load", "screen", "heads", "confirm")
"""Those before the last, at whose end the peak is that of the whole search."""


def run(count: int, options: argparse.Namespace) -> dict[str, Any]:
    """One search in a fresh process."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        write_images(directory / "data", count, options.side)
        words = [sys.executable, __file__, "--measure", place, "--trials", str(options.trials)]
        words += ["--backbone", options.backbone, "--device", options.device]
        answer = subprocess.run(words, capture_output=True, text=True)
        if answer.returncode:
            raise SystemExit(answer.stderr)
        found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
        size = sum(file.stat().st_size for file in (directory / "cache").rglob("*.safetensors"))
        found["cache"] = size / 1e6
    print(count, found, file=sys.stderr)
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--counts", type=int, nargs="+", default=[2000, 50_000])
    parser.add_argument("--side", type=int, default=64, help="of the images that are written")
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--backbone", default="bundled/efficientnet_lite0@96")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", action="store_true", help="write memory.md")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        found = measure(options.measure, options.trials, options.backbone, options.device)
        print(json.dumps(found))
        return
    results = {count: run(count, options) for count in options.counts}
    first = results[options.counts[0]]
    rows = [
        [
            f"{count:,}",
            f"{found['peak']:,.0f}",
            f"{found['peak'] / first['peak']:.2f}",
            *(f"{found['peaks'].get(name, float('nan')):,.0f}" for name in STAGES),
            f"{found['files']:,.0f}",
            f"{found['cache']:,.0f}",
            f"{found['seconds']:,.0f}",
            f"{found['test']:.3f}",
        ]
        for count, found in results.items()
    ]
    header = ["images", "peak, MB", "ratio", *(f"until {name} ends" for name in STAGES)]
    header += ["of which files", "cache, MB", "seconds", "test score"]
    text = _report.page(
        "B7: memory does not grow with the data",
        (__doc__ or "").partition("\n\n")[2].partition("\n\n")[2],
        _report.table(header, rows),
        "Target: within 10 % of each other.",
    )
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)


if __name__ == "__main__":
    main()
