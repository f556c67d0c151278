"""How early heads of a pack may be stopped, how wide perceptrons must be, and how many to try.

    python benchmarks/halving_heads.py DATA_DIR... [--backbones NAME...] [--write]

For each data set and backbone, in five folds: a fifth of the other folds validates, the rest is
learnt from. Of each kind of head 24 are drawn from the space of its card, the default first, and
trained to the end; the rules that stop some of them before are replayed on what they had on the
validation part from report to report. The best of those that a rule lets end is scored on the
fold.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import _heads
import _report
import numpy as np
from _heads import CPU, DRAWN, FOLDS, drawn_runs, folds, percent
from _paired import gained
from numpy.typing import NDArray
from stage_outputs import extracted, short

from automl_transfer.cards import HeadCard
from automl_transfer.plugins import load_registry
from automl_transfer.registry import Registry
from automl_transfer.stages.head_building import HEAD_EPOCHS
from automl_transfer.target import Target
from automl_transfer.training.device import prepare_process
from automl_transfer.training.frozen import FrozenFeatures
from automl_transfer.training.link import link_of
from automl_transfer.training.packed import train_heads

HEADS = ("linear", "cosine", "mlp", "mlp-stages")
TIMES = {"32 to 256": 2.0, "16 to 128": 1.0, "8 to 64": 0.5}
"""By how many hidden units there may be: times those that are drawn from the space of the card."""
COUNTS = (16, 24)
RULES: Mapping[str, Mapping[int, float]] = {
    "to the end": {},
    "half after 15": {15: 1 / 2},
    "half after 9": {9: 1 / 2},
    "half after 6 and 15": {6: 1 / 2, 15: 1 / 2},
    "half after 3, 9 and 18": {3: 1 / 2, 9: 1 / 2, 18: 1 / 2},
    "a third after 3 and 12": {3: 1 / 3, 12: 1 / 3},
}
"""By epoch, which part of those that are there goes on."""
BEFORE, NOW = ("half after 15", "32 to 256"), ("half after 3, 9 and 18", "16 to 128")
"""Rule and width: of the first versions, and of now."""
TRIED = 16
"""Heads of a kind in a pack."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Heads of a kind on one backbone, in one fold."""

    sizes: NDArray[np.float64]
    """Numbers of each head, shape (r,): what a step of it costs."""
    epochs: tuple[int, ...]
    curves: NDArray[np.float64]
    """Accuracy on the validation part after each of ``epochs``, shape (r, e)."""
    hits: NDArray[np.bool_]
    """Whether each sample of the fold was right at the end, shape (r, m)."""

    def best(self, rule: Mapping[int, float], drawn: int) -> tuple[int, float]:
        """The best of the first ``drawn`` that a rule lets end, and what all that were begun cost,
        in numbers that are passed once an epoch."""
        live, cost, before = np.arange(drawn), 0.0, 0
        for place, epoch in enumerate(self.epochs):
            cost += float(self.sizes[live].sum()) * (epoch - before)
            before = epoch
            if epoch in rule:
                order = np.argsort(-self.curves[live, place], kind="stable")
                live = live[order[: max(1, round(rule[epoch] * len(live)))]]
        live = np.sort(live)
        return int(live[np.argmax(self.curves[live, -1])]), cost


@dataclass(frozen=True)
class Cell:
    """One data set and one backbone."""

    data: str
    backbone: str
    pools: dict[tuple[str, str], list[Pool]] = field(default_factory=dict)
    """By head and how wide it may be, of all folds."""

    def tried(self, head: str, rule: str, width: str, drawn: int) -> list[tuple[float, float]]:
        """Accuracy of the best of the first ``drawn``, and their cost, in each fold."""
        width = width if (head, width) in self.pools else NOW[1]
        found = []
        for pool in self.pools[head, width]:
            best, cost = pool.best(RULES[rule], drawn)
            found.append((float(pool.hits[best].mean()), cost))
        return found


def pool(
    registry: Registry,
    card: HeadCard,
    data: FrozenFeatures,
    val: int,
    labels: NDArray[np.int64],
    times: float,
) -> Pool:
    """Trains the heads of one kind.

    Args:
        registry: Of the plugins.
        card: The head.
        data: Of which ``evaluate`` is the validation part, then the fold.
        val: Samples of the validation part.
        labels: Of ``data.evaluate``.
        times: See :data:`TIMES`.
    """
    width, classes = data.train.shape[1], int(data.targets.max()) + 1

    def widened(params: dict[str, float | int]) -> None:
        if "hidden" in params:
            params["hidden"] = round(times * params["hidden"])

    runs, points = drawn_runs(registry, card, width, classes, widened)
    sizes = [params.get("hidden", classes) * width for params in points]
    curves, epochs, last = [], [], np.zeros(0)
    for reports in train_heads(
        runs=runs,
        features=data.train,
        targets=data.targets,
        evaluate_features=data.evaluate,
        link=link_of(Target(names=tuple(map(str, range(classes))))),
        epochs=HEAD_EPOCHS,
        seed=0,
        device=CPU,
        end_settled=False,
    ):
        if len(reports) < DRAWN:
            raise SystemExit(f"Of {DRAWN} heads {card.id} only {len(reports)} went on.")
        last = np.array([one.probabilities.argmax(axis=1) == labels for one in reports])
        curves.append(last[:, :val].mean(axis=1))
        epochs.append(reports[0].epoch)
    return Pool(
        sizes=np.array(sizes, dtype=np.float64),
        epochs=tuple(epochs),
        curves=np.stack(curves, axis=1),
        hits=last[:, val:],
    )


def cell(directory: Path, name: str) -> Cell | None:
    """Measures one; None if no outputs of the backbone's stages can be pooled."""
    registry = load_registry()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        read = extracted(directory, name, home)
        if read is None:
            return None
        labels, found = read.labels, Cell(directory.name, short(name))
        own = read.features[:, : read.widths[0]].copy()
        views = {"features": (own, ()), "stages": (read.features, read.widths)}
        for parts in folds(labels):
            train, evaluated = parts.train, parts.evaluated
            for head in HEADS:
                card = registry.heads[head].card
                features, widths = views[card.reads]
                data = FrozenFeatures.scaled(
                    features, train, labels[train], evaluated, home, widths
                )
                hidden = any(param.name == "hidden" for param in card.space)
                for width, times in TIMES.items():
                    if hidden or width == NOW[1]:
                        made = pool(registry, card, data, len(parts.val), labels[evaluated], times)
                        found.pools.setdefault((head, width), []).append(made)
    print(found.data, found.backbone, flush=True)
    return found


def row(cells: list[Cell], what: str, heads: Sequence[str], *tried: Any) -> list[str]:
    """Mean accuracy of each of ``heads``, and the cost of them all over that of before."""
    values, costs, before = [], [], []
    for head in HEADS:
        if head not in heads:
            values.append("")
            continue
        found = [pair for one in cells for pair in one.tried(head, *tried)]
        values.append(percent(float(np.mean([accuracy for accuracy, _ in found]))))
        costs.append([cost for _, cost in found])
        before.append([cost for one in cells for _, cost in one.tried(head, *BEFORE, TRIED)])
    ratio = (np.sum(costs, axis=0) / np.sum(before, axis=0)).mean()
    return [what, *values, f"{ratio:.2f}"]


def gain(cells: list[Cell], heads: Sequence[str]) -> str:
    """Of now over before in points, mean of the cells, with its 95 % interval over folds."""
    differences = [
        np.mean(
            [
                [
                    now - then
                    for (now, _), (then, _) in zip(
                        one.tried(head, *NOW, TRIED), one.tried(head, *BEFORE, TRIED), strict=True
                    )
                ]
                for head in heads
            ],
            axis=0,
        )
        for one in cells
    ]
    return gained(differences)


def main() -> None:
    options = _heads.options(__doc__)
    prepare_process(CPU)
    found = [cell(directory, name) for directory in options.data for name in options.backbones]
    cells = [one for one in found if one is not None]
    wide = [head for head in HEADS if (head, "8 to 64") in cells[0].pools]
    header = [*HEADS, "cost"]
    text = _report.page(
        "Which heads of a pack are stopped, and how wide perceptrons are",
        f"Accuracy on the fold, %, of the best on the validation part; {FOLDS} folds of "
        f"{', '.join(dict.fromkeys(one.data for one in cells))}; backbones: "
        f"{', '.join(map(short, options.backbones))}. {TRIED} heads of a kind are begun where it "
        f"is not said, of {HEAD_EPOCHS} epochs. **cost**: numbers of a head times the epochs that "
        f"it is trained for, of all that are begun, over that of *{BEFORE[0]}* with {BEFORE[1]} "
        "hidden units.",
        _report.table(
            ["those that go on, of each kind", *header],
            [row(cells, rule, HEADS, rule, BEFORE[1], TRIED) for rule in RULES],
        ),
        f"Hidden units, {NOW[0]}:",
        _report.table(
            ["hidden units", *header],
            [row(cells, width, wide, NOW[0], width, TRIED) for width in TIMES],
        ),
        f"Heads of a kind, {NOW[0]}, {NOW[1]} hidden units:",
        _report.table(
            ["heads", *header], [row(cells, str(count), HEADS, *NOW, count) for count in COUNTS]
        ),
        f"*{NOW[0]}* with {NOW[1]} hidden units over *{BEFORE[0]}* with {BEFORE[1]}, points, with "
        "a 95 % interval over folds:",
        _report.table(
            [*HEADS, "all"], [[*(gain(cells, [head]) for head in HEADS), gain(cells, HEADS)]]
        ),
    )
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)


if __name__ == "__main__":
    main()
