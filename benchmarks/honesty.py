"""Is the score that is reported the score that one gets, and is a difference that is claimed one?

    python benchmarks/honesty.py features.npz --data DIR [--data DIR ...] [--backbone NAME ...]
    python benchmarks/honesty.py features.npz [more.npz ...] [--repeats 120] [--write]

The first form computes the features of class folders once. The second draws n samples of a data
set again and again, lets the procedure of the search choose and report on them, and asks the
untouched rest for the truth: the score of the delivered model, trained on the same samples, on
all samples that were not drawn.

**The procedure.** From n = 500 on, 200 samples are the test part. A quarter of the others is the
validation part, on which a pool of configurations (ridge regression with 18 penalties, five kinds
of nearest neighbours, class means, each on raw, standardised and unit-length features of each
backbone) is ranked. The five best are trained again in 10 fresh random folds (`random_folds`) of
train and validation together, and scored on the *train* samples, which no trial was scored on.
`compare` finds the tie group, the cheapest of it wins, and is trained on all that is not test. Its
score on the test part is reported; below 500 samples the estimate of `corrected` from the fresh
folds.

**Naive** are the best validation score, and the best score of 5-fold cross-validation of the
whole pool. **Equals** are five learners with the same distribution: standardised features,
projected onto 64 random directions that are drawn anew for each learner and fold, and ridge
regression. Whatever differs between them is chance. "Any of five": claimed for any of the ten
pairs; "a pair": for two of them compared by themselves. **Power**: how often the first of these
five, compared with a learner of 4 directions, is said to beat it.

Bias is the mean of what is reported less the truth, in points, with its standard error; over all
sets, the mean of the sets' biases. Coverage is that of the 95 % interval; the rest is finite too,
which costs it 1 to 3 points.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import _draws
import _features
import _pool
import _report
import numpy as np
from numpy.typing import NDArray

from automl_transfer.comparison import compare
from automl_transfer.corrected import choose, corrected
from automl_transfer.folds import random_folds
from automl_transfer.recommendation import Interval
from automl_transfer.scoring import interval, score
from automl_transfer.task import choose_metric

SIZES = (100, 200, 500)
LARGE = 500
TEST = 200
VAL = 0.25
FINALISTS = 5
FOLDS = 10
NAIVE_FOLDS = 5
SCARCE = 6
"""Samples of the rarest class that a draw must have on average."""
UNTOUCHED = 4
"""How many times the scored samples the rest must be."""
EQUALS = 5
DIRECTIONS, FEW_DIRECTIONS = 64, 4
PENALTY = 0.03


@dataclass(frozen=True, kw_only=True)
class Data:
    name: str
    labels: NDArray[np.int64]
    classes: int
    metric: str
    matrices: list[NDArray[np.floating]]
    features: NDArray[np.float32]
    """Standardised, of the first backbone."""

    def predict(
        self,
        wanted: Sequence[_pool.Configuration],
        train: NDArray[np.int64],
        queries: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        return _pool.predict(wanted, self.matrices, self.labels, self.classes, train, queries)

    def out_of_fold(
        self,
        wanted: Sequence[_pool.Configuration],
        places: NDArray[np.int64],
        fold: NDArray[np.int64],
    ) -> NDArray[np.float32]:
        """Shape (f, n, c)."""
        found = np.empty((len(wanted), len(places), self.classes), dtype=np.float32)
        for each in np.unique(fold):
            found[:, fold == each] = self.predict(
                wanted, places[fold != each], places[fold == each]
            )
        return found

    def score(self, probabilities: NDArray[np.floating], places: NDArray[np.int64]) -> float:
        return score(probabilities, self.labels[places], self.metric)


def load(files: Sequence[Path]) -> list[Data]:
    """Data sets that all files have, with the backbones of all of them."""
    found: dict[str, tuple[NDArray[np.int64], list[NDArray[np.float32]]]] = {}
    for file in files:
        for name, labels, features in _features.read(file):
            found.setdefault(name, (labels, []))[1].extend(features.values())
    most = max(len(features) for _, features in found.values())
    sets = []
    for name, (labels, features) in sorted(found.items()):
        if len(features) < most:
            print(f"left out {name}: not in every file", file=sys.stderr)
            continue
        first = features[0]
        deviation = first.std(axis=0)
        sets.append(
            Data(
                name=name,
                labels=labels,
                classes=int(labels.max()) + 1,
                metric=choose_metric(labels)[0],
                matrices=_pool.grams(features),
                features=(first - first.mean(axis=0)) / np.where(deviation > 0, deviation, 1),
            )
        )
    return sets


def suits(data: Data, size: int) -> bool:
    scored = TEST if size >= LARGE else size * (1 - VAL)
    enough = np.bincount(data.labels).min() * size / len(data.labels) >= SCARCE
    return bool(enough and len(data.labels) - size >= UNTOUCHED * scored)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One draw. Differences are reported score less truth."""

    naive_validation: float
    naive_folds: float
    ours: float
    covered: bool
    width: float
    most_accurate: float
    """Ours, but the highest value wins instead of the cheapest of the tie group."""
    most_accurate_covered: bool
    truth: float
    tied: int
    equals_five: bool
    equals_pair: bool
    power: bool


def run(data: Data, size: int, repeat: int) -> Run:
    generator = np.random.default_rng([size, repeat])
    drawn, rest = _draws.draw(data.labels, size, generator)
    test = np.zeros(size, dtype=bool)
    if size >= LARGE:
        test = _draws.held_out(data.labels[drawn], TEST / size, generator)
    development = drawn[~test]
    validation = _draws.held_out(data.labels[development], VAL, generator)
    train = ~validation
    pool = _pool.pool(len(data.matrices))

    def true(configuration: _pool.Configuration) -> float:
        return data.score(data.predict([configuration], development, rest)[0], rest)

    order, best_validation = searched(data, pool, development[train], development[validation])
    finalists = [pool[place] for place in order[:FINALISTS]]
    naive_validation = best_validation - true(finalists[0])
    fold = _draws.folds(data.labels[development], NAIVE_FOLDS, generator)
    everything = data.out_of_fold(pool, development, fold)
    by_folds = [data.score(each, development) for each in everything]
    naive_folds = max(by_folds) - true(pool[int(np.argmax(by_folds))])

    labels = data.labels[development][train]
    fold = random_folds(data.labels[development], FOLDS, repeat)
    confirmed = list(data.out_of_fold(finalists, development, fold)[:, train])
    comparison = compare(confirmed, labels, data.metric, repeat)
    cheap = sorted(range(len(finalists)), key=lambda place: finalists[place].cost)
    results = []
    for prefer in (cheap, None):
        winner = finalists[choose(comparison, prefer)]
        value: float
        ends: Interval
        if size >= LARGE:
            places = drawn[test]
            predicted = data.predict([winner], development, places)[0]
            value = data.score(predicted, places)
            ends = interval(predicted, data.labels[places], data.metric, repeat)
        else:
            found = corrected(confirmed, labels, data.metric, repeat, comparison, prefer)
            value, ends = found.value, found.interval
        truth = true(winner)
        results.append((value - truth, ends.low <= truth <= ends.high, truth, ends))
    ours, most_accurate = results
    equals = projected(data, development, [DIRECTIONS] * EQUALS + [FEW_DIRECTIONS], generator)
    equals = [each[train] for each in equals]
    five = compare(equals[:EQUALS], labels, data.metric, repeat)
    pair = compare(equals[:2], labels, data.metric, repeat)
    against = compare([equals[0], equals[EQUALS]], labels, data.metric, repeat)
    return Run(
        naive_validation=naive_validation,
        naive_folds=naive_folds,
        ours=ours[0],
        covered=ours[1],
        width=ours[3].high - ours[3].low,
        most_accurate=most_accurate[0],
        most_accurate_covered=most_accurate[1],
        truth=ours[2],
        tied=sum(contender.tied for contender in comparison.contenders),
        equals_five=any(five.beats(i, j) for i in range(EQUALS) for j in range(EQUALS)),
        equals_pair=pair.beats(0, 1) or pair.beats(1, 0),
        power=against.beats(0, 1),
    )


def searched(
    data: Data,
    pool: Sequence[_pool.Configuration],
    train: NDArray[np.int64],
    validation: NDArray[np.int64],
) -> tuple[list[int], float]:
    """The pool, best on the validation part first (of equals, by log-loss), and the best score."""
    predicted = data.predict(pool, train, validation)
    values = [data.score(each, validation) for each in predicted]
    losses = [score(each, data.labels[validation], "neg_log_loss") for each in predicted]
    order = sorted(range(len(pool)), key=lambda place: (-values[place], -losses[place]))
    return order, values[order[0]]


def projected(
    data: Data,
    places: NDArray[np.int64],
    directions: Sequence[int],
    generator: np.random.Generator,
) -> list[NDArray[np.float32]]:
    """Out-of-fold predictions of ridge regression on random projections, all on the same folds."""
    fold = random_folds(data.labels[places], FOLDS, int(generator.integers(1 << 31)))
    rows = data.features[places]
    found = []
    for count in directions:
        predicted = np.empty((len(places), data.classes), dtype=np.float32)
        for each in range(FOLDS):
            drawn = generator.normal(size=(rows.shape[1], count)) / np.sqrt(rows.shape[1])
            seen = rows @ drawn.astype(np.float32)
            predicted[fold == each] = _primal(
                seen[fold != each],
                data.labels[places[fold != each]],
                seen[fold == each],
                data.classes,
            )
        found.append(predicted)
    return found


def _primal(
    train: NDArray[np.floating],
    labels: NDArray[np.int64],
    queries: NDArray[np.floating],
    classes: int,
) -> NDArray[np.float32]:
    own = np.eye(classes)[labels]
    mean, prior = train.mean(axis=0), own.mean(axis=0)
    centred = train - mean
    scatter = centred.T @ centred
    scatter[np.diag_indices_from(scatter)] += PENALTY * np.trace(scatter) / len(scatter)
    weights = np.linalg.solve(scatter, centred.T @ (own - prior))
    return _pool.softmax(_pool.SHARPNESS * ((queries - mean) @ weights + prior))


def bias(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error, in points."""
    points = 100 * np.asarray(values)
    return float(points.mean()), float(points.std(ddof=1) / np.sqrt(len(points)))


def shown(found: tuple[float, float]) -> str:
    return f"{found[0]:+.1f} ± {found[1]:.1f}"


def pooled(each: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Mean of the data sets' means, and its standard error."""
    means, errors = np.array(each).T
    return float(means.mean()), float(np.sqrt((errors**2).sum()) / len(errors))


def share(values: Sequence[bool]) -> str:
    return f"{100 * np.mean(values):.0f} %"


BIASES = ("naive_validation", "naive_folds", "most_accurate", "ours")


def tables(found: dict[tuple[str, int], list[Run]], metrics: dict[str, str]) -> list[str]:
    """Scores, and claims: a row a cell, then a row a size over all sets."""
    header = ["set, n", "metric", "truth", "naive: best of validation", "naive: best of 5 folds"]
    header += ["the most accurate wins", "coverage", "**the cheapest tied wins**", "coverage"]
    header += ["width", "tied of 5"]
    rows, claims = [], []
    for size in SIZES:
        cells = {name: runs for (name, of), runs in found.items() if of == size}
        if not cells:
            continue
        every = [each for runs in cells.values() for each in runs]
        for name, runs in [*cells.items(), ("all", every)]:
            biases = []
            for what in BIASES:
                each = {key: bias([getattr(r, what) for r in of]) for key, of in cells.items()}
                biases.append(shown(pooled(list(each.values())) if runs is every else each[name]))
            cell = [
                f"{name}, {size}",
                "" if runs is every else metrics[name],
                f"{100 * np.mean([each.truth for each in runs]):.1f}",
                biases[0],
                biases[1],
                biases[2],
                share([each.most_accurate_covered for each in runs]),
                biases[3],
                share([each.covered for each in runs]),
                f"{100 * np.mean([each.width for each in runs]):.0f}",
                f"{np.mean([each.tied for each in runs]):.1f}",
            ]
            claim = [f"{name}, {size}", len(runs)]
            claim += [
                share([getattr(each, what) for each in runs])
                for what in ("equals_five", "equals_pair", "power")
            ]
            if runs is every:
                cell, claim = (
                    [f"**{value}**" if value else "" for value in row] for row in (cell, claim)
                )
            rows.append(cell)
            claims.append(claim)
    about = ["set, n", "comparisons", "equals: any of five", "equals: a pair", "power"]
    return [_report.table(header, rows), _report.table(about, claims)]


def main() -> None:
    """Computes features, or measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("features", nargs="+", type=Path)
    parser.add_argument("--data", action="append", type=Path, help="class folders: makes features")
    parser.add_argument("--backbone", action="append")
    parser.add_argument("--repeats", type=int, default=120)
    parser.add_argument("--write", action="store_true", help="write honesty.md")
    options = parser.parse_args()
    if options.data:
        backbones = options.backbone or ["bundled/efficientnet_lite0"]
        _features.write(options.features[0], backbones, options.data)
        return
    begun = time.process_time()
    sets = load(options.features)
    found: dict[tuple[str, int], list[Run]] = {}
    for size in SIZES:
        for data in sets:
            if suits(data, size):
                started = time.process_time()
                found[data.name, size] = [
                    run(data, size, repeat) for repeat in range(options.repeats)
                ]
                took = time.process_time() - started
                print(f"{data.name}, {size}: {took:.0f} s", file=sys.stderr)
    text = _report.page(
        "Reported scores against the truth",
        (__doc__ or "").partition("\n\n")[2].partition("\n\n")[2],
        *tables(found, {data.name: data.metric for data in sets}),
        f"{options.repeats} repeats, {len(_pool.pool(len(sets[0].matrices)))} configurations, "
        f"{time.process_time() - begun:.0f} s of processor time. Samples in all: "
        + ", ".join(f"{data.name} {len(data.labels)}" for data in sets)
        + ".",
        packages=("automl-transfer", "numpy", "scipy"),
    )
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)


if __name__ == "__main__":
    main()
