"""Item 7 of a believable answer: is "twice the labels: +1.8 points (0.9 to 2.6)" true?

    python benchmarks/more_labels.py --images DIR [--features DIR] [--repeats 8] [--write]

From each set a half, or a quarter, of the samples is taken, as if no more were labelled. The
product measures its learning curve on them and says what twice (or four times) the labels would
add. Then the labels that were held back are used: what the same ridge head on the same features
really gains is averaged over all repeats, on samples that the models have not seen.

Two simpler forecasts stand beside it: a least-squares fit of a - b n^-c to the same points, and
the gain from the second largest size to the largest, carried on in log n.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _report
import numpy as np

BACKBONE = "bundled/efficientnet_lite0@96"
SAMPLES = ("digits", "textiles")
STARTS = ((2, 2), (4, 2), (4, 4))
"""One part in so many is taken, and so many times the labels are asked about."""
WORK = 3e11


@dataclass(frozen=True)
class Case:
    """One forecast, and what came of it."""

    name: str
    share: int
    factor: int
    taken: int
    truth: float
    error: float
    """Standard error of the truth."""
    mean: float
    low: float
    high: float
    squares: float
    log: float

    @property
    def key(self) -> tuple[str, int, int]:
        return self.name, self.share, self.factor

    @property
    def covered(self) -> bool:
        return self.low <= self.truth <= self.high

    @property
    def nearly(self) -> bool:
        return self.low - self.error <= self.truth <= self.high + self.error


def features(images: Path | None, kept: Path) -> dict[str, tuple[Any, Any]]:
    """Frozen features and labels of each set, computed once."""
    from automl_transfer.dataset import DataOptions
    from automl_transfer.plugins import load_registry
    from automl_transfer.sample_data import write_sample
    from automl_transfer.training.array_cache import ArrayCache
    from automl_transfer.training.device import choose_device, prepare_process
    from automl_transfer.training.features import FeatureKey, extract
    from automl_transfer.training.rows import RowStore
    from automl_transfer.weights import locate, shared_probe

    device = choose_device("cpu")
    prepare_process(device)
    registry = load_registry()
    modality = registry.load(registry.modality("image"))()
    card = registry.backbone(BACKBONE)
    weights = locate(card.weights, offline=True, hub=shared_probe())
    places = {} if images is None else {p.name: p for p in sorted(images.iterdir()) if p.is_dir()}
    for name in SAMPLES:
        places[name] = kept / "samples" / name
        if not places[name].exists():
            sample = registry.sample(name)
            write_sample(sample, registry.load(sample), places[name])
    found = {}
    for name, place in places.items():
        file = kept / f"{name}.npz"
        if not file.exists():
            dataset = modality.open(place, DataOptions())
            encoder = modality.encoder(dataset.root, card.input, {})
            matrix, _ = extract(
                backbone=registry.load(card)(card=card, weights=weights, seed=0),
                rows=RowStore(encoder, dataset.samples),
                positions=np.arange(len(dataset.samples)),
                cache=ArrayCache(kept / "cache", None),
                key=FeatureKey(weights=weights.sha256, card=card.digest, encoder=encoder.digest),
                device=device,
            )
            np.savez(file, features=matrix, labels=dataset.labels)
        with np.load(file) as content:
            found[name] = content["features"], content["labels"].astype(np.int64)
    return found


def hits(matrix: Any, labels: Any, classes: int, inside: Any) -> Any:
    """Which samples a ridge head that has not seen them gets right, shape (n,)."""
    from automl_transfer.training.ridge import ridge_path

    path = ridge_path(matrix[inside], labels[inside], classes)
    found = np.argmax(matrix @ path.weights + path.intercept, axis=1) == labels
    found[inside] = path.predictions.argmax(axis=1) == labels[inside]
    return found.astype(float)


def forecasts(name: str, matrix: Any, labels: Any, repeats: int) -> list[Case]:
    """Forecasts from parts of one set, against the rest of it."""
    from automl_transfer.learning_curve import forecast
    from automl_transfer.scoring import resampled
    from automl_transfer.training.curve_points import curve_points
    from automl_transfer.training.nested import looks, nested_order

    n, classes = len(labels), int(labels.max()) + 1
    reached = {1: [hits(matrix, labels, classes, np.arange(n))], 2: [], 4: []}
    made: list[tuple[int, int, int, Any, float, float]] = []
    for repeat in range(repeats):
        order = nested_order(labels, np.arange(n), np.random.default_rng([repeat, 5]))
        for share in (2, 4):
            inside = np.sort(order[: n // share])
            reached[share].append(hits(matrix, labels, classes, inside))
            curve = curve_points(
                list(
                    looks(
                        matrix[inside],
                        labels[inside],
                        classes,
                        np.arange(len(inside)),
                        seed=repeat,
                        repeats=5,
                        work=WORK,
                        directory=Path(tempfile.gettempdir()),
                    )
                ),
                labels[inside],
                np.arange(len(inside)),
                lambda p, own, w: resampled(p, own, "accuracy", w),
                repeat,
            )
            factors = [factor for start, factor in STARTS if start == share]
            base = float(len(inside))
            said = forecast(
                curve.sizes,
                curve.values,
                curve.draws,
                base=base,
                targets=[factor * base for factor in factors],
            )
            made += [
                (share, factor, len(inside), gain, *simple(curve, factor))
                for factor, gain in zip(factors, said, strict=True)
            ]
    mean = {share: np.mean(rows, axis=0) for share, rows in reached.items()}
    weights = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=1000) / n
    cases = []
    for share, factor, taken, gain, squares, log in made:
        difference = mean[share // factor] - mean[share]
        cases.append(
            Case(
                name=name,
                share=share,
                factor=factor,
                taken=taken,
                truth=float(difference.mean()),
                error=float((weights @ difference).std()),
                mean=gain.mean,
                low=gain.interval.low,
                high=gain.interval.high,
                squares=squares,
                log=log,
            )
        )
    return cases


def simple(curve: Any, factor: int) -> tuple[float, float]:
    """Gains by least squares, and by the last two points."""
    from scipy.optimize import curve_fit

    top = curve.sizes[-1]
    step = (curve.values[-1] - curve.values[-2]) / np.log(top / curve.sizes[-2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            (_, b, c), _ = curve_fit(
                lambda n, a, b, c: a - b * (n / top) ** -c,
                curve.sizes,
                curve.values,
                p0=(curve.values[-1] + 0.05, 0.05, 0.5),
                maxfev=20_000,
            )
            squares = float(b - b * factor**-c)
        except RuntimeError:
            squares = float("nan")
    return squares, float(step * np.log(factor))


def rows(cases: list[Case]) -> list[list[str]]:
    """A line for each set and start."""
    grouped = defaultdict(list)
    for case in cases:
        grouped[case.key].append(case)
    found = []
    for (name, share, factor), of_key in sorted(grouped.items()):
        one = of_key[0]
        found.append(
            [
                name,
                f"1/{share}",
                str(one.taken),
                f"x{factor}",
                f"{100 * one.truth:+.1f} ± {100 * one.error:.1f}",
                f"{100 * np.mean([case.mean for case in of_key]):+.1f}",
                f"{100 * np.mean([case.low for case in of_key]):.1f} to "
                f"{100 * np.mean([case.high for case in of_key]):.1f}",
                f"{sum(case.covered for case in of_key)} of {len(of_key)}",
            ]
        )
    return found


def summary(cases: list[Case]) -> list[list[str]]:
    """Bias, error and coverage by factor."""
    found = []
    for factor in (2, 4):
        of = [case for case in cases if case.factor == factor]
        for name, said in (
            ("ours", [case.mean for case in of]),
            ("least squares", [case.squares for case in of]),
            ("last two points", [case.log for case in of]),
        ):
            off = np.array(said) - [case.truth for case in of]
            ours = name == "ours"
            found.append(
                [
                    f"x{factor}, {name}",
                    str(len(of)),
                    f"{100 * np.nanmean(off):+.2f}",
                    f"{100 * np.nanmean(abs(off)):.2f}",
                    f"{100 * np.nanmax(abs(off)):.1f}",
                    f"{np.mean([case.covered for case in of]):.0%}" if ours else "",
                    f"{np.mean([case.nearly for case in of]):.0%}" if ours else "",
                    f"{100 * np.mean([case.high - case.low for case in of]):.1f}" if ours else "",
                ]
            )
    return found


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=Path, help="a directory of image sets")
    parser.add_argument("--features", type=Path, help="keeps features between runs")
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        kept = options.features or Path(directory)
        kept.mkdir(parents=True, exist_ok=True)
        sets = features(options.images, kept)
    extracted = time.monotonic() - begun
    cases: list[Case] = []
    for name, (matrix, labels) in sets.items():
        cases += forecasts(name, matrix, labels, options.repeats)
        print(f"{name}: {time.monotonic() - begun:.0f} s", flush=True)
    text = _report.page(
        "What would more labels buy? The forecast against the labels that were held back",
        f"Ridge head on frozen features of {BACKBONE}, {len(sets)} sets, {options.repeats} parts "
        f"of each size. Features {extracted:.0f} s, the rest {time.monotonic() - begun:.0f} s in "
        "all. All figures in points of accuracy. Forecasts from parts of one set are not "
        "independent of each other: there are as many independent cases as sets. The constants of "
        "the forecast were set before its first run on these sets, and not changed after it.",
        "Bias and error: forecast less truth. Coverage: how often the 95 % interval holds the "
        "truth; nearly: holds it or is within a standard error of it, for the truth is measured "
        "too. Intervals cannot go below 0, so a true loss is never covered.",
        _report.table(
            ["forecast", "cases", "bias", "mean error", "largest", "coverage", "nearly", "width"],
            summary(cases),
        ),
        _report.table(
            [
                "set",
                "part",
                "labels",
                "asked",
                "truth ± SE",
                "forecast, mean",
                "interval, mean",
                "covered",
            ],
            rows(cases),
        ),
    )
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)


if __name__ == "__main__":
    main()
