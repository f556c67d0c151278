"""Runs of W&B, offline, read back from their files."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from automl_transfer_trackers.wandb import has_key
from conftest import Track
from stream import SECRET, Stream
from test_tensorboard import END, TESTS

wandb = pytest.importorskip("wandb")


@pytest.fixture(autouse=True)
def _on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AUTOML_TRANSFER_TRACKERS", "wandb")
    yield
    wandb.teardown()  # settings are read once a process


def records(file: Path) -> Iterator[Any]:
    """What was written: a header of 7 bytes, then LevelDB's log format."""
    from wandb.proto import wandb_internal_pb2

    data, at, record = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := -at % 32768) and left < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        record += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(record)
            record = b""


def items(found: Any) -> dict[str, Any]:
    return {
        "/".join(one.nested_key) or one.key: json.loads(one.value_json)
        for one in found
        if not (one.key or one.nested_key[0]).startswith("_")
    }


class Run:
    """A run from its file."""

    def __init__(self, file: Path) -> None:
        self.config: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.axes: dict[str, str] = {}
        self.ended = False
        self.exit = 0
        for record in records(file):
            match record.WhichOneof("record_type"):
                case "run":
                    self.run = record.run
                    self.config |= items(record.run.config.update)
                case "config":
                    self.config |= items(record.config.update)
                case "history":
                    self.history.append(items(record.history.item))
                case "summary":
                    self.summary |= items(record.summary.update)
                case "metric":
                    name = record.metric.name or record.metric.glob_name
                    self.axes[name] = record.metric.step_metric
                case "exit":
                    self.ended, self.exit = True, record.exit.exit_code

    def curve(self, name: str, axis: str) -> list[tuple[int, float]]:
        return [(row[axis], row[name]) for row in self.history if name in row]


def runs(place: Path) -> dict[str, Run]:
    wandb.teardown()  # the process that writes is waited for, as at exit
    found = [Run(file) for file in place.rglob("*.wandb")]
    parts = {one.run.run_id.rpartition("-")[2]: one for one in found}
    assert len(parts) == len(found)
    return parts


def test_trials_are_runs_in_the_group_of_the_study(
    stream: Stream, track: Track, capfd: pytest.CaptureFixture[str]
) -> None:
    session = track.begin(stream)
    for event in (
        stream.stage("tune"),
        stream.screened(24),
        *stream.three_trials(),
    ):
        session.follow(event)
    track.finish(session, stream)
    assert capfd.readouterr() == ("", "")

    found = runs(stream.directory / "wandb")
    assert set(found) == {"search", "1", "2", "3"}
    assert all(one.ended for one in found.values())
    assert {one.run.run_group for one in found.values()} == {"toy"}
    assert {one.run.project for one in found.values()} == {"automl-transfer"}

    first = found["1"]
    assert first.run.display_name == "1: toy/wide@96 + linear, full"
    assert first.config == {
        "study": "toy",
        "trial": 1,
        "stage": "tune",
        "backbone": "toy/wide@96",
        "head": "linear",
        "strategy": "full",
        "strategy/full/lr": 0.01,
        "training/batch_size": 16,
    }
    assert first.curve("validation/accuracy", "step") == [(10, 1.1), (20, 1.2)]
    assert first.curve("train/loss", "epoch") == [(1, 1.0), (2, 0.5)]
    assert first.axes["validation/accuracy"] == "step"
    assert first.summary["final/accuracy"] == 1.2
    assert {part: (one.exit, one.summary.get("state")) for part, one in found.items()} == {
        "search": (0, None),
        "1": (0, "finished"),
        "2": (1, "failed"),
        "3": (0, "pruned"),
    }
    assert found["3"].summary["reason"] == "the pruner stopped it"

    search = found["search"]
    assert search.run.job_type == "search"
    assert search.config["samples/train"] == 72
    assert search.curve("search/best", "trials") == [(2, 1.2)]
    assert search.curve("screening/ridge/toy/wide@96", "samples") == [(24, 0.75)]
    assert search.axes["search/*"] == "trials"
    assert search.summary["recommendation"].startswith("## toy/wide@96 + linear, full")


def test_an_interrupted_search_leaves_runs_that_are_ended(stream: Stream, track: Track) -> None:
    session = track.begin(stream)
    session.follow(stream.begun(1))
    session.follow(stream.reached(1, 1))
    track.interrupt(session)
    first = runs(stream.directory / "wandb")["1"]
    assert first.ended and first.exit == 255 and first.summary["state"] == "interrupted"
    time.sleep(1.1)  # a run's directory has the second in its name
    session = track.begin(stream)
    session.follow(stream.reached(1, 2))
    session.follow(stream.over(1))
    track.finish(session, stream)
    wandb.teardown()
    files = sorted((stream.directory / "wandb").rglob("*-1.wandb"))
    one, other = sorted((Run(file) for file in files), key=lambda run: len(run.summary))
    assert one.run.run_id == other.run.run_id  # which puts them together when they are synced
    assert [run.curve("validation/accuracy", "step") for run in (one, other)] == [
        [(10, 1.1)],
        [(20, 1.2)],
    ]


def test_a_process_that_is_interrupted_ends_its_runs_before_wandb_does(stream: Stream) -> None:
    end = "raise KeyboardInterrupt"
    code = END.format(tests=str(TESTS), directory=str(stream.directory), end=end)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, input=""
    )
    assert "tracker wandb" not in run.stderr
    first = runs(stream.directory / "wandb")["1"]
    assert first.ended and first.summary["state"] == "interrupted"
    assert first.curve("validation/accuracy", "step") == [(10, 1.1)]


def test_the_usual_variables_decide(
    stream: Stream, track: Track, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_PROJECT", "ours")
    (tmp_path / "logs").mkdir()
    monkeypatch.setenv("WANDB_DIR", str(tmp_path / "logs"))
    track.finish(track.begin(stream), stream)
    assert runs(tmp_path / "logs")["search"].run.project == "ours"
    assert not (stream.directory / "wandb").exists()
    wandb.teardown()
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.delenv("WANDB_DIR")
    track.finish(track.begin(stream, resumed=1), stream)
    assert not (stream.directory / "wandb").exists()


def test_a_key_is_found_where_wandb_looks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = SimpleNamespace(api_key=None, base_url="https://api.wandb.ai")
    assert not has_key(none)
    assert has_key(SimpleNamespace(api_key="0" * 40, base_url="https://api.wandb.ai"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password 0000\n")
    (tmp_path / "netrc").chmod(0o600)
    assert has_key(none)
    assert not has_key(SimpleNamespace(api_key=None, base_url="https://wandb.example"))


def test_neither_commands_nor_the_environment_are_written(
    stream: Stream, track: Track, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["search", f"--storage=postgresql://me:{SECRET}@server"])
    monkeypatch.setenv("AUTOML_TRANSFER_STORAGE", f"postgresql://me:{SECRET}@server")
    track.finish(track.begin(stream), stream)
    wandb.teardown()
    written = [path for path in stream.directory.rglob("*") if path.is_file()]
    assert len(written) > 3
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
