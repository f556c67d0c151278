"""Whether the data limit the trust in the answer, and what is in them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

import automl_transfer
from automl_transfer.artifacts import StudyDirectory
from automl_transfer.audit import Audit, Example, Finding, Severity
from automl_transfer.dashboard import data_rows
from automl_transfer.dashboard.trust import trust
from automl_transfer.dataset import Dataset, Sample, Splits
from automl_transfer.jsonable import to_json
from tests.dashboard.made_studies import LINK, SCRIPT, Made, MakeStudy, some_outcomes
from tests.dashboard.seen import RunPage, sentence, table, texts


def finding(kind: str, severity: Severity = "warning", **changes: Any) -> Finding:
    usual: dict[str, Any] = {"title": f"Found: {kind}", "count": 1, "action": "used as they are"}
    return Finding(kind=kind, severity=severity, **{**usual, **changes})


def put_audit(study: Made, *findings: Finding) -> None:
    found = Audit.of(samples=20, looked_for=["tiny classes", SCRIPT], findings=findings)
    study.store.put("audit", to_json(found))


def picture(colour: int = 128) -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def manifest(study: Made, labels: list[str], **columns: Any) -> None:
    """A list of samples as a search keeps it, with these texts of what is true."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = len(labels)
    rows = {
        "id": [f"{number:064x}" for number in range(count)],
        "source": [f"{number}.png" for number in range(count)],
        "class": labels,
        "part": ["train", "val", "test", "train"] * (count // 4),
        **columns,
    }
    pq.write_table(pa.table(rows), study.directory / "manifest.parquet")


def pictures(app: AppTest) -> int:
    return len(app.get("image"))


# What is said first.


def test_before_the_data_are_read(run: RunPage, make_study: MakeStudy) -> None:
    make_study("new", [], "running", described=False)
    app = run("data", study="new")
    assert sentence(app) == "#### The data have not been read yet."
    assert "The search reads them first" in texts(app)


def test_nothing_limits_the_trust(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    put_audit(study, finding("copies", "info"))
    app = run("data", study="done")
    assert sentence(app) == (
        "#### 20 samples of 2 classes; nothing was found that limits the trust in the answer."
    )
    assert "What the search does: used as they are." in texts(app)
    assert "What it does to the answer: Nothing" in texts(app)
    assert f"- tiny classes\n- {SCRIPT}" in texts(app)


def test_findings_that_limit_are_counted(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    put_audit(
        study,
        finding("copies-across-classes", "error"),
        finding("tiny-classes"),
        finding("copies", "info"),
        finding("of-a-plugin", "info"),
    )
    app = run("data", study="done")
    assert "2 findings limit the trust in the answer" in sentence(app)
    shown = texts(app)
    assert "error: certainly wrong" in shown
    assert shown.index("Found: copies-across-classes") < shown.index("Found: tiny-classes")


def test_without_an_audit(run: RunPage, make_study: MakeStudy) -> None:
    make_study("old", some_outcomes())
    assert "no audit was kept" in sentence(run("data", study="old"))


def test_every_finding_of_ours_has_its_own_sentence() -> None:
    package = Path(automl_transfer.__file__).parent
    files = [*(package / "auditing").glob("*.py"), *(package / "modalities").rglob("*.py")]
    kinds = {
        kind
        for file in files
        for kind in re.findall(r'\bkind="([a-z-]+)"', file.read_text(encoding="utf-8"))
    }
    kinds -= {"stable"}  # of numpy's sort
    kinds |= {"likely-mislabelled", "groups-test-in-train", "near-copies-val-in-train"}
    assert len(kinds) > 15
    unknown = trust(finding("no such"), 100).words
    generic = {kind for kind in kinds if trust(finding(kind), 100).words == unknown}
    assert not generic


def test_kinds_of_plugins_are_judged_by_severity() -> None:
    assert trust(finding("x", "error"), 10).limits
    assert trust(finding("x", "warning"), 10).limits
    assert not trust(finding("x", "info"), 10).limits
    assert not trust(finding("tiny-classes", "info"), 10).limits


def test_a_few_unreadable_items_limit_nothing() -> None:
    assert not trust(finding("unreadable: not an image", count=2), 100).limits
    assert trust(finding("unreadable: not an image", count=20), 100).limits


def test_examples_have_their_pictures(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    examples = (
        Example(sources=("3.png", "4.png", f"{SCRIPT}.png"), words=f"{LINK} look alike"),
        Example(sources=(), words="no source"),
    )
    put_audit(study, finding("copies-across-classes", "error", examples=examples))
    before = pictures(run("data", study="done"))
    StudyDirectory(study.directory).write_stills({3: ("image/png", picture())})
    app = run("data", study="done")
    assert before == 0
    assert pictures(app) == 2  # once among the samples
    assert f"3.png, 4.png, {SCRIPT}.png: {LINK} look alike" in texts(app)


# Samples.


def test_some_samples_of_each_class(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    app = run("data", study="done")
    assert "No small views of samples are kept" in texts(app)
    StudyDirectory(study.directory).write_stills(
        {number: ("image/png", picture(number)) for number in range(12)}
    )
    app = run("data", study="done")
    assert pictures(app) == 6
    assert "6 of the 12 samples of which a view is kept, at most 3 of each class" in texts(app)
    app.selectbox(key="choice-class").set_value("dog").run()
    assert app.query_params["class"] in ("dog", ["dog"])
    assert pictures(app) == 6
    assert "`dog` `1.png`" in texts(app)
    assert "`cat` `0.png`" not in texts(app)
    assert "6 of the 12 samples" in texts(run("data", study="done", **{"class": "no such"}))


def test_what_is_no_picture_is_a_name(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    StudyDirectory(study.directory).write_stills(
        {
            0: ("image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
            1: ("text/plain", b"words"),
            2: ("image/png", b"this is no picture"),
        }
    )
    app = run("data", study="done")
    assert "no picture" in texts(app)
    assert "`0.png`" in texts(app) and "`2.png`" in texts(app)


def test_samples_of_hostile_names(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes(), classes=(SCRIPT, LINK))
    StudyDirectory(study.directory).write_stills({1: ("image/png", picture())})
    app = run("data", study="done", **{"class": LINK})
    assert f"`{LINK}` `1.png`" in [one.value for one in app.caption]


# Balance and splits.


def test_classes_by_part(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    found = table(run("data", study="done"), "class")
    cat = found.set_index("class").loc["cat"]
    assert cat.to_dict() == {"train": 6, "val": 2, "test": 2, "all": 10}
    (study.directory / "manifest.parquet").unlink()
    assert "so the classes cannot be counted" in texts(run("data", study="done"))


def test_many_classes_are_cut_in_the_chart_only(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    names = [f"class {number:02}" for number in range(60)]
    study.store.put("data", {"classes": names, "counts": {"train": 120}})
    manifest(study, names * 2)
    app = run("data", study="done")
    assert "Drawn are the largest 40 of 60 classes" in texts(app)
    assert len(table(app, "class")) == 60
    spec = json.loads(app.get("vega_lite_chart")[0].proto.spec)
    assert spec["mark"]["type"] == "bar"


def test_labels(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    study.store.put("data", {"kind": "multi-label", "classes": ["a", "b"], "counts": {"train": 8}})
    manifest(study, ["a; b", "a", "b", "", "a", "a", "b", "a"])
    StudyDirectory(study.directory).write_stills(
        {number: ("image/png", picture()) for number in range(8)}
    )
    app = run("data", study="done", **{"class": "b"})
    assert "8 samples of 2 labels" in sentence(app)
    assert table(app, "class").set_index("class")["all"].to_dict()["a"] == 5
    assert "A sample with several labels counts for each" in texts(app)
    assert "`a, b` `0.png`" in texts(app)
    assert pictures(app) == 3


def test_numbers(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    study.store.put("data", {"kind": "regression", "classes": [SCRIPT], "counts": {"train": 40}})
    manifest(study, [str(number / 2) for number in range(40)])
    StudyDirectory(study.directory).write_stills(
        {number: ("image/png", picture()) for number in range(40)}
    )
    app = run("data", study="done")
    assert f"`the number '{SCRIPT}'`" in sentence(app)
    assert list(table(app, "median")["part"]) == ["train", "val", "test"]
    assert "36 of the 40 samples" in texts(app)
    assert "from the lowest number to the highest" in texts(app)
    (study.directory / "manifest.parquet").write_bytes(b"damaged")
    assert "so the numbers cannot be shown" in texts(run("data", study="done"))


def test_what_stays_together(tmp_path: Path) -> None:
    samples = tuple(
        Sample(id=f"{n:064x}", source=f"{n}.png", label=0, group="g" if n < 3 else "")
        for n in range(8)
    )
    dataset = Dataset(
        modality="image", root="/x", classes=("a",), samples=samples, layout="l", quarantined=()
    )
    splits = Splits(
        train=np.arange(0, 6),
        val=np.arange(6, 7),
        test=np.arange(7, 8),
        units=np.array([0, 0, 0, 1, 2, 2, 3, 4]),
        description="",
    )
    StudyDirectory(tmp_path).write_manifest(dataset, splits)
    words = data_rows.together(tmp_path)
    assert "5 of 8 samples share a unit with others" in words
    assert "1 group of yours among them" in words
    assert "5 units" in words
    assert data_rows.together(tmp_path / "nowhere") == ""


def test_splits(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    app = run("data", study="done")
    assert "Held out from the whole search: 20 % of the samples" in texts(app)
    assert "How: stratified, seed 0." in texts(app)
    assert "no sample has a copy, near copy or group" in texts(app)
    assert "Metric: accuracy, because: the classes are of similar size" in texts(app)
    study.store.put("data", {"counts": {"train": 3, "test": "x"}, "classes": ["a"]})
    study.status("finished", spent=151)
    assert "Nothing is held out" in texts(run("data", study="done"))


# What was set aside.


def test_what_was_set_aside(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    app = run("data", study="done")
    assert table(app, "reason").to_dict("records") == [
        {"source": f"{SCRIPT}.png", "reason": "not an image"}
    ]
    assert "1 item could not be used, and took no part" in texts(app)
    (study.directory / "quarantined.csv").unlink()
    assert "quarantined.csv, is not there any more" in texts(run("data", study="done"))


def test_a_long_list_is_cut_and_says_so(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes())
    rows = pd.DataFrame({"source": [f"{n}.png" for n in range(300)], "reason": "no image"})
    rows.to_csv(study.directory / "quarantined.csv", index=False)
    study.store.put("data", {"classes": ["a"], "counts": {}, "quarantined": 300})
    app = run("data", study="done")
    assert "The first 200 of them" in texts(app)


def test_no_manifest_yet(make_study: MakeStudy) -> None:
    study = make_study("s", described=False)
    assert data_rows.classes(study.directory) is None
    assert data_rows.numbers(study.directory) is None
    assert data_rows.quarantined(study.directory).empty
    assert data_rows.stamp(study.directory) == 0


@pytest.mark.parametrize("damage", [b"", b"PAR1 no table"])
def test_damaged_files_are_sentences(run: RunPage, make_study: MakeStudy, damage: bytes) -> None:
    study = make_study("done", some_outcomes())
    put_audit(study, finding("copies", "info", examples=(Example(sources=("1.png",)),)))
    for name in ("manifest.parquet", "stills.parquet", "quarantined.csv"):
        (study.directory / name).write_bytes(damage)
    app = run("data", study="done")
    assert "so the classes cannot be counted" in texts(app)
    assert "No small views of samples are kept" in texts(app)
