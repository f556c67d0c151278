"""Always the same backbone, fine-tuned with the usual defaults: the constant yardstick of B4.

    python benchmarks/plain_default.py SPLIT.csv --root IMAGES --backbone DIR --budget 300 \
        --out answer.json

The whole network, AdamW at 1e-4, weight decay 0.01, batches of 32, mirror images, a linear head,
5 % warm-up and a cosine over 12 epochs, or over as many as fit the budget. Nothing is chosen, so
it learns from the training and the validation part together. Pixels, network and loop are those of
``plain_optuna.py``.
"""

from __future__ import annotations

import time

STARTED = time.time()  # before the slow imports: they are on the clock

import argparse  # noqa: E402
import json  # noqa: E402
from pathlib import Path  # noqa: E402

import torch  # noqa: E402
from plain_optuna import EPOCHS, Clock, Images, OutOfTime, build, fit, predict, threads  # noqa: E402

MARGIN = 1.05
"""Some steps take longer than the median."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("split", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--budget", type=float, required=True, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--started", type=float, default=STARTED, help="time.time() of the start")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(threads())
    torch.manual_seed(options.seed)
    clock = Clock(options.started, options.budget)
    images = Images(options.split, options.root)
    net = build(options.backbone, "full", "linear", len(images.classes))
    pixels = torch.cat([images.part(part, net.config) for part in ("train", "val")])
    labels = torch.cat([images.labels[part] for part in ("train", "val")])
    batch_size = min(32, len(labels))
    per_epoch = max(1, len(labels) // batch_size)

    def that_fit(steps: int, seconds_per_step: float) -> int:
        left = clock.budget - clock.elapsed
        return int((steps + left / (MARGIN * seconds_per_step)) / per_epoch)

    epoch = 0
    try:
        for epoch in fit(  # noqa: B007
            net,
            pixels,
            labels,
            lr=1e-4,
            weight_decay=0.01,
            smoothing=0.0,
            batch_size=batch_size,
            flip=True,
            seed=options.seed,
            clock=clock,
            epochs=that_fit,
        ):
            pass
    except OutOfTime:
        pass  # it is used as it stands
    wall = clock.elapsed
    answer = {
        "at": wall,
        "validation": None,
        "what": f"{Path(options.backbone).name} + linear, full, {epoch} epochs",
        "predicted": predict(net, images.part("test", net.config)).tolist(),
    }
    found = {"wall": wall, "complete": epoch >= EPOCHS, "answers": [answer]}
    options.out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
