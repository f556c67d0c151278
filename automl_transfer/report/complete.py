"""All sections of a report, in order."""

from __future__ import annotations

from automl_transfer.audit import stored_audit
from automl_transfer.recommendation import Recommendation
from automl_transfer.report.answer import answer_section, cost_section
from automl_transfer.report.audit import audit_section
from automl_transfer.report.background import (
    notes_section,
    provenance_section,
    screen_section,
    why_not_section,
)
from automl_transfer.report.blocks import Block, Heading
from automl_transfer.report.curves import curves_section
from automl_transfer.report.finalists import finalists_section
from automl_transfer.report.held_out import held_out_section
from automl_transfer.report.labels import labels_section
from automl_transfer.report.material import Material
from automl_transfer.report.ranking import TOP, ranking_section


def report_blocks(material: Material) -> list[Block]:
    """The whole report, as it is written to ``report.md`` and ``report.html``."""
    recommendation = material.recommendation
    return [
        *_findings(material, TOP),
        *curves_section(recommendation, material.outcomes),
        *cost_section(recommendation),
        *audit_section(stored_audit(material.audit)),
        *why_not_section(recommendation.why_not),
        *(screen_section(material.screen) if material.screen else ()),
        *notes_section(recommendation.notes, material.quarantined),
        *provenance_section(recommendation),
    ]


def summary_blocks(material: Material, limit: int = TOP) -> list[Block]:
    """The report without what was left out and without provenance, as a terminal shows it.

    Args:
        material: What the report is made from.
        limit: Rows of the ranking.
    """
    return [
        *_findings(material, limit),
        *cost_section(material.recommendation),
        *notes_section(material.recommendation.notes, material.quarantined),
    ]


def final_blocks(recommendation: Recommendation, limit: int) -> list[Block]:
    """What the end of a search prints: ranking, finalists, and the answer last, where it is seen.

    Args:
        recommendation: The answer.
        limit: Rows of the ranking.
    """
    return [
        *ranking_section(recommendation, limit),
        *finalists_section(recommendation),
        *answer_section(recommendation, None),
    ]


def _findings(material: Material, limit: int) -> list[Block]:
    recommendation = material.recommendation
    return [
        Heading(text=f"Study {recommendation.study}", level=1),
        *answer_section(recommendation, material.data),
        *finalists_section(recommendation),
        *ranking_section(recommendation, limit),
        *labels_section(recommendation, material.classes),
        *held_out_section(recommendation.test, material.classes, material.stills),
    ]
