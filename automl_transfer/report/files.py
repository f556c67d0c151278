"""Writes the report into a study's directory."""

from __future__ import annotations

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.report import html, markdown
from automl_transfer.report.material import Material


def write_reports(files: StudyDirectory, material: Material) -> None:
    """Writes ``report.md``, and ``report.html`` after it."""
    files.write_text(files.report, markdown.render(material))
    files.write_text(files.page, html.render(material))
