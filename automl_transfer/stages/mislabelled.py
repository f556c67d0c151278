"""After a search: samples whose labels may be wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from automl_transfer.artifacts import WRONG_LABELS
from automl_transfer.audit import Finding, examples
from automl_transfer.auditing.labels import KIND, LOOKED_FOR, Suspect, suspects
from automl_transfer.stages.closing import closing_seconds
from automl_transfer.stages.context import Candidate, Context
from automl_transfer.stages.data_audit import add_finding
from automl_transfer.stages.learning import SLOWER, SPEED

MOST = 20_000
"""Samples that are looked at: more suspects than these give are not gone through by anyone."""


def mislabelled(context: Context) -> Finding | None:
    """Looks for labels that the search's best frozen features contradict, and adds them to the
    audit; all of them are in ``mislabelled.json``, the most certain first.

    What a sample's label should be is asked of ridge regression on all other development samples
    (exact leave-one-out). The test part is not looked at: its labels are what the answer is
    measured by. Of more than :data:`MOST` samples, a part is drawn, from each class its share.

    Args:
        context: With screened candidates, best first.

    Returns:
        The finding; None if no label is suspected, if there are no classes, or if there is no time
        to look, which is a note.
    """
    from automl_transfer.training.nested import Fit
    from automl_transfer.training.ridge import ridge_path

    if not context.candidates or context.task.target.kind != "single-label":
        return None
    candidate = next(iter(context.candidates.values()))
    classes = len(context.task.classes)
    fit = Fit(width=candidate.width, outputs=classes)
    samples = min(MOST, len(candidate.positions))
    left = context.watch.left - closing_seconds()
    if left < SLOWER * fit.operations(samples) / SPEED:
        context.notes.append("Wrong labels were not looked for: no time was left for it.")
        return None
    positions = _looked_at(context, candidate.positions)
    labels = context.dataset.labels[positions]
    path = ridge_path(candidate.features_at(positions), labels, classes)
    found = suspects(path.predictions, labels)
    sources = [context.dataset.samples[int(positions[one.position])].source for one in found]
    finding = _finding(context, found, sources, len(labels), candidate) if found else None
    context.files.write_json(
        WRONG_LABELS,
        [
            {
                "source": source,
                "label": context.task.classes[one.label],
                "suggested": context.task.classes[one.suggested],
                "confidence": one.confidence,
                "margin": one.margin,
            }
            for one, source in zip(found, sources, strict=True)
        ],
    )
    add_finding(context, finding, KIND, LOOKED_FOR)
    return finding


def _looked_at(context: Context, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """At most :data:`MOST` of the positions, ascending, from each class its share."""
    from automl_transfer.training.nested import nested_order

    if len(positions) <= MOST:
        return positions
    generator = np.random.default_rng([context.request.seed, 83])
    labels = context.dataset.labels[positions]
    order = nested_order(labels, np.arange(len(positions)), generator)
    found: NDArray[np.int64] = positions[np.sort(order[:MOST])]
    return found


def _finding(
    context: Context,
    found: Sequence[Suspect],
    sources: Sequence[str],
    looked_at: int,
    candidate: Candidate,
) -> Finding:
    classes, total = context.task.classes, len(candidate.positions)
    of = "" if looked_at == total else f" that were looked at (of {total:,})"
    return Finding(
        kind=KIND,
        severity="warning",
        title=f"Labels that may be wrong: {len(found):,} of {looked_at:,} development samples"
        f"{of}, by the features of {candidate.card.id}",
        count=len(found),
        examples=examples(
            (
                (source,),
                f"labelled {classes[one.label]!r}, looks like {classes[one.suggested]!r} "
                f"({100 * one.confidence:.0f} %)",
            )
            for one, source in zip(found, sources, strict=True)
        ),
        action=f"used as they are; look at them in {WRONG_LABELS}, or on the page Errors of the "
        "dashboard",
    )
