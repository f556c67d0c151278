"""The audit as part of a search."""

from __future__ import annotations

import json

import numpy as np
import pytest

from automl_transfer.audit import Audit
from automl_transfer.auditing.labels import KIND, LOOKED_FOR, Suspect
from automl_transfer.events import DataLoaded, Note
from automl_transfer.jsonable import from_json
from automl_transfer.stages.data_audit import _told
from automl_transfer.stages.mislabelled import mislabelled
from automl_transfer.stages.recommend import recommend
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


def with_a_wrong_label(search: ToySearch) -> list[str]:
    """Adds eight neighbours of a sample, the fourth from the end with another label; all lines."""
    lines = search.data.read_text().splitlines()
    label, rest = lines[0].split(",", 1)
    wrong = "class1" if label != "class1" else "class2"
    values = [float(text) for text in rest.split(",")]
    for place in range(8):
        near = ",".join(f"{value + 0.001 * place:.6f}" for value in values)
        lines.append(f"{wrong if place == 4 else label},{near}")
    search.data.write_text("\n".join(lines) + "\n")
    return lines


def test_labels_that_the_features_contradict_are_added_to_the_audit(tmp_path, monkeypatch):
    search = ToySearch(tmp_path)
    lines = with_a_wrong_label(search)
    found = []

    def looking(context):
        found.append((context, mislabelled(context)))
        return recommend(context)

    monkeypatch.setattr("automl_transfer.searching.recommend", looking)
    search.run()
    ((context, finding),) = found
    assert finding is not None
    study = search.study()
    audit = from_json(Audit, study.document("audit"))
    assert finding in audit.findings
    listed = json.loads((study.directory / "mislabelled.json").read_text(encoding="utf-8"))
    assert len(listed) == finding.count
    margins = [row["margin"] for row in listed]
    assert margins == sorted(margins, reverse=True)
    assert all(row["label"] != row["suggested"] for row in listed)
    held_out = {context.dataset.samples[place].source for place in context.splits.test}
    assert not held_out & {row["source"] for row in listed}
    planted = str(len(lines) - 4)
    if planted not in held_out:
        assert planted in {row["source"] for row in listed}


def test_repeating_a_finished_search_keeps_what_was_found_after_it(tmp_path):
    search = ToySearch(tmp_path)
    with_a_wrong_label(search)
    request = search.request(trials=2, strategies=("frozen",), hold_out="no")
    search.run(request)
    study = search.study()
    before = study.document("audit")
    assert "likely-mislabelled" in {one["kind"] for one in before["findings"]}
    search.run(request)
    assert study.document("audit") == before
    written = json.loads((study.directory / "audit.json").read_text(encoding="utf-8"))
    assert written == before


def test_of_very_many_samples_a_part_is_asked_for_its_labels(tmp_path, monkeypatch):
    search = ToySearch(tmp_path)
    looked = []

    def look(probabilities, labels):
        looked.append(np.bincount(labels).tolist())
        return [Suspect(position=59, label=0, suggested=1, confidence=0.9, margin=0.8)]

    monkeypatch.setattr("automl_transfer.stages.mislabelled.MOST", 60)
    monkeypatch.setattr("automl_transfer.stages.mislabelled.suspects", look)
    search.run(search.request(trials=2, strategies=("frozen",), hold_out="no"))
    assert looked == [[20, 20, 20]]
    (finding,) = [
        one for one in search.study().document("audit")["findings"] if one["kind"] == KIND
    ]
    assert "1 of 60 development samples that were looked at (of 120)" in finding["title"]
    assert int(finding["examples"][0]["sources"][0]) >= 59


def test_labels_are_not_looked_at_when_that_takes_longer_than_is_left(tmp_path, monkeypatch):
    search = ToySearch(tmp_path)
    monkeypatch.setattr("automl_transfer.stages.mislabelled.SPEED", 1.0)
    request = search.request(trials=2, strategies=("frozen",), hold_out="no", budget_seconds=300)
    search.run(request)
    study = search.study()
    assert not (study.directory / "mislabelled.json").exists()
    assert LOOKED_FOR not in study.document("audit")["looked_for"]
    answer = study.recommendation
    assert answer is not None
    assert any("Wrong labels were not looked for" in note for note in answer.notes)
