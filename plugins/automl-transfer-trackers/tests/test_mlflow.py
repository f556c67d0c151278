"""MLflow's runs in a database, read back with its client."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Track
from stream import SECRET, Stream

mlflow = pytest.importorskip("mlflow")


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take it seconds to make."""
    place = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{place}").search_experiments()
    return place


@pytest.fixture
def client(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    shutil.copy(empty, tmp_path / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("AUTOML_TRANSFER_TRACKERS", "mlflow")
    return mlflow.MlflowClient()


def runs(client: Any, experiment: str = "toy") -> dict[str, Any]:
    """Those of an experiment by the part of the study that they are of."""
    id = client.get_experiment_by_name(experiment).experiment_id
    found = client.search_runs([id])
    parts = {run.data.tags["automl_transfer.part"]: run for run in found}
    assert len(parts) == len(found)
    return parts


def curve(client: Any, run: Any, name: str) -> list[tuple[int, float]]:
    history = client.get_metric_history(run.info.run_id, name)
    return [(metric.step, metric.value) for metric in history]


def test_trials_are_nested_in_the_run_of_the_study(
    client: Any, stream: Stream, track: Track
) -> None:
    session = track.begin(stream)
    for event in (
        stream.stage("tune"),
        stream.screened(24),
        *stream.three_trials(),
    ):
        session.follow(event)
    track.finish(session, stream)

    found = runs(client)
    assert set(found) == {"search", "1", "2", "3"}
    parent, first = found["search"], found["1"]
    assert parent.info.run_name == "toy" and parent.info.status == "FINISHED"
    assert parent.data.tags["stage"] == "tune: 2 backbones"
    assert parent.data.tags["samples/train"] == "72"
    assert parent.data.tags["mlflow.note.content"].startswith("## toy/wide@96 + linear, full")
    assert parent.data.metrics["screening/ridge/toy/wide_96"] == 0.75
    assert curve(client, parent, "search/best") == [(2, 1.2)]
    assert curve(client, parent, "answer/accuracy") == [(3, 0.875)]

    assert first.info.run_name == "1: toy/wide@96 + linear, full"
    assert first.data.params == {
        "backbone": "toy/wide@96",
        "head": "linear",
        "strategy": "full",
        "strategy/full/lr": "0.01",
        "training/batch_size": "16",
    }
    assert curve(client, first, "validation/accuracy") == [(10, 1.1), (20, 1.2)]
    assert curve(client, first, "epoch") == [(10, 1.0), (20, 2.0)]
    assert first.data.metrics["final/accuracy"] == 1.2
    states = {
        part: (run.info.status, run.data.tags["state"])
        for part, run in found.items()
        if part != "search"
    }
    assert states == {
        "1": ("FINISHED", "finished"),
        "2": ("FAILED", "failed"),
        "3": ("KILLED", "pruned"),
    }
    assert found["3"].data.tags["reason"] == "the pruner stopped it"
    for part in ("1", "2", "3"):
        assert found[part].data.tags["mlflow.parentRunId"] == parent.info.run_id


def test_a_resumed_search_goes_on_in_its_runs(client: Any, stream: Stream, track: Track) -> None:
    session = track.begin(stream)
    for number in (1, 3):
        session.follow(stream.begun(number))
        session.follow(stream.reached(number, 1))
    track.interrupt(session)
    before = runs(client)
    assert {run.info.status for run in before.values()} == {"KILLED"}
    assert before["1"].data.tags["state"] == "interrupted"

    session = track.begin(stream)
    session.follow(stream.reached(1, 2))
    session.follow(stream.over(1))
    session.follow(stream.begun(3))
    session.follow(stream.reached(3, 1))
    session.follow(stream.over(3))
    track.finish(session, stream)
    after = runs(client)
    assert set(after) == {"search", "1", "3"}
    assert {run.info.status for run in after.values()} == {"FINISHED"}
    assert after["search"].info.run_id == before["search"].info.run_id
    assert after["1"].info.run_id == before["1"].info.run_id
    assert curve(client, after["1"], "validation/accuracy") == [(10, 1.1), (20, 1.2)]
    assert curve(client, after["3"], "validation/accuracy") == [(10, 3.1)]


def test_the_experiment_can_be_another_one(
    client: Any, stream: Stream, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
    track.finish(track.begin(stream), stream)
    assert set(runs(client, "ours")) == {"search"}
    id = client.create_experiment("by its id")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", id)
    track.finish(track.begin(stream, resumed=1), stream)
    assert set(runs(client, "by its id")) == {"search"}


def test_neither_commands_nor_the_environment_are_written(
    client: Any, stream: Stream, track: Track, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    track.finish(track.begin(stream), stream)
    assert len(runs(client)) == 1
    assert SECRET.encode() not in (tmp_path / "mlflow.db").read_bytes()
    assert capfd.readouterr().out == ""


def test_a_server_that_is_away_switches_mlflow_off_alone(
    stream: Stream,
    track: Track,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AUTOML_TRANSFER_TRACKERS", "mlflow,tensorboard")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:{SECRET}@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    session = track.begin(stream)
    session.follow(stream.begun(0))
    session.follow(stream.over(0))
    track.finish(session, stream)
    told = [one.getMessage() for one in caplog.records]
    assert len([text for text in told if text.startswith("The tracker mlflow is off for")]) == 1
    assert SECRET not in caplog.text
    assert len(list((stream.directory / "tensorboard").iterdir())) == 2
