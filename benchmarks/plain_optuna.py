"""What a good engineer would write in an afternoon with Optuna and timm: the yardstick of B3, B4.

    python benchmarks/plain_optuna.py SPLIT.csv --root IMAGES --backbones DIR... --budget 1200 \
        --out answer.json

TPE and the median pruner choose backbone, strategy (linear probe, last block, full fine-tune),
head, learning rate, weight decay, label smoothing, batch size and mirror images. Each trial trains
up to 12 epochs and reports after each. Images are decoded once into memory, at each backbone's own
size. Tensors are channels-last, norm layers of frozen parts do not move, biases and norms do not
decay, the rate warms up and falls by a cosine. Frozen features are not kept: that is what the
comparison is about.

Two things are kinder to it than the usual script: it stops at the budget instead of after the
trial under way, and the answer at any moment is the model of the best epoch of any trial so far,
of pruned and of unfinished ones too. SPLIT.csv has the columns path, label and split (train, val,
test). The test part is opened after the clock has stopped; how the answers would have scored as
time went by is worked out then.
"""

from __future__ import annotations

import time

STARTED = time.time()  # before the slow imports: they are on the clock, as they are for the user

import argparse  # noqa: E402
import contextlib  # noqa: E402
import csv  # noqa: E402
import json  # noqa: E402
import math  # noqa: E402
import os  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import optuna  # noqa: E402
import timm  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

EPOCHS = 12
PARTS = ("train", "val", "test")
PRETRAINED = (
    "input_size",
    "mean",
    "std",
    "interpolation",
    "crop_pct",
    "num_classes",
    "classifier",
)
RATES = {"linear_probe": (1e-4, 3e-2), "last_block": (3e-5, 3e-3), "full": (1e-5, 1e-3)}


class Clock:
    """Wall time since the process was asked for."""

    def __init__(self, started: float, budget: float) -> None:
        self.started, self.budget = started, budget

    @property
    def elapsed(self) -> float:
        return time.time() - self.started

    @property
    def over(self) -> bool:
        return self.elapsed >= self.budget


class OutOfTime(Exception):
    """The budget ended within a trial."""


class Images:
    """The data set in memory: uint8 arrays, one for each part and input size."""

    def __init__(self, split: Path, root: Path) -> None:
        with split.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.classes = sorted({row["label"] for row in rows})
        self.paths = {p: [root / r["path"] for r in rows if r["split"] == p] for p in PARTS}
        self.labels = {
            p: torch.tensor([self.classes.index(r["label"]) for r in rows if r["split"] == p])
            for p in PARTS
        }
        self._arrays: dict[tuple[str, Any], torch.Tensor] = {}

    def part(self, part: str, config: dict[str, Any]) -> torch.Tensor:
        """Pixels, shape (n, 3, side, side), uint8, as timm would resize and crop them."""
        side, crop, filter = config["input_size"][-1], config["crop_pct"], config["interpolation"]
        key = (part, (side, crop, filter))
        if key not in self._arrays:
            view = timm.data.create_transform(
                (3, side, side), interpolation=filter, crop_pct=crop, normalize=False
            )
            view.transforms = view.transforms[:2]  # resize, centre crop; the image stays uint8

            def decode(path: Path) -> np.ndarray:
                with Image.open(path) as image:
                    return np.asarray(view(image.convert("RGB")))

            with ThreadPoolExecutor(threads()) as pool:
                stacked = np.stack(list(pool.map(decode, self.paths[part])))
            self._arrays[key] = torch.from_numpy(stacked).permute(0, 3, 1, 2)
        return self._arrays[key]


@dataclass
class Net:
    """A network with its input's description; ``trained`` are the modules that learn."""

    model: nn.Module
    config: dict[str, Any]
    trained: list[nn.Module]

    def train(self) -> None:
        """Training mode where it learns; elsewhere norm layers keep their statistics."""
        self.model.eval()
        for module in self.trained:
            module.train()

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        mean = torch.tensor(self.config["mean"]).view(1, 3, 1, 1) * 255
        std = torch.tensor(self.config["std"]).view(1, 3, 1, 1) * 255
        images = pixels.float().sub_(mean).div_(std)
        return images.contiguous(memory_format=torch.channels_last)


def threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def build(backbone: str, strategy: str, head: str, classes: int) -> Net:
    """A pretrained network from a directory of timm's layout, with what may learn unfrozen."""
    described = json.loads((Path(backbone) / "config.json").read_text(encoding="utf-8"))
    pretrained = {name: described["pretrained_cfg"][name] for name in PRETRAINED}
    model = timm.create_model(
        described["architecture"],
        pretrained=True,
        pretrained_cfg_overlay={**pretrained, "file": f"{backbone}/model.safetensors"},
        **{**described.get("model_args", {}), "num_classes": classes},
    )
    place = model.pretrained_cfg["classifier"]
    if head == "mlp":
        width = model.get_submodule(place).in_features
        layers = (nn.Linear(width, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, classes))
        model.set_submodule(place, nn.Sequential(*layers))
    trained = [model.get_submodule(place)]
    if strategy == "full":
        trained = [model]
    elif strategy == "last_block":
        trained.append(model.blocks[-1])
        after = ("conv_head", "bn2", "norm_head", "norm", "fc_norm")
        trained += [getattr(model, name) for name in after if hasattr(model, name)]
    model.requires_grad_(False)
    for module in trained:
        module.requires_grad_(True)
    return Net(
        model=model.to(memory_format=torch.channels_last),
        config=timm.data.resolve_model_data_config(model),
        trained=trained,
    )


@torch.inference_mode()
def predict(net: Net, pixels: torch.Tensor, clock: Clock | None = None) -> torch.Tensor:
    """The most likely class of each image."""
    net.model.eval()
    found = []
    for batch in pixels.split(64):
        if clock is not None and clock.over:
            raise OutOfTime
        found.append(net.model(net.encode(batch)).argmax(1))
    return torch.cat(found)


def fit(
    net: Net,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    *,
    lr: float,
    weight_decay: float,
    smoothing: float,
    batch_size: int,
    flip: bool,
    seed: int,
    clock: Clock,
    epochs: Callable[[int, float], int] = lambda steps, seconds_per_step: EPOCHS,
) -> Iterator[int]:
    """Trains, and yields after each epoch.

    Args:
        net: Is changed.
        pixels: Shape (n, 3, side, side).
        labels: Shape (n,).
        epochs: Given the steps done and the seconds of one, how many epochs there shall be in all;
            asked after a few steps and after each epoch.
        clock: Training is broken off with OutOfTime when it is over.
    """
    generator = torch.Generator().manual_seed(seed)
    learn = [p for p in net.model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learn if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in learn if p.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=lr)
    per_epoch = max(1, len(labels) // batch_size)
    wanted, step, durations = EPOCHS, 0, []
    epoch = 0
    while epoch < wanted:
        net.train()
        order = torch.randperm(len(labels), generator=generator)
        for rows in order[: per_epoch * batch_size].split(batch_size):
            began = time.perf_counter()
            total = max(wanted * per_epoch, step + 1)
            warm = min(1.0, (step + 1) / max(1, total // 20))
            for group in optimizer.param_groups:
                group["lr"] = lr * warm * 0.5 * (1 + math.cos(math.pi * step / total))
            images = net.encode(pixels[rows])
            if flip:
                mirrored = torch.rand(len(rows), generator=generator) < 0.5
                images[mirrored] = images[mirrored].flip(-1)
            loss = functional.cross_entropy(
                net.model(images), labels[rows], label_smoothing=smoothing
            )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            step += 1
            if not math.isfinite(loss.item()):
                raise optuna.TrialPruned
            if clock.over:
                raise OutOfTime
            durations.append(time.perf_counter() - began)
            if step == 4:
                wanted = max(epoch + 1, min(EPOCHS, epochs(step, np.median(durations[1:]))))
        epoch += 1
        if step >= 4:
            wanted = max(epoch, min(EPOCHS, epochs(step, np.median(durations[1:]))))
        yield epoch


@dataclass
class Answer:
    """The best model at a moment."""

    at: float
    value: float
    trial: int
    params: dict[str, Any]
    state: dict[str, torch.Tensor]


def search(images: Images, backbones: list[str], clock: Clock, seed: int) -> list[Answer]:
    """The search itself. Returns every improvement, the last of which is the answer."""
    answers: list[Answer] = []

    def objective(trial: optuna.Trial) -> float:
        backbone = trial.suggest_categorical("backbone", backbones)
        strategy = trial.suggest_categorical("strategy", list(RATES))
        head = trial.suggest_categorical("head", ["linear", "mlp"])
        lr = trial.suggest_float(f"lr_{strategy}", *RATES[strategy], log=True)
        weight_decay = trial.suggest_float("weight_decay", 1e-6, 1e-1, log=True)
        smoothing = trial.suggest_float("label_smoothing", 0.0, 0.2)
        batch_size = trial.suggest_categorical("batch_size", [16, 32, 64])
        flip = trial.suggest_categorical("flip", [True, False])
        torch.manual_seed(seed + trial.number)
        net = build(backbone, strategy, head, len(images.classes))
        val = images.part("val", net.config)
        accuracy = 0.0
        for epoch in fit(
            net,
            images.part("train", net.config),
            images.labels["train"],
            lr=lr,
            weight_decay=weight_decay,
            smoothing=smoothing,
            batch_size=min(batch_size, len(images.labels["train"])),
            flip=flip,
            seed=seed + trial.number,
            clock=clock,
        ):
            right = predict(net, val, clock) == images.labels["val"]
            accuracy = right.float().mean().item()
            if not answers or accuracy > answers[-1].value:
                state = {k: v.detach().clone() for k, v in net.model.state_dict().items()}
                answers.append(Answer(clock.elapsed, accuracy, trial.number, trial.params, state))
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return accuracy

    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.MedianPruner(),
    )
    with contextlib.suppress(OutOfTime):
        study.optimize(objective, timeout=clock.budget - clock.elapsed)
    return answers


def scored(images: Images, answers: list[Answer], marks: list[float]) -> list[dict[str, Any]]:
    """What the answers say of the test part: the last of each trial, and those at the marks."""
    at_marks = {max((a.at for a in answers if a.at <= mark), default=None) for mark in marks}
    last = {answer.trial: answer.at for answer in answers}
    rows = []
    for answer in answers:
        if answer.at not in at_marks and answer.at != last[answer.trial]:
            continue
        chosen = [answer.params[name] for name in ("backbone", "strategy", "head")]
        net = build(*chosen, len(images.classes))
        net.model.load_state_dict(answer.state)
        rows.append(
            {
                "at": answer.at,
                "validation": answer.value,
                "what": f"{Path(chosen[0]).name} + {chosen[2]}, {chosen[1]}",
                "predicted": predict(net, images.part("test", net.config)).tolist(),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("split", type=Path)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--backbones", nargs="+", required=True)
    parser.add_argument("--budget", type=float, required=True, help="seconds")
    parser.add_argument("--marks", type=float, nargs="*", default=[], help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--started", type=float, default=STARTED, help="time.time() of the start")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(threads())
    clock = Clock(options.started, options.budget)
    images = Images(options.split, options.root)
    answers = search(images, options.backbones, clock, options.seed)
    wall = clock.elapsed
    rows = scored(images, answers, options.marks)
    trials = answers[-1].trial + 1 if answers else 0
    found = {"wall": wall, "best_trial": trials - 1, "answers": rows}
    options.out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
