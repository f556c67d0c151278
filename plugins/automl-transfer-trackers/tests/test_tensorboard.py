"""TensorBoard's logs, read back with its own reader."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from automl_transfer_trackers.tensorboard import DIRECTORY
from conftest import Track
from stream import SECRET, Stream
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

TESTS = Path(__file__).parent


def read(run: Path) -> EventAccumulator:
    found = EventAccumulator(str(run))
    found.Reload()
    return found


def curve(run: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, round(event.value, 4)) for event in read(run).Scalars(tag)]


def texts(run: Path, tag: str) -> list[str]:
    return [
        event.tensor_proto.string_val[0].decode()
        for event in read(run).Tensors(f"{tag}/text_summary")
    ]


def row(run: Path) -> dict[str, Any]:
    content = read(run).PluginTagToContent("hparams")[metadata.SESSION_START_INFO_TAG]
    info = metadata.parse_session_start_info_plugin_data(content)
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in info.hparams.items()}


def runs(place: Path) -> list[str]:
    return sorted(path.name for path in place.iterdir())


def test_each_trial_has_a_run_and_so_has_the_search(stream: Stream, track: Track) -> None:
    session = track.begin(stream)
    for event in (
        stream.stage("screen"),
        stream.screened(24),
        stream.screened(96),
        stream.stage("tune"),
        *stream.three_trials(),
    ):
        session.follow(event)
    track.finish(session, stream)

    logs = stream.directory / "tensorboard"
    assert runs(logs) == [
        "search",
        "trial-0001_toy-wide@96_linear_full",
        "trial-0002_toy-wide@96_mlp_frozen",
        "trial-0003_toy-wide@96_linear_full",
    ]
    first, second, third = (logs / name for name in runs(logs)[1:])

    assert curve(first, "validation/accuracy by epoch") == [(1, 1.1), (2, 1.2)]
    assert curve(first, "validation/accuracy by step") == [(10, 1.1), (20, 1.2)]
    assert curve(first, "train/loss by epoch") == [(1, 1.0), (2, 0.5)]
    assert curve(first, "final/accuracy") == [(20, 1.2)]
    assert curve(first, "final/seconds") == [(20, 2.0)]
    assert "final/macro_f1" not in read(first).Tags()["scalars"]  # it was not finite
    assert texts(first, "state") == ["finished"]
    assert row(first) == {
        "backbone": "toy/wide@96",
        "head": "linear",
        "strategy": "full",
        "strategy/full/lr": 0.01,
        "training/batch_size": 16,
        "stage": "tune",
        "state": "finished",
    }
    assert curve(third, "validation/accuracy by epoch") == [(1, 3.1)]
    assert texts(third, "state") == ["pruned: the pruner stopped it"]
    assert row(third)["state"] == "pruned"
    assert texts(second, "state") == ["failed: diverged: it is not finite"]
    assert row(second)["state"] == "failed" and row(second)["head/mlp/hidden"] == 32
    assert "| head/mlp/hidden | 32 |" in texts(second, "configuration")[0]

    search = logs / "search"
    assert curve(search, "search/best") == [(2, 1.2)]
    assert curve(search, "screening/ridge/toy/wide@96") == [(24, 0.75), (96, 0.75)]
    assert curve(search, "answer/accuracy") == [(3, 0.875)]
    assert texts(search, "stage") == ["screen: 2 backbones", "tune: 2 backbones"]
    (answer,) = texts(search, "recommendation")
    assert answer.startswith("## toy/wide@96 + linear, full\n")
    assert "accuracy 0.8750 (0.7500 to 1.0000), by test, 24 samples" in answer
    assert "| strategy/full/lr | 0.01 |" in answer


def test_a_resumed_search_goes_on_in_its_runs(stream: Stream, track: Track) -> None:
    session = track.begin(stream)
    for number in (1, 3):
        session.follow(stream.begun(number))
        session.follow(stream.reached(number, 1))
    track.interrupt(session)
    time.sleep(
        1.1
    )  # files of a run are read in the order of their names: the second, then a count
    session = track.begin(stream)
    session.follow(stream.reached(1, 2))
    session.follow(stream.over(1))
    session.follow(stream.begun(3))
    session.follow(stream.reached(3, 1))
    session.follow(stream.over(3))
    track.finish(session, stream)

    logs = stream.directory / "tensorboard"
    search, first, third = (logs / name for name in runs(logs))
    assert curve(first, "validation/accuracy by epoch") == [(1, 1.1), (2, 1.2)]
    assert curve(third, "validation/accuracy by epoch") == [(1, 3.1)]
    assert len(texts(first, "configuration")) == len(texts(third, "configuration")) == 1
    assert curve(search, "search/best") == [(1, 1.2), (2, 3.1)]


def test_the_directory_can_be_another_one(
    stream: Stream, track: Track, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY, str(tmp_path / "logs"))
    other = Stream(tmp_path / "elsewhere" / "toy")
    other.directory.mkdir(parents=True)
    for one in (stream, other):
        session = track.begin(one)
        session.follow(one.begun(0))
        track.interrupt(session)
    assert not (stream.directory / "tensorboard").exists()
    places = [path for path in (tmp_path / "logs").iterdir() if path.name.startswith("toy-")]
    assert [len(runs(place)) for place in places] == [2, 2]


def test_a_backbone_with_a_long_path_has_a_run(stream: Stream, track: Track) -> None:
    session = track.begin(stream)
    begun = stream.begun(0)
    long = "local:/" + "a directory/" * 40
    object.__setattr__(begun.configuration, "backbone", long)
    session.follow(begun)
    track.interrupt(session)
    _, run = runs(stream.directory / "tensorboard")
    assert run.startswith("trial-0000_local-a-directory-a-directory") and len(run) == 120


END = """
import os, sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from stream import Stream
from automl_transfer_trackers.plugin import automl_transfer_trial_event as hook
stream = Stream(Path({directory!r}))
def logs():
    return b"".join(path.read_bytes() for path in stream.directory.rglob("events.*"))
for event in (stream.started(), stream.loaded(), stream.begun(1), stream.reached(1, 1)):
    hook("toy", event)
{end}
"""


@pytest.mark.parametrize(
    "end",
    [
        "raise KeyboardInterrupt",
        "while b'loss by step' not in logs(): time.sleep(0.05)\nos.kill(os.getpid(), 9)",
        "if os.fork() == 0: sys.exit()\nos.wait()\nhook('toy', stream.reached(1, 2))",
    ],
    ids=["interrupted", "killed", "forked"],
)
def test_a_process_that_ends_leaves_logs_that_can_be_read(end: str, stream: Stream) -> None:
    code = END.format(tests=str(TESTS), directory=str(stream.directory), end=end)
    subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    _, run = runs(stream.directory / "tensorboard")
    found = curve(stream.directory / "tensorboard" / run, "validation/accuracy by epoch")
    assert found == ([(1, 1.1), (2, 1.2)] if "fork" in end else [(1, 1.1)])


def test_neither_commands_nor_the_environment_are_written(stream: Stream, track: Track) -> None:
    session = track.begin(stream)
    track.finish(session, stream)
    written = [path for path in stream.directory.rglob("*") if path.is_file()]
    assert len(written) == 2  # of the search, and what the next session must know
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
    assert os.environ["HOME"] not in (stream.directory / "trackers.json").read_text()
