"""Which trackers are on, and what is imported for that."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from automl_transfer_trackers import choice, libraries
from automl_transfer_trackers.tracker import Search
from automl_transfer_trackers.tracking import Tracking
from stream import Stream

from automl_transfer.plugins import load_registry


def lanes(place: Path) -> list[str]:
    found, search = choice.opened(), Search(study="toy", identity="0", directory=place)
    for lane in found:
        lane.tell(lambda tracker: tracker.open(search))
        lane.end(finished=False)
        assert lane.ended(60)
    return [lane.name for lane in found]


def test_listing_plugins_imports_no_library() -> None:
    code = """
import sys
import automl_transfer_trackers.plugin
from automl_transfer.plugins import load_registry
assert "automl-transfer-trackers" in {one.origin.distribution for one in load_registry().loaded}
heavy = {"tensorboard", "torch", "mlflow", "wandb"} & set(sys.modules)
ours = {name for name in sys.modules if name.startswith("automl_transfer_trackers.")}
print(sorted(heavy), sorted(ours))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert run.stdout == "[] ['automl_transfer_trackers.plugin']\n", run.stderr


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (None, ["tensorboard"]),
        ("", ["tensorboard"]),
        ("none", []),
        ("mlflow", ["mlflow"]),
        (" WandB, tensorboard,wandb ", ["wandb", "tensorboard"]),
    ],
)
def test_the_environment_says_which_are_on(
    said: str | None, wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if said is not None:
        monkeypatch.setenv(choice.VARIABLE, said)
    assert choice.wanted() == wanted


def test_an_unknown_name_is_told_once_and_the_others_are_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(choice.VARIABLE, "tensorbord,tensorboard")
    assert lanes(tmp_path) == ["tensorboard"]
    (record,) = caplog.records
    assert record.getMessage() == (
        "The tracker tensorbord is off: AUTOML_TRANSFER_TRACKERS must be a list of names among "
        "tensorboard, mlflow, wandb, none, but has 'tensorbord'. Did you mean 'tensorboard'?"
    )


def test_a_missing_library_is_told_once_and_the_others_are_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def import_module(name: str) -> object:
        if name == "mlflow":
            raise ModuleNotFoundError("No module named 'mlflow'", name="mlflow")
        return real(name)

    real = libraries.importlib.import_module
    monkeypatch.setattr(libraries.importlib, "import_module", import_module)
    monkeypatch.setenv(choice.VARIABLE, "mlflow,tensorboard")
    assert lanes(tmp_path) == ["tensorboard"]
    (record,) = caplog.records
    assert record.getMessage() == (
        "The tracker mlflow is off: Its library must be installed, but no module named 'mlflow'. "
        "Run: pip install 'automl-transfer-trackers[mlflow]'"
    )


def test_none_writes_nothing(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, "none")
    tracking = Tracking()
    for event in (stream.started(), stream.loaded(), stream.begun(0), stream.recommended()):
        tracking.follow("toy", event)
    assert list(stream.directory.iterdir()) == []


def test_the_host_calls_the_hook_and_has_nothing_to_complain_of(
    stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    registry = load_registry()
    with caplog.at_level(logging.WARNING):
        for event in (stream.started(), stream.loaded(), stream.begun(0), stream.recommended()):
            registry.notify("toy", event)
    assert "automl-transfer-trackers" not in {row.distribution for row in registry.quarantined}
    assert caplog.records == []
    assert (stream.directory / "tensorboard" / "search").is_dir()
