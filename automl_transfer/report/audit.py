"""The section about the data: what is remarkable, and what the search did about it."""

from __future__ import annotations

from collections.abc import Iterable

from automl_transfer.audit import Audit, Example, Finding
from automl_transfer.report.blocks import Block, Bullets, Heading, Paragraph, Table, columns
from automl_transfer.report.figures import counted


def audit_section(found: Audit | None) -> list[Block]:
    """Findings with their examples; nothing for a study that was made without an audit."""
    if found is None:
        return []
    section: list[Block] = [Heading(text="Audit of the data")]
    if found.findings:
        section.append(
            Table(
                columns=columns("severity", "finding", "what the search does"),
                rows=tuple((one.severity, one.title, one.action) for one in found.findings),
            )
        )
        section += _examples(found.findings)
    else:
        section.append(Paragraph(text=f"Nothing found in {counted(found.samples, 'sample')}."))
    section.append(Paragraph(text=f"Looked for: {'; '.join(found.looked_for)}."))
    return section


def _examples(findings: Iterable[Finding]) -> list[Block]:
    section: list[Block] = []
    for one in findings:
        if one.examples:
            section.append(Paragraph(text=f"{one.title}, for example:"))
            section.append(Bullets(items=tuple(map(_words, one.examples))))
    return section


def _words(example: Example) -> str:
    sources = ", ".join(map(repr, example.sources))
    return ": ".join(part for part in (sources, example.words) if part)
