"""After a search: samples whose labels may be wrong."""

from __future__ import annotations

from collections.abc import Sequence

from automl_transfer.audit import Finding, examples
from automl_transfer.auditing.labels import KIND, LOOKED_FOR, Suspect, suspects
from automl_transfer.stages.context import Context
from automl_transfer.stages.data_audit import add_finding

FILE = "mislabelled.json"


def mislabelled(context: Context) -> Finding | None:
    """Looks for labels that the search's best frozen features contradict, and adds them to the
    audit; all of them are in ``mislabelled.json``, the most certain first.

    What a sample's label should be is asked of ridge regression on all other development samples
    (exact leave-one-out). The test part is not looked at: its labels are what the answer is
    measured by.

    Args:
        context: With screened candidates, best first.

    Returns:
        The finding; None if no label is suspected.
    """
    from automl_transfer.training.ridge import ridge_path

    if not context.candidates:
        return None
    candidate = next(iter(context.candidates.values()))
    positions = candidate.positions
    labels = context.dataset.labels[positions]
    path = ridge_path(candidate.features, labels, len(context.task.classes))
    found = suspects(path.probabilities, labels)
    sources = [context.dataset.samples[int(positions[one.position])].source for one in found]
    finding = _finding(context, found, sources, len(labels), candidate.card.id) if found else None
    context.files.write_json(
        FILE,
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


def _finding(
    context: Context, found: Sequence[Suspect], sources: Sequence[str], total: int, backbone: str
) -> Finding:
    classes = context.task.classes
    return Finding(
        kind=KIND,
        severity="warning",
        title=f"Labels that may be wrong: {len(found):,} of {total:,} development samples, by the "
        f"features of {backbone}",
        count=len(found),
        examples=examples(
            (
                (source,),
                f"labelled {classes[one.label]!r}, looks like {classes[one.suggested]!r} "
                f"({100 * one.confidence:.0f} %)",
            )
            for one, source in zip(found, sources, strict=True)
        ),
        action=f"used as they are; look at them, the most certain first: {FILE}",
    )
