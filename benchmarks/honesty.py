"""Is the score that is reported the score that one gets, and is a difference that is claimed one?

    python benchmarks/honesty.py features.npz --data DIR [--data DIR ...] [--backbone NAME ...]
    python benchmarks/honesty.py features.npz [more.npz ...] [--repeats 120] [--write]

The first form computes the features of class folders once. The second draws n samples of a data
set again and again, lets the procedure of the search choose and report on them, and asks the
untouched rest for the truth: the score of the delivered model, trained on the same samples, on
all samples that were not drawn.

**The procedure** is that of the search, and its code. From n = 500 on, 200 samples are the test
part. A quarter of the others is the validation part, on which a pool of configurations (ridge
regression with 18 penalties, five kinds of nearest neighbours, class means, each on raw,
standardised and unit-length features of each backbone) is ranked. Up to five finalists
(`stages/finalists.py`: of different kinds; here, a kind is a head on a form of features) are
trained again in ten fresh random folds (`stages/rounds.py`) of train and validation together, and
scored on the *train* samples, which no trial was scored on; below 500 samples three times over,
each time with half of the samples withheld as well. Of the tie group that `compare` finds, and of
what scored within one point of the best in it, the cheapest wins (`stages/choose.py`; the first
backbone is cheaper than the second), and is trained on all that is not test. Its score on the test
part is reported; below 500 samples the estimate of `corrected` from the fresh folds, with what the
withheld tenth would have added (`withheld.py`). "Nothing added" is the same without that; "the
most accurate wins" is `--prefer accuracy`. No number in it is fitted to data sets; that the folds
are random and ten was once decided by results on these, digits excepted.

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
import multiprocessing
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import _draws
import _features
import _pool
import _report
import numpy as np
from numpy.typing import NDArray

from automl_transfer.comparison import compare
from automl_transfer.corrected import chosen, corrected, of_choices
from automl_transfer.folds import random_folds
from automl_transfer.grouping import grouped
from automl_transfer.recommendation import Interval
from automl_transfer.request import SearchRequest
from automl_transfer.scoring import interval, score
from automl_transfer.stages.choose import Rule
from automl_transfer.stages.confirm import FOLDS, REPEATS
from automl_transfer.stages.finalists import (
    CHOSEN_FROM,
    LOOKED_AT,
    RESAMPLES,
    by_worth,
    shortlist,
)
from automl_transfer.stages.rounds import Round, planned, predicted, withheld
from automl_transfer.task import choose_metric
from automl_transfer.withheld import EXPONENTS, Withheld

SIZES = (100, 200, 500)
LARGE = 500
TEST = 200
VAL = 0.25
TOLERANCE = SearchRequest.tolerance / 100
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
class Estimate:
    """What is reported of a draw."""

    off: float
    """It less the truth."""
    covered: bool
    width: float
    truth: float


@dataclass(frozen=True, kw_only=True)
class Run:
    """One draw."""

    naive_validation: float
    """What is reported less the truth, as in the next."""
    naive_folds: float
    ours: Estimate
    nothing_added: Estimate
    most_accurate: Estimate
    other_exponents: tuple[float, ...]
    """What ours would be less the truth with the exponents that bound the interval."""
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
    train, val = np.sort(development[~validation]), development[validation]
    inner = np.isin(np.sort(development), train)
    pool = _pool.pool(len(data.matrices))

    def true(configuration: _pool.Configuration) -> float:
        return data.score(data.predict([configuration], development, rest)[0], rest)

    best, finalists, best_validation = searched(data, pool, train, val, repeat)
    naive_validation = best_validation - true(best)
    fold = _draws.folds(data.labels[development], NAIVE_FOLDS, generator)
    everything = data.out_of_fold(pool, development, fold)
    by_folds = [data.score(each, development) for each in everything]
    naive_folds = max(by_folds) - true(pool[int(np.argmax(by_folds))])

    confirmed, less = again(data, finalists, development, train, repeat, alone=size < LARGE)
    labels = data.labels[train]
    comparison = compare(confirmed, labels, data.metric, repeat)
    costs = np.array([one.cost for one in finalists])

    def estimate(prefers: bool, less: Withheld | None) -> tuple[Estimate, float]:
        ends: Interval
        by = Rule(
            margins=comparison.margins, costs=costs if prefers else None, tolerance=TOLERANCE
        )
        winner = finalists[chosen(comparison, by)]
        gain = 0.0
        if size >= LARGE:
            places = drawn[test]
            predicted = data.predict([winner], development, places)[0]
            value = data.score(predicted, places)
            ends = interval(predicted, data.labels[places], data.metric, repeat)
        else:
            found = corrected(
                confirmed, labels, data.metric, repeat, comparison, rule=by, withheld=less
            )
            value, ends, gain = found.value, found.interval, found.gain or 0.0
        truth = true(winner)
        made = Estimate(
            off=value - truth,
            covered=ends.low <= truth <= ends.high,
            width=ends.high - ends.low,
            truth=truth,
        )
        return made, gain

    ours, gain = estimate(True, less)
    others = tuple(
        ours.off + (gain * float(less.times(each) / less.times() - 1) if less else 0.0)
        for each in EXPONENTS
    )
    equals = projected(data, development, [DIRECTIONS] * EQUALS + [FEW_DIRECTIONS], generator)
    equals = [each[np.argsort(development)][inner] for each in equals]
    five = compare(equals[:EQUALS], labels, data.metric, repeat)
    pair = compare(equals[:2], labels, data.metric, repeat)
    against = compare([equals[0], equals[EQUALS]], labels, data.metric, repeat)
    return Run(
        naive_validation=naive_validation,
        naive_folds=naive_folds,
        ours=ours,
        nothing_added=estimate(True, None)[0],
        most_accurate=estimate(False, less)[0],
        other_exponents=others,
        tied=sum(contender.tied for contender in comparison.contenders),
        equals_five=any(five.beats(i, j) for i in range(EQUALS) for j in range(EQUALS)),
        equals_pair=pair.beats(0, 1) or pair.beats(1, 0),
        power=against.beats(0, 1),
    )


_SETS: dict[str, Data] = {}
"""For the workers, by name."""


def cell(name: str, size: int, repeats: int) -> tuple[list[Run], float]:
    """All draws of a size from a data set, and the seconds of processor time that they took."""
    begun = time.process_time()
    runs = [run(_SETS[name], size, repeat) for repeat in range(repeats)]
    return runs, time.process_time() - begun


def searched(
    data: Data,
    pool: Sequence[_pool.Configuration],
    train: NDArray[np.int64],
    validation: NDArray[np.int64],
    seed: int,
) -> tuple[_pool.Configuration, list[_pool.Configuration], float]:
    """The best on the validation part (of equals, by log-loss), the finalists, the best score."""
    predicted = data.predict(pool, train, validation)
    values = [data.score(each, validation) for each in predicted]
    losses = [score(each, data.labels[validation], "neg_log_loss") for each in predicted]
    order = sorted(range(len(pool)), key=lambda place: (-values[place], -losses[place]))
    firsts = grouped(order, lambda place: pool[place].kind)[: 2 * LOOKED_AT]
    worth = of_choices(
        [[predicted[place] for place in places[:CHOSEN_FROM]] for places in firsts],
        data.labels[validation],
        data.metric,
        seed,
        resamples=RESAMPLES,
    )
    worth = worth or [values[places[0]] for places in firsts]
    ranked, best = by_worth([places[0] for places in firsts], worth), order[0]
    different = [best, *(place for place in ranked[:LOOKED_AT] if place != best)]
    level = compare(
        [predicted[place] for place in different], data.labels[validation], data.metric, seed
    )
    equals = [
        place
        for place, one in zip(different, level.contenders, strict=True)
        if one.tied and place != best
    ]
    finalists = shortlist(ranked, best, equals, lambda place: pool[place].cost)
    return pool[best], [pool[place] for place in finalists], values[best]


def again(
    data: Data,
    finalists: Sequence[_pool.Configuration],
    development: NDArray[np.int64],
    train: NDArray[np.int64],
    seed: int,
    *,
    alone: bool,
) -> tuple[list[NDArray[np.float32]], Withheld | None]:
    """The finalists on fresh folds; without a test part several times, and on halves."""
    plan = planned(
        data.labels,
        np.arange(len(data.labels)),
        np.sort(development),
        train,
        seed=1000 * seed,
        folds=FOLDS,
        repeats=REPEATS if alone else 1,
        halves=alone,
    )

    def made(one: Round) -> tuple[Round, dict[int, NDArray[np.float32]]]:
        return one, dict(enumerate(data.predict(finalists, one.learn, one.score)))

    usual = [made(one) for one in plan if not one.halved]
    halves = [made(one) for one in plan if one.halved]
    confirmed = [predicted(usual, place) for place in range(len(finalists))]
    return confirmed, withheld(usual, halves, len(development))


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


BIASES: dict[str, Callable[[Run], float]] = {
    "naive: best of validation": lambda run: run.naive_validation,
    "naive: best of 5 folds": lambda run: run.naive_folds,
    "nothing added": lambda run: run.nothing_added.off,
    "the most accurate wins": lambda run: run.most_accurate.off,
    "**reported**": lambda run: run.ours.off,
}


def pooled_bias(cells: dict[str, list[Run]], what: Callable[[Run], float]) -> tuple[float, float]:
    return pooled([bias([what(each) for each in runs]) for runs in cells.values()])


def by_size(found: dict[tuple[str, int], list[Run]]) -> dict[int, dict[str, list[Run]]]:
    sizes = {
        size: {name: runs for (name, of), runs in found.items() if of == size} for size in SIZES
    }
    return {size: cells for size, cells in sizes.items() if cells}


def tables(found: dict[tuple[str, int], list[Run]], metrics: dict[str, str]) -> list[str]:
    """Scores, and claims: a row a cell, then a row a size over all sets."""
    header = ["set, n", "metric", "truth", *BIASES, "coverage", "width", "coverage, most accurate"]
    header += ["tied"]
    rows, claims = [], []
    for size, cells in by_size(found).items():
        every = [each for runs in cells.values() for each in runs]
        for name, runs in [*cells.items(), ("all", every)]:
            of = cells if runs is every else {name: runs}
            cell = [
                f"{name}, {size}",
                "" if runs is every else metrics[name],
                f"{100 * np.mean([each.ours.truth for each in runs]):.1f}",
                *(shown(pooled_bias(of, what)) for what in BIASES.values()),
                share([each.ours.covered for each in runs]),
                f"{100 * np.mean([each.ours.width for each in runs]):.0f}",
                share([each.most_accurate.covered for each in runs]),
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


def checks(found: dict[tuple[str, int], list[Run]]) -> list[str]:
    """By how much the exponent, or a single data set, decides the bias over all sets."""
    lines = []
    for size, cells in by_size(found).items():
        ours = pooled_bias(cells, lambda run: run.ours.off)
        line = f"n = {size}: {ours[0]:+.2f} ± {ours[1]:.2f} points"
        if size < LARGE:
            other = [
                pooled_bias(cells, lambda run, place=place: run.other_exponents[place])[0]
                for place in range(len(EXPONENTS))
            ]
            line += "; " + ", ".join(
                f"{value:+.2f} with c = {each:g}"
                for each, value in zip(EXPONENTS, other, strict=True)
            )
        if len(cells) > 1:
            without = [
                pooled_bias(
                    {key: cells[key] for key in cells if key != name}, BIASES["**reported**"]
                )
                for name in cells
            ]
            low, high = min(without), max(without)
            line += (
                f"; with one set left out, whichever, {low[0]:+.2f} ± {low[1]:.2f} to "
                f"{high[0]:+.2f} ± {high[1]:.2f}"
            )
        lines.append(f"- {line}")
    return ["The bias over all sets to one digit more:\n\n" + "\n".join(lines)]


def main() -> None:
    """Computes features, or measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("features", nargs="+", type=Path)
    parser.add_argument("--data", action="append", type=Path, help="class folders: makes features")
    parser.add_argument("--backbone", action="append")
    parser.add_argument("--repeats", type=int, default=120)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write honesty.md")
    options = parser.parse_args()
    if options.data:
        backbones = options.backbone or ["bundled/efficientnet_lite0"]
        _features.write(options.features[0], backbones, options.data)
        return
    sets = load(options.features)
    cells = [(data, size) for size in SIZES for data in sets if suits(data, size)]
    found: dict[tuple[str, int], list[Run]] = {}
    spent = 0.0
    # Forked, so that the matrices are shared.
    _SETS.update({data.name: data for data in sets})
    with ProcessPoolExecutor(options.processes, multiprocessing.get_context("fork")) as workers:
        jobs = [workers.submit(cell, data.name, size, options.repeats) for data, size in cells]
        for (data, size), job in zip(cells, jobs, strict=True):
            found[data.name, size], took = job.result()
            spent += took
            print(f"{data.name}, {size}: {took:.0f} s", file=sys.stderr)
    text = _report.page(
        "Reported scores against the truth",
        (__doc__ or "").partition("\n\n")[2].partition("\n\n")[2],
        *tables(found, {data.name: data.metric for data in sets}),
        *checks(found),
        f"{options.repeats} repeats, {len(_pool.pool(len(sets[0].matrices)))} configurations, "
        f"{spent:.0f} s of processor time. Samples in all: "
        + ", ".join(f"{data.name} {len(data.labels)}" for data in sets)
        + ".",
        packages=("automl-transfer", "numpy", "scipy"),
    )
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)


if __name__ == "__main__":
    main()
