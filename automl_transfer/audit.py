"""What is remarkable about a data set, and what a search does about it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

from cattrs import BaseValidationError

from automl_transfer.jsonable import from_json

Severity: TypeAlias = Literal["info", "warning", "error"]

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""Gravest first."""
SCHEMA = 1
EXAMPLES = 5
"""Of a finding, that are kept."""
SOURCES = 4
"""Of an example, that are kept."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One case of a finding."""

    sources: tuple[str, ...]
    """The samples, or items, that it is about, as the data set names them; may be none."""
    words: str = ""
    """What is to be said of them."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that is remarkable about a data set.

    Severities: ``error``, a label or a score is certainly wrong and a search cannot mend it;
    ``warning``, results may suffer; ``info``, good to know.
    """

    kind: str
    """A word for programs, such as ``copies-across-classes``."""
    severity: Severity
    title: str
    """A sentence for people."""
    count: int
    """How many samples, items or classes; :attr:`title` says which."""
    examples: tuple[Example, ...] = ()
    """At most :data:`EXAMPLES`."""
    action: str
    """What a search does about it."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """All findings about a data set, gravest first."""

    schema: int = SCHEMA
    samples: int
    """Usable samples that were looked at."""
    looked_for: tuple[str, ...]
    """What was looked for, in words, whether it was found or not."""
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, *, samples: int, looked_for: Iterable[str], findings: Iterable[Finding]) -> Audit:
        """Findings in their fixed order: by severity, then kind, then title."""
        ordered = sorted(
            findings, key=lambda one: (SEVERITIES.index(one.severity), one.kind, one.title)
        )
        return cls(samples=samples, looked_for=tuple(looked_for), findings=tuple(ordered))

    @property
    def worst(self) -> Severity | None:
        """The gravest severity; None when nothing was found."""
        return self.findings[0].severity if self.findings else None

    def reaches(self, severity: Severity) -> bool:
        """Whether a finding is as grave as ``severity``, or graver."""
        return self.worst is not None and SEVERITIES.index(self.worst) <= SEVERITIES.index(
            severity
        )

    def with_finding(self, finding: Finding, looked_for: str) -> Audit:
        """This audit with one more finding, in place of an earlier one of its kind."""
        others = [one for one in self.findings if one.kind != finding.kind]
        return self.of(
            samples=self.samples,
            looked_for=dict.fromkeys((*self.looked_for, looked_for)),
            findings=[*others, finding],
        )

    def without(self, kind: str, looked_for: str) -> Audit:
        """This audit after a look for something that was not found."""
        return replace(
            self,
            looked_for=tuple(dict.fromkeys((*self.looked_for, looked_for))),
            findings=tuple(one for one in self.findings if one.kind != kind),
        )


def examples(found: Iterable[tuple[Sequence[str], str]]) -> tuple[Example, ...]:
    """The first of them, as a finding keeps them.

    Args:
        found: Sources, and what is to be said of them.
    """
    kept: list[Example] = []
    for sources, words in found:
        if len(kept) == EXAMPLES:
            break
        more = len(sources) - SOURCES
        said = f"{words}, and {more} more" if more > 0 and words else words
        kept.append(Example(sources=tuple(sources[:SOURCES]), words=said))
    return tuple(kept)


def stored_audit(document: Any) -> Audit | None:
    """An audit that was kept as JSON; None where there is none, or by another version."""
    try:
        return None if document is None else from_json(Audit, document)
    except BaseValidationError:
        return None
