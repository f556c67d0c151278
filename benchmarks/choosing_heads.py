"""Which head comes into the final, by its luck on the validation part or by what it is worth.

    python benchmarks/choosing_heads.py DATA_DIR... [--backbones NAME...] [--write]

For each data set, in five folds: a fifth of the other folds validates, the rest is learnt from.
Of each kind of head on each backbone, 24 are drawn from the space of its card, the default first
(of ridge heads there is one), and the best on the validation part stands for its kind. Three
kinds come into the final. There, half of the fold decides, and the other half scores; ten halves
are drawn.
"""

from __future__ import annotations

import itertools
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import _heads
import _report
import numpy as np
from _heads import CPU, DRAWN, FOLDS, Parts, drawn_runs, folds, percent
from _paired import gained
from numpy.typing import NDArray
from stage_outputs import Extracted, Hits, extracted, short

from automl_transfer.cards import HeadCard
from automl_transfer.corrected import of_choices
from automl_transfer.generators import ended
from automl_transfer.plugins import load_registry
from automl_transfer.registry import Registry
from automl_transfer.stages.finalists import CHOSEN_FROM, LEAST, RESAMPLES
from automl_transfer.target import Target
from automl_transfer.training.device import prepare_process
from automl_transfer.training.frozen import FrozenFeatures
from automl_transfer.training.link import link_of
from automl_transfer.training.packed import train_heads
from automl_transfer.training.ridge import ridge_path

HALVES = 10
HEADS = ("ridge", "ridge-stages", "linear", "cosine", "mlp", "mlp-stages")
POOLS = {"without": HEADS[:5], "with": HEADS}
RULES = ("value", "worth")
COLUMNS = tuple(f"by {rule}, {pool}" for pool in POOLS for rule in RULES)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The best of a kind of head."""

    value: float
    """On the validation part."""
    worth: float
    hits: NDArray[np.float64]
    """Whether each sample of the fold was right, shape (m,)."""


@dataclass(frozen=True)
class Cell:
    """One data set."""

    data: str
    hits: Hits
    folds: list[NDArray[np.int64]] = field(default_factory=list)
    """Of which samples each fold is."""
    kinds: dict[str, list[Chosen]] = field(default_factory=dict)
    """By head, of all backbones and folds."""


def predicted(
    registry: Registry, card: HeadCard, data: FrozenFeatures, classes: int
) -> list[NDArray[np.float32]]:
    """Probabilities of ``data.evaluate``, shape (m, c), by each head that is tried."""
    if card.closed_form:
        return [ridge_path(data.train, data.targets, classes).predicted(data.evaluate)]
    runs, _ = drawn_runs(registry, card, data.train.shape[1], classes)
    training = train_heads(
        runs=runs,
        features=data.train,
        targets=data.targets,
        evaluate_features=data.evaluate,
        link=link_of(Target(names=tuple(map(str, range(classes))))),
        seed=0,
        device=CPU,
    )
    return [one.probabilities for one in ended(training) if one.error is None]


def chosen(registry: Registry, data: Extracted, parts: Parts, home: Path) -> dict[str, Chosen]:
    """The best of each kind of head on one backbone, in one fold of three parts."""
    train, val, evaluated = parts.train, parts.val, parts.evaluated
    width, labels = data.widths[0], data.labels
    views = {
        "features": (data.features[:, :width].copy(), ()),
        "stages": (data.features, data.widths),
    }
    made = {}
    for head in HEADS:
        card = registry.heads[head].card
        features, widths = views[card.reads]
        frozen = FrozenFeatures.scaled(features, train, labels[train], evaluated, home, widths)
        tried = predicted(registry, card, frozen, int(labels.max()) + 1)
        hits = np.array([each.argmax(axis=1) == labels[evaluated] for each in tried])
        order = np.argsort(-hits[:, : len(val)].mean(axis=1), kind="stable")
        made[head] = ([tried[place] for place in order], hits[order[0]])
    pools = [[one[: len(val)] for one in tried[:CHOSEN_FROM]] for tried, _ in made.values()]
    worth = of_choices(pools, labels[val], "accuracy", seed=0, resamples=RESAMPLES)
    assert worth is not None
    return {
        head: Chosen(
            value=float(hits[: len(val)].mean()),
            worth=each,
            hits=hits[len(val) :].astype(np.float64),
        )
        for (head, (_, hits)), each in zip(made.items(), worth, strict=True)
    }


def final(contenders: list[Chosen], rule: str, seed: int) -> NDArray[np.float64]:
    """How often the winner is right of each sample, shape (m,), of the halves that score it."""
    finalists = sorted(contenders, key=lambda one: -getattr(one, rule))[:LEAST]
    count = len(finalists[0].hits)
    right, scored = np.zeros(count), np.zeros(count)
    for half in range(HALVES):
        order = np.random.default_rng([seed, half]).permutation(count)
        decides, scores = order[: count // 2], order[count // 2 :]
        winner = max(finalists, key=lambda one: one.hits[decides].mean())
        right[scores] += winner.hits[scores]
        scored[scores] += 1
    return right / np.maximum(scored, 1)


def cell(directory: Path, backbones: list[str]) -> Cell:
    """Measures one data set."""
    registry = load_registry()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        read = [extracted(directory, name, home) for name in backbones]
        known = [data for data in read if data is not None]
        labels = known[0].labels
        found = Cell(directory.name, {column: np.zeros(len(labels)) for column in COLUMNS})
        for fold, parts in enumerate(folds(labels)):
            found.folds.append(parts.test)
            each = [chosen(registry, data, parts, home) for data in known]
            for best in each:
                for head, one in best.items():
                    found.kinds.setdefault(head, []).append(one)
            for (name, heads), rule in itertools.product(POOLS.items(), RULES):
                contenders = [best[head] for best in each for head in heads]
                found.hits[f"by {rule}, {name}"][parts.test] = final(contenders, rule, fold)
    values = {key: f"{100 * value.mean():.1f}" for key, value in found.hits.items()}
    print(found.data, values, flush=True)
    return found


def gain(cells: list[Cell], of: str, over: str) -> str:
    """Mean of the sets' gains in points, and its 95 % interval over folds drawn again: all samples
    of a fold share its finalists."""
    differences = [
        np.array([(one.hits[of] - one.hits[over])[fold].mean() for fold in one.folds])
        for one in cells
    ]
    return gained(differences)


def main() -> None:
    options = _heads.options(__doc__)
    prepare_process(CPU)
    cells = [cell(directory, options.backbones) for directory in options.data]
    kinds = []
    for head in HEADS:
        those = [one for each in cells for one in each.kinds[head]]
        truth = [float(one.hits.mean()) for one in those]
        columns = [[one.value for one in those], [one.worth for one in those], truth]
        kinds.append([head, *(percent(float(np.mean(column))) for column in columns)])
    rows = [[one.data, *(percent(one.hits[column].mean()) for column in COLUMNS)] for one in cells]
    compared = [
        ("by worth, without", "by value, without"),
        ("by value, with", "by value, without"),
        ("by worth, with", "by value, with"),
        ("by worth, with", "by value, without"),
    ]
    text = _report.page(
        "Which heads come into the final",
        f"Accuracy, %. {FOLDS} folds; backbones: {', '.join(map(short, options.backbones))}. A "
        f"fifth of the other folds validates. Of each kind of head on each backbone {DRAWN} are "
        "drawn (of ridge heads there is one), and the best on the validation part stands for it. "
        "**value**: what that one has on the validation part. **worth**: that value less what its "
        "choice gained by luck (`automl_transfer/corrected.py`). **fold**: what it has on the "
        "fold.",
        _report.table(["head", "value", "worth", "fold"], kinds),
        f"The best {LEAST} kinds come into the final, by value or by worth, with and without "
        "`mlp-stages` among them. Half of the fold decides there and the other half scores; means "
        f"of {HALVES} halves.",
        _report.table(["data", *COLUMNS], rows),
        "On the same samples, with a 95 % interval over folds. A search differs in that it stops "
        "most heads early, draws by what has been good so far, and takes up to two more "
        "kinds into the final: the best by value, and cheap ones that are level with it.",
        _report.table(
            ["what over what", "mean gain, points"],
            [[f"{of} over {over}", gain(cells, of, over)] for of, over in compared],
        ),
    )
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)


if __name__ == "__main__":
    main()
