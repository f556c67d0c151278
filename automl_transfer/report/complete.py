"""All sections of a report, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from automl_transfer.audit import Audit
from automl_transfer.recommendation import Recommendation
from automl_transfer.report.answer import answer_section, cost_section
from automl_transfer.report.audit import audit_section
from automl_transfer.report.background import (
    notes_section,
    provenance_section,
    why_not_section,
)
from automl_transfer.report.blocks import Block, Heading
from automl_transfer.report.held_out import held_out_section
from automl_transfer.report.ranking import TOP, ranking_section


def report_blocks(
    recommendation: Recommendation,
    data: Mapping[str, Any] | None,
    quarantined: int,
    audit: Audit | None = None,
) -> list[Block]:
    """The whole report, as it is written to ``report.md``."""
    return [
        *summary_blocks(recommendation, data, quarantined),
        *audit_section(audit),
        *why_not_section(recommendation.why_not),
        *provenance_section(recommendation),
    ]


def summary_blocks(
    recommendation: Recommendation,
    data: Mapping[str, Any] | None,
    quarantined: int,
    limit: int = TOP,
) -> list[Block]:
    """The report without what was left out and without provenance, as a terminal shows it.

    Args:
        recommendation: The answer.
        data: The study's document ``data``, or None.
        quarantined: Number of items that could not be read.
        limit: Rows of the ranking.
    """
    return [
        Heading(text=f"Study {recommendation.study}", level=1),
        *answer_section(recommendation, data),
        *cost_section(recommendation),
        *ranking_section(recommendation, limit),
        *held_out_section(recommendation.test, class_names(data)),
        *notes_section(recommendation.notes, quarantined),
    ]


def final_blocks(recommendation: Recommendation, limit: int) -> list[Block]:
    """What the end of a search prints: ranking, test part, and the answer last, where it is seen.

    Args:
        recommendation: The answer.
        limit: Rows of the ranking.
    """
    return [
        *ranking_section(recommendation, limit),
        *answer_section(recommendation, None),
    ]


def class_names(data: Mapping[str, Any] | None) -> Sequence[str]:
    """Names of the classes; empty when they are not known."""
    return tuple(str(name) for name in (data or {}).get("classes", ()))
