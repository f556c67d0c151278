"""All that a report is made from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from automl_transfer.outcome import Outcome
from automl_transfer.recommendation import Recommendation
from automl_transfer.report.blocks import Still


@dataclass(frozen=True, kw_only=True)
class Material:
    """An answer and what the search keeps beside it; only the answer is indispensable."""

    recommendation: Recommendation
    data: Mapping[str, Any] | None = None
    """The document ``data``: :class:`~automl_transfer.events.DataLoaded` as JSON."""
    outcomes: Sequence[Outcome] = ()
    """Ended trials."""
    screen: Sequence[Mapping[str, Any]] = ()
    """The document ``screen``."""
    audit: Mapping[str, Any] | None = None
    """The document ``audit``."""
    stills: Mapping[str, Still] = field(default_factory=dict)
    """By the source of their sample."""

    @property
    def quarantined(self) -> int:
        """Number of items that could not be read."""
        return int((self.data or {}).get("quarantined", 0))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty when they are not known."""
        return tuple(str(name) for name in (self.data or {}).get("classes", ()))


def gather(
    recommendation: Recommendation,
    document: Callable[[str], Any],
    outcomes: Sequence[Outcome],
    stills: Mapping[str, Still] | None = None,
) -> Material:
    """The material of a study.

    Args:
        recommendation: The answer.
        document: Gives a document of the study by its name, or None.
        outcomes: Ended trials.
        stills: Of samples, by source.
    """
    return Material(
        recommendation=recommendation,
        data=document("data"),
        outcomes=outcomes,
        screen=document("screen") or (),
        audit=document("audit"),
        stills=stills or {},
    )
