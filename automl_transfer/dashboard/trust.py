"""What each finding about the data does to the trust in the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from automl_transfer.audit import Finding, Severity
from automl_transfer.auditing.labels import KIND as WRONG_LABELS

FEW = 0.05
"""Share of the items that may be unreadable without a thought."""


@dataclass(frozen=True, kw_only=True)
class Trust:
    """What a finding means for whoever reads the answer."""

    limits: bool
    """Whether the answer is to be trusted less."""
    words: str
    """One sentence."""


_KNOWN: Mapping[str, tuple[bool, str]] = {
    "copies": (
        False,
        "Nothing: no sample is scored whose copy was learned from. The data are only less "
        "varied than their number suggests.",
    ),
    "copies-across-classes": (
        True,
        "Whatever is predicted for such a content, one of its labels makes it an error: the "
        "score is too low, and no model can mend that.",
    ),
    "copies-across-parts": (
        False,
        "Nothing any more, since they were moved; but the parts are no longer exactly those "
        "that you gave, nor comparable with scores made on them elsewhere.",
    ),
    "near-copies": (
        False,
        "Nothing: no sample is scored whose near copy was learned from. The data are only less "
        "varied than their number suggests.",
    ),
    "near-copies-across-classes": (
        True,
        "Some of these labels are probably wrong: each costs score, and misleads training.",
    ),
    "near-copies-not-believed": (
        False,
        "Little: if samples that look so alike are copies after all, the score is too good.",
    ),
    "near-copies-val-in-train": (
        True,
        "Trials are compared on samples that were nearly learned: the choice may prefer what "
        "learns by heart.",
    ),
    "near-copies-test-in-train": (
        True,
        "The score of the answer is made on samples that were nearly learned: it may be too good.",
    ),
    "groups-val-in-train": (
        True,
        "Trials are compared on groups that were learned from: the choice may prefer what knows "
        "the groups.",
    ),
    "groups-test-in-train": (
        True,
        "The score of the answer is made on groups that were learned from: on new groups it may "
        "be worse.",
    ),
    "numbers-far-off": (
        True,
        "A few numbers decide about the score: with other samples it may be quite another.",
    ),
    "tiny-classes": (
        True,
        "What is said of these classes rests on a handful of samples; look at the intervals "
        "before it is believed.",
    ),
    "empty-classes": (True, "The model can never predict these, and is never asked for them."),
    "imbalance": (
        True,
        "A good score over all may hide that rare classes are not recognised: look at it class "
        "by class.",
    ),
    "classes-spelt-alike": (
        True,
        "If these are the same, every confusion between them counts as an error that is none.",
    ),
    "classes-missing-from-part": (
        True,
        "The score of that part says nothing of these.",
    ),
    "classes-only-held-out": (
        True,
        "The model cannot know these: every sample of them is an error.",
    ),
    WRONG_LABELS: (
        True,
        "Where these labels are wrong, the score is too low and training was misled. Correct "
        "them, and search again.",
    ),
    "parts-look-different": (
        True,
        "The score says how well the model does on samples unlike those it learned from, not on "
        "more of the same.",
    ),
    "classes-look-different": (
        True,
        "The model may recognise how the samples were taken, not what they show: elsewhere the "
        "score may not hold.",
    ),
    "image-several": (
        True,
        "What is only in the later frames or pages is neither learned nor seen.",
    ),
    "image-deep": (
        True,
        "Absolute brightness is lost: if it tells the classes apart, a better answer is possible.",
    ),
    "image-odd-shape": (
        True,
        "These are seen blurred or in part: they may be errors that better pictures would not be.",
    ),
    "image-blank": (
        True,
        "There is nothing to recognise on these; if they are spread over the classes, each may "
        "cost score.",
    ),
    "unusable": (True, "There is no answer before this is mended."),
    "not-examined": (
        True,
        "Near copies may be in several parts: if there are any, the score is too good.",
    ),
}
_UNREADABLE = (
    "These took no part. If they are of one kind, the answer does not hold for that kind."
)
_BY_SEVERITY: Mapping[Severity, str] = {
    "error": "A label or a score is certainly wrong: mend it before the answer is relied on.",
    "warning": "The answer may suffer from it; by how much is not known.",
    "info": "Nothing that is known.",
}
"""Of kinds that are not known here, such as those of plugins."""


def trust(finding: Finding, samples: int) -> Trust:
    """What a finding does to the trust in the answer; a note (``info``) never limits it.

    Args:
        finding: Of the audit.
        samples: Usable ones that were looked at.
    """
    if finding.kind.startswith("unreadable: "):
        total = finding.count + samples
        return Trust(limits=finding.count > FEW * total, words=_UNREADABLE)
    known = _KNOWN.get(finding.kind)
    if known is None:
        words = _BY_SEVERITY.get(finding.severity, _BY_SEVERITY["warning"])
        return Trust(limits=finding.severity != "info", words=words)
    limits, words = known
    return Trust(limits=limits and finding.severity != "info", words=words)
