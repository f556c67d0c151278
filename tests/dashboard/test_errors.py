"""Where a model is wrong."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from automl_transfer.artifacts import WRONG_LABELS, StudyDirectory
from automl_transfer.dashboard.confusion import matrix_of, worst
from automl_transfer.dashboard.per_class import per_class
from automl_transfer.dataset import Dataset, Sample, Splits
from automl_transfer.recommendation import ConfidentError
from tests.dashboard.made_studies import Made, MakeStudy, some_outcomes
from tests.dashboard.seen import RunPage, linked, sentence, table, texts


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("L", (8, 8), 200).save(file, "PNG")
    return file.getvalue()


def kept(study: Made, classes: list[int]) -> StudyDirectory:
    """What the winner predicted for the four test samples, which are cat, dog, cat, dog."""
    files = StudyDirectory(study.directory)
    probabilities = np.full((4, 2), 0.2, dtype=np.float32)
    probabilities[np.arange(4), classes] = 0.8
    files.write_held_out(np.arange(16, 20), probabilities)
    return files


def test_the_winner_on_samples_it_never_saw(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    files = kept(study, [0, 0, 0, 1])
    files.write_stills({17: ("image/png", picture())})
    app = run("errors", study="done")
    assert "The winner is wrong on 1 of 4 test samples (25.0 %)" in sentence(app)
    assert "most often `dog` is taken for `cat` (1)" in sentence(app)
    assert "`dog, taken for cat` `80 % sure` `17.png`" in texts(app)
    assert len(app.get("image")) == 1
    frame = table(app, "recall").set_index("class")
    assert list(frame.index) == ["dog", "cat"]
    assert list(frame["recall"]) == [50.0, 100.0]
    assert frame.loc["dog", "95 % interval of recall"].endswith("few samples")


def test_a_cell_is_an_address(run: RunPage, make_study: MakeStudy) -> None:
    kept(make_study("done", some_outcomes(), recommended=True), [0, 0, 0, 1])
    app = run("errors", study="done", true="cat", pred="cat")
    assert "2 samples, the most confident first" in texts(app)
    app.selectbox(key="choice-pred").set_value("dog").run()
    assert not app.exception
    assert "There are none of these." in texts(app)
    assert app.query_params["pred"] in ("dog", ["dog"])
    assert "1 errors" in texts(run("errors", study="done", true="<b>", pred="../x"))


def test_any_trial_on_validation_data(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    probabilities = np.full((4, 2), 0.5)
    probabilities[:, 1] = 0.6
    StudyDirectory(study.directory).write_predictions(1, probabilities)
    app = run("errors", study="done", of="1")
    assert "Trial 1 is wrong on 2 of 4 validation samples" in sentence(app)
    assert "a little optimistic" in texts(app)
    assert "was not kept" in sentence(run("errors", study="done", of="2"))


def test_studies_of_older_versions_have_their_matrix(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    answer = study.answer()
    wrong = ConfidentError(source="<b>7.png", true=0, predicted=1, confidence=0.9)
    study.change(test=replace(answer.test, confusion=((3, 1), (0, 4)), errors=(wrong,)))
    app = run("errors", study="done")
    assert "The winner is wrong on 1 of 8 test samples" in sentence(app)
    assert list(table(app, "confidence")["sample"]) == ["<b>7.png"]


def test_before_the_end_it_says_what_there_is(run: RunPage, make_study: MakeStudy) -> None:
    make_study("going", some_outcomes(), "running")
    app = run("errors", study="going")
    assert "known when the search has ended" in sentence(app)
    assert linked(app)["Errors of the best so far, trial 2"] == "study=going&of=2"
    make_study("begun", [], "running")
    assert "as soon as one has been trained" in sentence(run("errors", study="begun"))


def test_labels_that_may_be_wrong(run: RunPage, make_study: MakeStudy) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    files = kept(study, [0, 1, 0, 1])
    row = {"source": "3.png", "label": "dog", "suggested": "cat", "confidence": 0.97}
    files.write_json(WRONG_LABELS, [row, {"nonsense": 1}])
    shown = texts(run("errors", study="done"))
    assert "`dog, looks like cat` `97 % sure` `3.png`" in shown
    files.path.joinpath(WRONG_LABELS).write_text("{")
    assert "None is suspected, or they were not looked for." in texts(run("errors", study="done"))


@pytest.mark.parametrize("kind", ["regression", "multi-label"])
def test_numbers_and_labels(run: RunPage, make_study: MakeStudy, kind: str) -> None:
    study = make_study("done", some_outcomes(), recommended=True)
    names = ("Age",) if kind == "regression" else ("red", "round")
    values = [(20.0 + n,) if kind == "regression" else (float(n % 2),) for n in range(20)]
    dataset = Dataset(
        modality="image",
        root="/somewhere",
        classes=names,
        kind=kind,
        samples=tuple(
            Sample(id=f"{n:064x}", source=f"{n}.png", label=-1, values=values[n])
            for n in range(20)
        ),
        layout="a manifest",
    )
    splits = Splits(
        train=np.arange(12), val=np.arange(12, 16), test=np.arange(16, 20), description="seeded"
    )
    files = StudyDirectory(study.directory)
    files.write_manifest(dataset, splits)
    study.store.put("data", {**study.store.get("data"), "kind": kind, "classes": list(names)})
    study.change(kind=kind, metric="neg_mae" if kind == "regression" else "macro_f1")
    found = [[40.0], [37.0], [38.0], [39.0]] if kind == "regression" else [[0.9, 0.1]] * 4
    files.write_held_out(np.arange(16, 20), np.array(found, dtype=np.float32))
    app = run("errors", study="done")
    if kind == "regression":
        assert "is off by 1 in the mean" in sentence(app)
        assert "`36, predicted 40` `16.png`" in texts(app)
    else:
        assert "has a label wrong on 2 of 4" in sentence(app)
        assert table(app, "missed").set_index("label").loc["round", "missed"] == 2


def test_the_matrix_counts_and_caps() -> None:
    generator = np.random.default_rng(0)
    targets, predicted = generator.integers(30, size=500), generator.integers(30, size=500)
    matrix = matrix_of(targets, predicted, 30)
    assert matrix.sum() == 500
    assert matrix[3, 4] == int(((targets == 3) & (predicted == 4)).sum())
    shown = worst(matrix)
    assert len(shown) == 20 and shown == sorted(shown)


def test_a_class_without_samples_comes_last() -> None:
    frame = per_class(np.array([[0, 0], [1, 3]]), ["none", "some"])
    assert list(frame["class"]) == ["some", "none"]
    assert frame["recall"].isna().tolist() == [False, True]


def test_an_address_cannot_name_a_file(
    run: RunPage, make_study: MakeStudy, tmp_path: Path
) -> None:
    make_study("done", some_outcomes(), recommended=True)
    assert "The winner" in sentence(run("errors", study="done", of=str(tmp_path)))
