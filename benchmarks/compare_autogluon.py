"""AutoGluon MultiModal on one data set, for B4. Runs in a virtual environment of its own.

    AG/bin/python benchmarks/compare_autogluon.py SPLIT.csv --root IMAGES --backbone DIR \
        --budget 300 --out answer.json

Made for autogluon.multimodal 1.6 (run with 1.6.3 and torch 2.13.0), which pins another torch and
timm than ours. Its predictor is given the training part, the validation part as tuning data, one
backbone and the time; everything else is its default (20 epochs at most, layer-wise decay, trivial
augment, greedy soup of the best three). It cannot choose among backbones without its hyper-
parameter search, which needs Ray and several whole trainings; its own advice is one strong
backbone. Offline, its ``timm_image`` model reads a directory with ``config.json`` and
``pytorch_model.bin``, which this script makes from ours before the clock starts; in that form it
needs ``num_features`` and takes no ``model_args``.
"""

from __future__ import annotations

import time

STARTED = time.time()  # before the slow imports: they are on the clock

import argparse  # noqa: E402
import csv  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

PARTS = ("train", "val", "test")


def lay_out(backbone: Path, target: Path) -> Path:
    """Writes a directory as AutoGluon wants it."""
    import timm
    import torch
    from safetensors.torch import load_file

    described = json.loads((backbone / "config.json").read_text(encoding="utf-8"))
    if described.get("model_args"):
        raise SystemExit(
            f"AutoGluon builds a timm network from its name alone, but {backbone} needs "
            f"{described['model_args']}. Choose a backbone without model_args."
        )
    network = timm.create_model(described["architecture"])
    described["num_features"] = network.num_features
    tensors = load_file(backbone / "model.safetensors")
    expected = network.state_dict()
    state = {name: value.to(expected[name].dtype) for name, value in tensors.items()}
    classifier = network.default_cfg["classifier"]
    state = {name: value for name, value in state.items() if not name.startswith(classifier)}
    target.mkdir(parents=True)
    torch.save(state, target / "pytorch_model.bin")
    (target / "config.json").write_text(json.dumps(described), encoding="utf-8")
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("split", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--budget", type=float, required=True, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--started", type=float, default=STARTED, help="time.time() of the start")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"

    import pandas as pd
    from autogluon.multimodal import MultiModalPredictor

    with options.split.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    classes = sorted({row["label"] for row in rows})
    frames = {
        part: pd.DataFrame(
            {
                "image": [str(options.root / row["path"]) for row in rows if row["split"] == part],
                "label": [row["label"] for row in rows if row["split"] == part],
            }
        )
        for part in PARTS
    }
    with tempfile.TemporaryDirectory() as scratch:
        began = time.time()
        checkpoint = lay_out(options.backbone, Path(scratch) / "backbone")
        started = options.started + time.time() - began  # laying out is not its work
        predictor = MultiModalPredictor(
            label="label",
            problem_type="multiclass",
            eval_metric="accuracy",
            path=f"{scratch}/model",
            verbosity=1,
        )
        predictor.fit(
            train_data=frames["train"],
            tuning_data=frames["val"],
            time_limit=max(1, int(options.budget - (time.time() - started))),
            seed=options.seed,
            hyperparameters={
                "model.names": ["timm_image"],
                "model.timm_image.checkpoint_name": str(checkpoint),
                "env.num_gpus": 0,
                "env.num_workers": 0,
                "env.num_workers_inference": 0,
            },
        )
        wall = time.time() - started
        named = predictor.predict(frames["test"][["image"]])
    answer = {
        "at": wall,
        "validation": None,
        "what": f"{options.backbone.name}, AutoGluon's defaults",
        "predicted": [classes.index(name) for name in named],
    }
    options.out.write_text(json.dumps({"wall": wall, "answers": [answer]}), encoding="utf-8")


if __name__ == "__main__":
    main()
