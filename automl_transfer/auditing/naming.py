"""Findings from names, counts and numbers alone."""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np

from automl_transfer.audit import Finding, examples
from automl_transfer.dataset import Dataset, Sample
from automl_transfer.target import outputs_of
from automl_transfer.task import IMBALANCE, choose_metric

TINY = 20
"""Different samples; with fewer in a class, a part holds a handful and its scores are chance."""
GRAVE_IMBALANCE = 10.0
LOOKED_FOR = (
    "tiny and empty classes",
    "imbalance",
    "class names that are spelt alike",
    "classes that a given part lacks",
)
LOOKED_FOR_LABELS = (
    "tiny labels",
    "labels that are spelt alike",
    "labels that a given part lacks",
)
LOOKED_FOR_NUMBERS = ("numbers far from all others",)
FAR = 10.0
NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def class_findings(dataset: Dataset) -> Iterator[Finding]:
    """Tiny and empty classes, imbalance, names that collide, classes missing from given parts; of
    labels likewise, but that some are rarer than others is usual; of numbers, those far off."""
    if dataset.kind == "regression":
        yield from _far_off(dataset)
        return
    yield from _tiny(dataset)
    yield from _empty(dataset)
    if dataset.kind == "single-label":
        yield from _imbalance(dataset)
    yield from _alike(dataset)
    yield from _missing(dataset)


def looked_for(dataset: Dataset) -> tuple[str, ...]:
    """What :func:`class_findings` looks for, in words."""
    if dataset.kind == "regression":
        return LOOKED_FOR_NUMBERS
    if dataset.kind == "multi-label":
        return LOOKED_FOR_LABELS
    return LOOKED_FOR


def _outputs(dataset: Dataset, sample: Sample) -> tuple[int, ...]:
    return outputs_of(dataset.kind, sample.label, sample.values)


def _words(dataset: Dataset) -> str:
    return "Labels" if dataset.kind == "multi-label" else "Classes"


def _far_off(dataset: Dataset) -> Iterator[Finding]:
    numbers = dataset.targets
    if not len(numbers):
        return
    centre = float(np.median(numbers))
    spread = NORMAL * float(np.median(np.abs(numbers - centre)))
    far = np.flatnonzero(np.abs(numbers - centre) > FAR * spread)
    if spread > 0 and len(far):
        worst = sorted((int(place) for place in far), key=lambda at: -abs(numbers[at] - centre))
        yield Finding(
            kind="numbers-far-off",
            severity="warning",
            title=f"Numbers more than {FAR:g} robust deviations from the median: {len(far):,}",
            count=len(far),
            examples=examples(
                ((dataset.samples[at].source,), f"{numbers[at]:g}, the median is {centre:g}")
                for at in worst
            ),
            action="used as they are; a few of them decide about a squared error",
        )


def _tiny(dataset: Dataset) -> Iterator[Finding]:
    different: dict[int, set[str]] = defaultdict(set)
    for sample in dataset.samples:
        for place in _outputs(dataset, sample):
            different[place].add(sample.id)
    counts = [len(different[label]) for label in range(len(dataset.classes))]
    tiny = sorted((count, name) for count, name in zip(counts, dataset.classes, strict=True)
                  if count < TINY)  # fmt: skip
    if tiny:
        yield Finding(
            kind="tiny-classes",
            severity="warning",
            title=f"{_words(dataset)} with fewer than {TINY} different samples: {len(tiny)}",
            count=len(tiny),
            examples=examples(
                ((), f"{name!r} has {count} different samples") for count, name in tiny
            ),
            action="used as they are; what is said of these classes is uncertain",
        )


def _empty(dataset: Dataset) -> Iterator[Finding]:
    used = {place for sample in dataset.samples for place in _outputs(dataset, sample)}
    names = [
        *dataset.empty_classes,
        *(name for label, name in enumerate(dataset.classes) if label not in used),
    ]
    if names:
        yield Finding(
            kind="empty-classes",
            severity="warning",
            title=f"{_words(dataset)} without any usable sample: {len(names)}",
            count=len(names),
            examples=examples(((name,), "nothing usable in it") for name in names),
            action="left out: it cannot be learned or predicted",
        )


def _imbalance(dataset: Dataset) -> Iterator[Finding]:
    if not dataset.samples:
        return
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    filled = np.flatnonzero(counts)
    most, least = filled[counts[filled].argmax()], filled[counts[filled].argmin()]
    ratio = float(counts[most] / counts[least])
    if ratio <= IMBALANCE:
        return
    metric, _ = choose_metric(dataset.labels)
    yield Finding(
        kind="imbalance",
        severity="warning" if ratio > GRAVE_IMBALANCE else "info",
        title=f"The largest class has {ratio:.1f} times the samples of the smallest",
        count=len(dataset.classes),
        examples=examples(
            ((), f"{dataset.classes[label]!r} has {counts[label]:,} samples")
            for label in (most, least)
        ),
        action=f"the metric is {metric.replace('_', ' ')} unless another is asked for",
    )


def spelling(name: str) -> str:
    """``name`` without what the eye passes over: case, white space, forms of one character
    (NFKC of Unicode Standard Annex 15), and characters that are not seen."""
    seen = "".join(
        char
        for char in unicodedata.normalize("NFKC", name).casefold()
        if unicodedata.category(char) != "Cf"
    )
    return "".join(unicodedata.normalize("NFKC", seen).split())


def _alike(dataset: Dataset) -> Iterator[Finding]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in dataset.classes:
        groups[spelling(name)].append(name)
    alike = [names for names in groups.values() if len(names) > 1]
    if alike:
        yield Finding(
            kind="classes-spelt-alike",
            severity="warning",
            title=f"{_words(dataset)} that differ in case, spaces or invisible characters only: "
            f"{sum(map(len, alike))}",
            count=sum(map(len, alike)),
            examples=examples(((), " and ".join(map(ascii, names))) for names in alike),
            action="taken as different; merge them if they are the same",
        )


def _missing(dataset: Dataset) -> Iterator[Finding]:
    seen = Counter(
        (sample.given_part, place)
        for sample in dataset.samples
        for place in _outputs(dataset, sample)
    )
    given = {sample.part for sample in dataset.samples} - {None}
    if not given:
        return
    lacking = {
        part: [name for label, name in enumerate(dataset.classes) if not seen[part, label]]
        for part in ("train", "val", "test")
        if part in given or part == "train"
    }
    absent = [(part, name) for part, names in lacking.items() if part != "train" for name in names]
    if absent:
        count = len({name for _, name in absent})
        yield Finding(
            kind="classes-missing-from-part",
            severity="warning",
            title=f"{_words(dataset)} that a given part has nothing of: {count}",
            count=count,
            examples=examples(
                ((), f"{name!r} does not occur in the {part} part") for part, name in absent
            ),
            action="the parts are kept as given; the score says nothing about these classes",
        )
    if lacking["train"]:
        names = lacking["train"]
        yield Finding(
            kind="classes-only-held-out",
            severity="error",
            title=f"{_words(dataset)} without samples to learn from: {len(names)}",
            count=len(names),
            examples=examples(((), f"{name!r} does not occur in train") for name in names),
            action="a search refuses such data",
        )
