"""What trackers are told of a search, and that none can hold up another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from automl_transfer_trackers import lane as lanes
from automl_transfer_trackers.lane import Lane
from automl_transfer_trackers.memory import FILE
from automl_transfer_trackers.session import Session
from automl_transfer_trackers.tracker import Search
from automl_transfer_trackers.tracking import Tracking
from automl_transfer_trackers.trials import Ending, Point, Trial
from stream import Stream


class Recorder:
    """A tracker that remembers; ``breaks`` is what it cannot do."""

    def __init__(self, breaks: str = "") -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.breaks = breaks

    def _note(self, *call: Any) -> None:
        self.calls.append(call)
        if call[0] == self.breaks:
            raise OSError("no space is left at http://me:sesame@server/")

    def named(self, name: str) -> list[tuple[Any, ...]]:
        return [call[1:] for call in self.calls if call[0] == name]

    def open(self, search: Search) -> None:
        self._note("open", search)

    def facts(self, facts: Mapping[str, Any], at: int) -> None:
        self._note("facts", facts, at)

    def values(self, values: Mapping[str, float], axis: str, at: int) -> None:
        self._note("values", values, axis, at)

    def text(self, name: str, text: str, at: int) -> None:
        self._note("text", name, text, at)

    def trial_started(self, trial: Trial, origin: str) -> None:
        self._note("started", trial.number, origin)

    def trial_reached(self, trial: Trial, point: Point) -> None:
        self._note("reached", trial.number, point.epoch, point.step)

    def trial_ended(self, trial: Trial, ending: Ending) -> None:
        self._note("ended", trial.number, ending.state)

    def flush(self) -> None:
        pass

    def close(self, *, finished: bool) -> None:
        self._note("close", finished)


def session(stream: Stream, *recorders: Recorder, resumed: int = 0) -> Session:
    found = [Lane(f"number {place}", one) for place, one in enumerate(recorders)]
    made = Session(stream.started(resumed), found)
    made.follow(stream.loaded())
    return made


def test_trials_may_be_open_at_once(stream: Stream) -> None:
    recorder = Recorder()
    made = session(stream, recorder)
    for event in (
        stream.begun(1),
        stream.begun(3),
        stream.reached(3, 1),
        stream.reached(1, 1),
        stream.reached(1, 2),
        stream.over(1),
        stream.reached(3, 2),
        stream.over(3, "pruned", "the pruner stopped it"),
    ):
        made.follow(event)
    made.leave()
    assert recorder.named("started") == [(1, "new"), (3, "new")]
    assert recorder.named("reached") == [
        (3, 1, 10),
        (1, 1, 10),
        (1, 2, 20),
        (3, 2, 20),
    ]
    assert recorder.named("ended") == [(1, "finished"), (3, "pruned")]
    assert recorder.named("close") == [(False,)]


def test_the_curve_of_a_head_from_a_pack_runs_forwards(stream: Stream) -> None:
    recorder = Recorder()
    made = session(stream, recorder)
    made.follow(stream.begun(0))
    told = [stream.reached(0, epoch) for epoch in (3, 6, 9)]
    made.follow(told[-1])  # the host tells of the last point, and then of the outcome
    made.follow(stream.over(0))
    made.leave()
    assert recorder.named("reached") == [(0, 3, 0), (0, 6, 0), (0, 9, 0)]


def test_a_head_that_is_told_of_epoch_by_epoch_is_written_so(stream: Stream) -> None:
    recorder = Recorder()
    made = session(stream, recorder)
    made.follow(stream.begun(0))
    made.follow(stream.reached(0, 1))
    made.follow(stream.reached(0, 2))
    made.leave()
    assert recorder.named("reached") == [(0, 1, 0), (0, 2, 0)]


def test_best_so_far_counts_what_is_finished(stream: Stream) -> None:
    recorder = Recorder()
    made = session(stream, recorder)
    for number, epoch, state in ((1, 2, "finished"), (3, 1, "pruned"), (0, 1, "finished")):
        made.follow(stream.begun(number))
        made.follow(stream.reached(number, epoch))
        made.follow(stream.over(number, state))
    made.leave()
    told = [call for call in recorder.named("values") if call[1] == "trials"]
    assert told == [
        ({"search/value": 1.2, "search/best": 1.2}, "trials", 1),
        ({"search/value": 0.1, "search/best": 1.2}, "trials", 3),
    ]


def test_screening_is_told_once_for_a_number_of_samples(stream: Stream) -> None:
    recorder = Recorder()
    made = session(stream, recorder)
    for event in (stream.screened(24), stream.screened(24, "kept"), stream.screened(96)):
        made.follow(event)
    made.leave()
    made = session(stream, again := Recorder(), resumed=1)
    made.follow(stream.screened(24))
    made.follow(stream.screened(96))
    made.leave()
    assert again.named("values") == []
    scores = {"screening/ridge/toy/wide@96": 0.75, "screening/logme/toy/wide@96": -0.5}
    assert recorder.named("values") == [(scores, "samples", 24), (scores, "samples", 96)]


def test_a_trial_that_nobody_has_told_of_is_told_at_its_end(stream: Stream) -> None:
    recorder = Recorder()
    made = session(stream, recorder)
    made.follow(stream.over(4, "failed", "error: it broke"))
    made.leave()
    assert recorder.named("started") == [(4, "new")]
    assert recorder.named("ended") == [(4, "failed")]


def test_a_resumed_search_goes_on_with_the_trials_that_were_open(stream: Stream) -> None:
    first, second = Recorder(), Recorder()
    made = session(stream, first)
    for number in (1, 3, 5):
        made.follow(stream.begun(number))
        made.follow(stream.reached(number, 1))
    made.follow(stream.over(5))
    made.leave()

    made = session(stream, second, resumed=1)
    made.follow(stream.reached(1, 2))  # goes on from its checkpoint
    made.follow(stream.over(1))
    made.follow(stream.begun(3))  # its checkpoint was lost
    made.follow(stream.reached(3, 1))
    made.follow(stream.over(3))
    made.follow(stream.recommended())
    made.end(finished=True)

    assert second.named("started") == [(1, "continued"), (3, "again")]
    assert second.named("reached") == [(1, 2, 20), (3, 1, 10)]
    values = [call for call in second.named("values") if "search/best" in call[0]]
    assert values == [
        ({"search/value": 1.2, "search/best": 5.1}, "trials", 2),
        ({"search/value": 3.1, "search/best": 5.1}, "trials", 3),
    ]
    assert second.named("close") == [(True,)]
    (before,), (after,) = first.named("open"), second.named("open")
    assert before == after

    third = Recorder()
    made = session(stream, third, resumed=3)
    made.follow(stream.recommended())  # nothing is left to do: the stored one comes again
    made.leave()
    assert third.named("values") == [] and third.named("text") == []


def test_another_study_of_that_name_is_another(stream: Stream, tmp_path) -> None:
    recorders = Recorder(), Recorder()
    session(stream, recorders[0]).leave()
    elsewhere = tmp_path / "elsewhere" / "toy"
    elsewhere.mkdir(parents=True)
    session(Stream(elsewhere), recorders[1]).leave()
    one, other = (recorder.named("open")[0][0] for recorder in recorders)
    assert one.study == other.study and one.identity != other.identity


def test_what_cannot_be_read_or_kept_is_told_and_no_more(
    stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    (stream.directory / FILE).write_text("{")
    (stream.directory / f"{FILE}.new").mkdir()
    recorder = Recorder()
    made = session(stream, recorder)
    made.follow(stream.begun(0))
    made.follow(stream.over(0))
    made.leave()
    assert recorder.named("ended") == [(0, "finished")]
    read, kept = (record.getMessage() for record in caplog.records)
    assert "trackers.json cannot be read" in read and "cannot be kept" in kept


@pytest.mark.parametrize("breaks", ["open", "reached", "close"])
def test_a_tracker_that_breaks_is_off_and_the_others_go_on(
    breaks: str, stream: Stream, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = Recorder(), Recorder(breaks)
    made = session(stream, bad, good)
    for event in (
        stream.begun(1),
        stream.reached(1, 1),
        stream.reached(1, 2),
        stream.over(1),
        stream.recommended(),
    ):
        made.follow(event)
    made.end(finished=True)
    assert good.named("reached") == [(1, 1, 10), (1, 2, 20)]
    assert good.named("close") == [(True,)]
    assert bad.calls[-1][0] == breaks
    (record,) = caplog.records
    assert record.getMessage() == (
        "The tracker number 0 is off for the rest of this search, which goes on: "
        "OSError: no space is left at http://me:***@server/"
    )


def test_a_tracker_that_hangs_is_left_behind(
    stream: Stream, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, release = lanes.threading.Event(), lanes.threading.Event()

    class Hangs(Recorder):
        def open(self, search: Search) -> None:
            entered.set()
            release.wait()

    monkeypatch.setattr(lanes, "LONG", 0.3)
    monkeypatch.setattr(lanes, "PATIENCE", 0.3)
    good, hangs = Recorder(), Hangs()
    made = session(stream, hangs, good)
    made.follow(stream.begun(1))
    entered.wait()
    try:
        made.leave()
    finally:
        release.set()
    assert good.named("close") == [(False,)]
    still, left = (record.getMessage() for record in caplog.records)
    assert "is still writing (4 steps are left). Ctrl-C leaves them out." in still
    assert "does not answer; the rest is left out." in left


def test_a_search_that_begins_again_in_this_process_ends_the_one_before(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorders = [Recorder(), Recorder()]
    made = iter(recorders)
    monkeypatch.setattr(
        "automl_transfer_trackers.tracking.opened", lambda: [Lane("recorder", next(made))]
    )
    tracking = Tracking()
    tracking.follow("toy", stream.started())
    tracking.follow("toy", stream.begun(1))
    tracking.follow("toy", stream.started())
    assert recorders[0].named("close") == [(False,)]
    tracking.follow("other", stream.begun(1))  # of a search that nobody has told of
    tracking.follow("toy", stream.recommended())
    assert recorders[1].named("close") == [(True,)]
    tracking.follow("toy", stream.begun(1))
    assert recorders[1].calls[-1][0] == "close"
