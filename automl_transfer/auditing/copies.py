"""Findings about samples with equal content, and about near copies."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from automl_transfer.audit import Finding, examples
from automl_transfer.auditing.clusters import Clusters
from automl_transfer.dataset import Dataset, Sample, given_parts

LOOKED_FOR = ("equal content, within and across classes and given parts",)
LOOKED_FOR_NEAR = ("near copies, within and across classes and given parts",)


def exact_findings(dataset: Dataset) -> Iterator[Finding]:
    """Samples with the same content: in all, across classes, across given parts."""
    by_id: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        by_id[sample.id].append(sample)
    groups = [group for group in by_id.values() if len(group) > 1]
    if not groups:
        return
    extra = sum(len(group) - 1 for group in groups)
    yield Finding(
        kind="copies",
        severity="info",
        title=f"Samples that repeat the content of another one: {extra:,}",
        count=extra,
        examples=examples((_sources(group), "the same content") for group in groups),
        action="kept in one part, so that none is learned from and scored on",
    )
    torn = [group for group in groups if len({_truth(sample) for sample in group}) > 1]
    if torn:
        yield Finding(
            kind="copies-across-classes",
            severity="error",
            title=f"Contents that are {_differently(dataset)}, so that a label is wrong: "
            f"{len(torn):,}",
            count=len(torn),
            examples=examples((_sources(group), _classes(dataset, group)) for group in torn),
            action="kept in one part with their labels as they are; correct the labels",
        )
    split = [group for group in groups if len({sample.given_part for sample in group}) > 1]
    parts = given_parts(dataset.samples)
    moved = sum(sample.given_part != parts[sample.id] for sample in dataset.samples)
    if split:
        yield Finding(
            kind="copies-across-parts",
            severity="warning",
            title=f"Samples with a copy in another given part: {moved:,}",
            count=moved,
            examples=examples((_sources(group), _parts(group)) for group in split),
            action="moved to the part that is held out, so that no score profits",
        )


def near_findings(dataset: Dataset, found: Clusters) -> Iterator[Finding]:
    """Near copies: in all, across classes, across given parts; and what was not believed."""
    samples = dataset.samples
    links = [
        (samples[int(one)], samples[int(other)])
        for one, other in found.links
        if samples[int(one)].id != samples[int(other)].id
    ]
    if links:
        sizes = Counter(found.numbers.tolist())
        near = {int(found.numbers[int(place)]) for place in found.links.ravel()}
        count = sum(sizes[number] for number in near)
        yield Finding(
            kind="near-copies",
            severity="info",
            title=f"Samples that are near copies of others: {count:,} in {len(near):,} groups",
            count=count,
            examples=examples((_sources(pair), "nearly the same") for pair in links),
            action="each group is kept in one part",
        )
    # Numbers may differ a little where samples do.
    comparable = dataset.kind != "regression"
    what = "classes" if dataset.kind == "single-label" else "sets of labels"
    torn = [pair for pair in links if comparable and _truth(pair[0]) != _truth(pair[1])]
    if torn:
        yield Finding(
            kind="near-copies-across-classes",
            severity="warning",
            title=f"Pairs of near copies in different {what}: {len(torn):,}",
            count=len(torn),
            examples=examples((_sources(pair), _classes(dataset, pair)) for pair in torn),
            action="kept in one part with their labels as they are; look at them",
        )
    yield from _leaks(dataset, found)
    if found.torn:
        yield Finding(
            kind="near-copies-not-believed",
            severity="info",
            title=f"Samples that look so alike that all would hang together: {found.torn:,}",
            count=found.torn,
            action="only equal content and the nearest copies among them are kept together",
        )


def _leaks(dataset: Dataset, found: Clusters) -> Iterator[Finding]:
    """Given parts are respected; how far their scores can be trusted is for the user to know."""
    samples = dataset.samples
    if all(sample.part is None for sample in samples):
        return
    train: dict[int, list[Sample]] = defaultdict(list)
    for sample, number in zip(samples, found.numbers.tolist(), strict=True):
        if sample.given_part == "train":
            train[number].append(sample)
    for name in ("val", "test"):
        held = 0
        leaked: list[tuple[Sample, Sample]] = []
        for sample, number in zip(samples, found.numbers.tolist(), strict=True):
            if sample.given_part != name:
                continue
            held += 1
            # Equal content is moved to where it is held out, and so is no leak.
            twin = next((one for one in train.get(number, ()) if one.id != sample.id), None)
            if twin is not None:
                leaked.append((sample, twin))
        if not leaked:
            continue
        yield Finding(
            kind=f"near-copies-{name}-in-train",
            severity="warning",
            title=f"Samples of the given {name} part with a near copy in train: "
            f"{len(leaked):,} of {held:,}",
            count=len(leaked),
            examples=examples((_sources(pair), f"{name} and train") for pair in leaked),
            action="the parts are kept as given; the score on this one may be too good by up to "
            f"{100 * len(leaked) / held:.1f} points",
        )


def _differently(dataset: Dataset) -> str:
    if dataset.kind == "single-label":
        return "in more than one class"
    return "labelled in more than one way"


def _truth(sample: Sample) -> tuple[int | None, tuple[float, ...]]:
    """What is said of it; the stratum of labels or a number is not."""
    return (None if sample.values else sample.label, sample.values)


def _sources(group: Sequence[Sample]) -> tuple[str, ...]:
    return tuple(sample.source for sample in group)


def _classes(dataset: Dataset, group: Sequence[Sample]) -> str:
    return " and ".join(dict.fromkeys(repr(dataset.label_text(sample)) for sample in group))


def _parts(group: Sequence[Sample]) -> str:
    return " and ".join(dict.fromkeys(sample.given_part for sample in group))
