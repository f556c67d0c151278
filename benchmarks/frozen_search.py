"""B1 and B10: what a frozen search costs, and when its first answer is there, in bare passes.

    python benchmarks/frozen_search.py --data DIR --backbone local:PATH ... [--write]

A bare pass is the same network (pretrained, eval, inference mode, channels-last), in a minimal
loop over rows that are decoded already and lie in memory, batch after batch of the same size, over
the development part of the data. It is timed for each backbone before and after the search, in a
process of its own; the search runs in a process of its own with empty caches. Three ratios:

- **all**: from the start of screening to the last head, over the bare passes of all backbones over
  all of the data, which is what a search without a first look would have needed;
- **work**: the same time over the bare passes of what the search really computed (a quarter of the
  data for a backbone that was stopped);
- **first answer**: from the start of screening to the first ranking with intervals, over a pass of
  the cheapest backbone.
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

BATCH = 16
HEADS = 100


def searched(data: str, backbones: list[str], budget: str) -> dict[str, Any]:
    """Runs a frozen search in this process and notes when what happened."""
    import automl_transfer
    from automl_transfer.events import (
        BackboneScreened,
        DataLoaded,
        StageStarted,
        Standing,
        TrialEnded,
    )

    begun = time.monotonic()
    notes: dict[str, Any] = {"samples": {}, "heads": {}, "stopped": []}

    def note(event: Any) -> None:
        now = time.monotonic() - begun
        if isinstance(event, DataLoaded):
            notes["loaded"] = now
        elif isinstance(event, StageStarted) and event.stage == "screen":
            notes.setdefault("screen", now)
        elif isinstance(event, Standing):
            notes.setdefault("standing", now)
        elif isinstance(event, BackboneScreened):
            notes["samples"][event.backbone] = event.samples
            if event.verdict.startswith("stopped"):
                notes["stopped"].append(event.backbone)
        elif isinstance(event, TrialEnded):
            name = event.outcome.configuration.backbone
            notes["heads"][name] = notes["heads"].get(name, 0) + 1
            if event.outcome.state == "finished":
                notes.setdefault("trial", now)
            notes["last"] = now

    with tempfile.TemporaryDirectory() as directory:
        os.environ["AUTOML_TRANSFER_CACHE_DIR"] = f"{directory}/cache"
        study = automl_transfer.search(
            data,
            budget=budget,
            study="frozen",
            studies=f"{directory}/studies",
            backbones=backbones,
            strategies=["frozen"],
            offline=True,
            on_event=note,
        )
        best = study.recommendation
        notes["test"] = best.test.value if best else None
        study.close()
    return notes


def bare(data: str, backbones: list[str]) -> dict[str, Any]:
    """Times one bare pass of each backbone over the development part."""
    import numpy as np
    import torch

    from automl_transfer.dataset import DataOptions
    from automl_transfer.plugins import load_registry
    from automl_transfer.splits import make_splits
    from automl_transfer.training.device import choose_device, prepare_process
    from automl_transfer.weights import locate, shared_probe

    device = choose_device("auto")
    prepare_process(device)
    registry = load_registry()
    modality = registry.load(registry.modality("image"))()
    dataset = modality.open(Path(data), DataOptions())
    positions = make_splits(dataset.samples, dataset.classes, 0).development
    found: dict[str, Any] = {"samples": len(positions), "seconds": {}}
    for name in backbones:
        card = registry.backbone(name)
        weights = locate(card.weights, offline=True, hub=shared_probe())
        backbone = registry.load(card)(card=card, weights=weights, seed=0)
        encoder = modality.encoder(dataset.root, card.input, {})
        rows = [encoder.prepare(dataset.samples[int(place)]) for place in positions]
        module = backbone.module.to(device).eval().to(memory_format=torch.channels_last)
        with torch.inference_mode():
            for warm in (True, False):
                begun = time.perf_counter()
                for start in range(0, 4 * BATCH if warm else len(rows), BATCH):
                    batch = encoder.batch(rows[start : start + BATCH])
                    moved = batch.to(device, memory_format=torch.channels_last)
                    np.asarray(backbone.features(moved).cpu())
            found["seconds"][name] = time.perf_counter() - begun
        del module, rows
    return found


def apart(what: str, options: argparse.Namespace) -> Any:
    """Runs one of the functions above in a process of its own."""
    words = [sys.executable, __file__, "--part", what, "--data", options.data]
    words += ["--budget", options.budget]
    for name in options.backbone:
        words += ["--backbone", name]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--backbone", action="append", required=True)
    parser.add_argument("--budget", default="20m")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--part", choices=["search", "bare"])
    options = parser.parse_args()
    options.backbone = [_absolute(name) for name in options.backbone]
    if options.part:
        if options.part == "search":
            print(json.dumps(searched(options.data, options.backbone, options.budget)))
        else:
            print(json.dumps(bare(options.data, options.backbone)))
        return
    before = apart("bare", options)
    notes = apart("search", options)
    after = apart("bare", options)
    passes = {
        name: (before["seconds"][name] + after["seconds"][name]) / 2 for name in options.backbone
    }
    n = before["samples"]
    spent = notes["last"] - notes["screen"]
    work = sum(passes[name] * notes["samples"].get(name, 0) / n for name in passes)
    first = notes["standing"] - notes["screen"]
    trial = notes["trial"] - notes["screen"]
    cheapest = min(passes.values())
    rows = [
        (Path(name).name, f"{passes[name]:.1f} s", notes["samples"].get(name, 0),
         notes["heads"].get(name, 0))
        for name in passes
    ]  # fmt: skip
    kept = [count for name, count in notes["heads"].items() if name not in notes["stopped"]]
    figures = [
        ("B1, all: search / bare passes of all backbones", spent / sum(passes.values()), "<= 1.3"),
        ("B1, work: search / bare passes of what was computed", spent / work, "<= 1.3"),
        ("head trials of each backbone that was kept", min(kept), f">= {HEADS}"),
        ("B10: first ranking with intervals / pass of the cheapest", first / cheapest, "<= 1.5"),
        ("first finished trial / pass of the cheapest", trial / cheapest, ""),
    ]
    shown = [
        (what, f"{value:.2f}" if isinstance(value, float) else value, target)
        for what, value, target in figures
    ]
    page = _report.page(
        "A frozen search in units of bare forward passes",
        f"{Path(options.data).name}: {n} samples of the development part. The search took "
        f"{spent:.1f} s from the start of screening to the last of {sum(notes['heads'].values())} "
        f"head trials, preparing the rows included (reading and checking the data before that: "
        f"{notes['loaded']:.1f} s with the start of the process); its winner scored "
        f"{notes['test']:.3f} on the test part.",
        _report.table(("what", "measured", "target"), shown),
        _report.table(("backbone", "bare pass", "samples seen", "head trials"), rows),
        (__doc__ or "").split("\n\n", 2)[2],
    )
    _report.write(Path(__file__).with_suffix(".md"), page, wanted=options.write)


def _absolute(name: str) -> str:
    path = name.removeprefix("local:")
    return f"local:{Path(path).resolve()}" if name.startswith("local:") else name


if __name__ == "__main__":
    main()
