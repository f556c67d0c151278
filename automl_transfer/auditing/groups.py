"""Findings about the user's groups in given parts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from automl_transfer.audit import Finding, examples
from automl_transfer.dataset import PARTS, Dataset, Part, Sample, given_parts

LOOKED_FOR = ("groups across given parts",)


def divisible(dataset: Dataset) -> bool:
    """Whether there are groups, and given parts that may divide them."""
    samples = dataset.samples
    return any(one.group for one in samples) and any(one.part is not None for one in samples)


def group_findings(dataset: Dataset) -> Iterator[Finding]:
    """Samples of a given part whose group is learned from as well.

    Given parts are respected; how far their scores can be trusted is for the user to know. The
    validation part counts as learned from for the test part: the winner is trained on both.
    """
    if not divisible(dataset):
        return
    parts = given_parts(dataset.samples)
    members: dict[tuple[str, Part], list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        if sample.group:
            members[sample.group, parts[sample.id]].append(sample)
    earlier: tuple[Part, ...] = ("train",)
    for name in PARTS[1:]:
        leaked = [
            (sample, members[group, part][0], part)
            for (group, own), of_group in list(members.items())
            if own == name
            for part in [next((one for one in earlier if (group, one) in members), None)]
            if part is not None
            for sample in of_group
        ]
        earlier = (*earlier, name)
        if not leaked:
            continue
        held = sum(parts[sample.id] == name for sample in dataset.samples)
        groups = len({sample.group for sample, _, _ in leaked})
        yield Finding(
            kind=f"groups-{name}-in-train",
            severity="warning",
            title=f"Samples of the given {name} part whose group is learned from: "
            f"{len(leaked):,} of {held:,}, of {groups:,} groups",
            count=len(leaked),
            examples=examples(
                ((sample.source, twin.source), f"{sample.group!r} is in {name} and in {part}")
                for sample, twin, part in leaked
            ),
            action="the parts are kept as given; the score on this one may be too good by up to "
            f"{100 * len(leaked) / held:.1f} points",
        )
