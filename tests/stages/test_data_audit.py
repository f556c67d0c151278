"""The audit as part of a search."""

from __future__ import annotations

import json

import pytest

from automl_transfer.audit import Audit
from automl_transfer.events import DataLoaded, Note
from automl_transfer.jsonable import from_json
from automl_transfer.stages.data_audit import _told
from tests.toy_search import ToySearch


@pytest.fixture
def search(tmp_path) -> ToySearch:
    made = ToySearch(tmp_path)
    lines = made.data.read_text().splitlines()
    label, rest = lines[0].split(",", 1)
    other = next(line.split(",", 1)[0] for line in lines if not line.startswith(label))
    lines += [lines[1], f"{other},{rest}", "class0,not,numbers"]
    made.data.write_text("\n".join(lines) + "\n")
    return made


def test_a_search_audits_its_data_first(search):
    events = search.run()
    study = search.study()
    audit = from_json(Audit, study.document("audit"))
    kinds = {one.kind for one in audit.findings}
    assert {"copies", "copies-across-classes"} <= kinds
    written = json.loads((study.directory / "audit.json").read_text(encoding="utf-8"))
    assert from_json(Audit, written) == audit
    loaded = next(place for place, event in enumerate(events) if isinstance(event, DataLoaded))
    notes = [event for event in events[:loaded] if isinstance(event, Note)]
    assert any(
        note.level == "warning"
        and note.text.startswith("Contents that are in more than one class")
        for note in notes
    )
    assert any("data check" in note.text for note in notes)
    report = (study.directory / "report.md").read_text(encoding="utf-8")
    assert "## Audit of the data" in report
    assert "Contents that are in more than one class" in report


def test_few_lines_are_said():
    from automl_transfer.audit import Finding

    findings = [
        Finding(kind=f"k{place}", severity="warning", title=f"T{place}", count=1, action="a")
        for place in range(9)
    ]
    told = _told(Audit.of(samples=1, looked_for=(), findings=findings))
    assert len(told) == 4
    assert told[-1][0].startswith("6 more findings")
    assert _told(Audit.of(samples=1, looked_for=(), findings=())) == []
