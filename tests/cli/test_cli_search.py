"""The search command: progress, answer, Ctrl-C. The search itself is a fake."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rich.console import Console

from automl_transfer.cli.progress.board import Board
from automl_transfer.cli.progress.lines import PAUSE, Lines
from automl_transfer.cli.progress.live import picture
from automl_transfer.errors import (
    DataError,
    EmptySpaceError,
    NothingUsableError,
    PluginError,
    UsageError,
)
from automl_transfer.events import (
    BackboneExcluded,
    BackboneScreened,
    Event,
    Note,
    Progress,
    Recommended,
    SearchStarted,
    StageStarted,
    TrialEnded,
    TrialReported,
    TrialStarted,
)
from automl_transfer.outcome import CurvePoint
from automl_transfer.request import SearchRequest
from automl_transfer.task import MAXIMISED
from tests.fabricated_study import HOSTILE, loaded, outcome, recommendation, write_study

FIRST, SECOND, FAILED = outcome(0, 0.80), outcome(1, 0.92), outcome(2)


def events(resumed: int = 0) -> list[Event]:
    row = outcome(3)
    return [
        SearchStarted(
            study="finished",
            directory="studies/finished",
            resumed=resumed,
            spent=10.0 * resumed,
            budget="5m",
            command="automl-transfer search --data /data/pets --study finished",
        ),
        StageStarted(stage="load", detail="/data/pets"),
        loaded(),
        Note(text=f"careful with {HOSTILE}", level="warning"),
        StageStarted(stage="screen", detail="acme/big"),
        BackboneExcluded(backbone="timm/huge", reason="more than --max-params"),
        Progress(what="acme/big", done=3, total=80),
        BackboneScreened(
            backbone="acme/big", score=0.87, ranker="knn", seconds=2.0, samples=80, cached=True
        ),
        StageStarted(stage="heads"),
        TrialEnded(outcome=FIRST),
        TrialEnded(outcome=SECOND),
        TrialEnded(outcome=FAILED),
        TrialStarted(number=3, stage="tune", configuration=row.configuration),
        TrialReported(
            number=3, point=CurvePoint(epoch=2, value=0.5, loss=1.0, seconds=1.0), epochs=5
        ),
    ]


class FakeSearch:
    """Stands for ``run_search``: yields events, then raises or ends."""

    def __init__(self) -> None:
        self.request: SearchRequest | None = None
        self.events: list[Event] = events()
        self.error: BaseException | None = None
        self.closed = False

    def __call__(self, request: SearchRequest, registry: Any, started: float) -> Iterator[Event]:
        self.request = request
        assert registry.heads
        try:
            yield from self.events
            if self.error is not None:
                raise self.error
        finally:
            self.closed = True


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeSearch:
    search = FakeSearch()
    search.events.append(Recommended(recommendation=recommendation([FIRST, SECOND, FAILED])))
    monkeypatch.setattr("automl_transfer.searching.run_search", search)
    return search


class Terminal(io.StringIO):
    """A standard error that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Puts a terminal in place of standard error. Called in the test: capsys resets it before."""

    def put() -> Terminal:
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm-256color")
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.delenv("NO_COLOR", raising=False)
        return stream

    return put


def test_every_option_reaches_the_search(run, fake, tmp_path):
    words = (
        "search --data pets.csv --budget 5m --trials 7 --study mine --studies out --seed 3 "
        "--device cpu --metric macro_f1 --backbone timm/* --backbone hf/a/b --head linear "
        "--strategy full --exclude lora --portfolio tiny --max-params 25M --epochs 4 --offline "
        "--modality image --path-column file --label-column kind --split-column part --root r "
        "--storage sqlite:///rows.db --max-latency 20ms --license permissive --prefer memory"
    )
    assert run(*words.split()).code == 0
    request = fake.request
    assert request is not None
    assert request.data == str(tmp_path / "pets.csv")
    assert (request.budget_seconds, request.trials, request.seed) == (300.0, 7, 3)
    assert (request.study, request.studies, request.storage) == (
        "mine",
        str(tmp_path / "out"),
        "sqlite:///rows.db",
    )
    assert (request.device, request.metric, request.portfolio) == ("cpu", "macro_f1", "tiny")
    assert request.backbones == ("timm/*", "hf/a/b")
    assert (request.heads, request.strategies) == (("linear",), ("full",))
    assert (request.exclude, request.max_params, request.epochs) == (("lora",), 25_000_000, 4)
    assert request.offline
    assert request.max_latency == pytest.approx(0.02)
    assert (request.license, request.prefer) == ("permissive", "memory")
    options = request.options
    assert (options.modality, options.root) == ("image", tmp_path / "r")
    assert (options.path_column, options.label_column, options.split_column) == (
        "file",
        "kind",
        "part",
    )


def test_the_storage_may_come_from_the_environment(run, fake, monkeypatch):
    monkeypatch.setenv("AUTOML_TRANSFER_STORAGE", "sqlite:///secret.db")
    run("search", "--data", "x")
    assert fake.request.storage == "sqlite:///secret.db"


def test_without_budget_and_trials_it_takes_ten_minutes_and_says_so(run, fake):
    ran = run("search", "--data", "x")
    assert fake.request.budget_seconds == 600
    assert "Neither --budget nor --trials is given: 10m." in ran.err
    ran = run("search", "--data", "x", "--trials", "3")
    assert fake.request.budget_seconds is None
    assert "Neither" not in ran.err


def test_the_help_knows_every_metric(run):
    text = " ".join(run("search", "--help").out.split())
    for kind, names in MAXIMISED.items():
        assert kind in text.replace("- ", "-") and ", ".join(names) in text


def test_progress_as_lines_and_the_answer_on_standard_output(run, fake):
    ran = run("search", "--data", "x")
    assert ran.code == 0
    lines = [re.sub(r"^\[\d+\.\ds\] ", "", line) for line in ran.err.splitlines()]
    assert "study finished in studies/finished, budget 5m" in lines
    assert (
        "warning: careful with \ufffd[2Jev[/b]il|`x` ## <script>alert(1)</script>\ufffd" in lines
    )
    assert "left out: timm/huge: more than --max-params" in lines
    assert "screened acme/big: knn 0.870 on 80 samples (from the cache)" in lines
    assert "trial 1 finished: acme/big + linear, full: accuracy 92.0 % (12s, best so far)" in lines
    assert "trial 2 failed: acme/small + linear, frozen: error: the disk is full (12s)" in lines
    assert "\x1b" not in ran.err + ran.out
    assert "Use acme/big with the head linear and the freeze strategy full: 91.0 %" in ran.out
    assert "automl-transfer predict" in ran.out
    assert "trial" not in ran.out.splitlines()[0]  # no progress on standard output
    assert fake.closed


def test_quiet_leaves_warnings_and_the_answer(run, fake):
    ran = run("search", "--data", "x", "--quiet")
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith("warning: careful with \ufffd[2J")
    assert "Use acme/big" in ran.out


def test_json_is_all_there_is_on_standard_output(run, fake):
    value = run("search", "--data", "x", "--json").json
    assert value["winner"]["configuration"]["backbone"] == "acme/big"
    assert value["test"]["value"] == 0.91


@pytest.mark.parametrize("on_terminal", [False, True])
def test_ctrl_c_ends_with_the_line_that_resumes(run, fake, terminal, on_terminal):
    stream = terminal() if on_terminal else None
    fake.events = events()
    fake.error = KeyboardInterrupt()
    ran = run("search", "--data", "x", "--budget", "5m")
    err = stream.getvalue() if stream else ran.err
    assert ran.code == 130
    assert not ran.out
    assert "Interrupted after 0s: 2 finished, 0 pruned, 1 failed." in err
    assert "Best so far: acme/big + linear, full, accuracy 92.0 % (validation)." in err
    assert "Resume with:\n  automl-transfer search --data /data/pets --study finished" in err
    assert fake.closed
    if stream:
        assert err.index("\x1b[?25h") < err.index("Interrupted")  # the cursor is back


def test_an_interrupt_while_drawing_closes_the_study_too(run, fake, monkeypatch):
    def follow(self: Lines, event: Event) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Lines, "follow", follow)
    assert run("search", "--data", "x").code == 130
    assert fake.closed


def test_a_password_is_not_in_the_line_that_resumes(run, fake):
    fake.events = []
    fake.error = KeyboardInterrupt()
    ran = run("search", "--data", "x", "--storage", "postgresql://me:hunter2@db/rows")
    assert "hunter2" not in ran.err
    assert "--storage 'postgresql://me:***@db/rows'" in ran.err
    assert "give the URL in AUTOML_TRANSFER_STORAGE" in ran.err


@pytest.mark.parametrize(
    ("error", "code"), [(UsageError, 2), (PluginError, 3), (DataError, 4), (EmptySpaceError, 5)]
)
def test_each_kind_of_trouble_has_its_exit_code(run, fake, error, code):
    fake.events, fake.error = events(), error(f"The rule, but got {HOSTILE}.")
    ran = run("search", "--data", "x")
    assert (ran.code, ran.out) == (code, "")
    assert "\nerror: The rule, but got \ufffd[2Jev[/b]il" in ran.err
    assert "\x1b" not in ran.err


def test_nothing_usable_is_an_error(run, fake):
    fake.events, fake.error = events(), NothingUsableError("None of 3 trials finished.")
    ran = run("search", "--data", "x")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.splitlines()[-1] == "error: None of 3 trials finished."
    fake.error = None
    ran = run("search", "--data", "x")
    assert ran.code == 1
    assert "A search must end with an answer, but this one has none" in ran.err


def test_earlier_trials_are_among_the_best_of_a_resumed_search(run, fake, tmp_path):
    write_study(tmp_path / "studies", "finished", [outcome(7, 0.99)])
    fake.events, fake.error = events(resumed=1)[:-5], KeyboardInterrupt()
    ran = run("search", "--data", "x", "--study", "finished", "--budget", "5m")
    assert "resumed with 1 trial" in ran.err
    assert "Interrupted after 10s: 1 finished" in ran.err
    assert "accuracy 99.0 %" in ran.err


def test_progress_on_a_terminal_is_a_live_table(run, fake, terminal):
    stream = terminal()
    ran = run("search", "--data", "x", "--budget", "5m")
    assert ran.code == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "left out: timm/huge: more than --max-params" in shown
    assert "trial 2 failed" in shown
    assert "trials: " in shown
    assert "\x1b[2Jev" not in stream.getvalue()  # only rich's own escape sequences
    assert "ev[/b]il|`x`" in shown
    assert "Use acme/big" in ran.out
    assert "Use acme/big" not in shown


def board_at(seconds: float, budget: float | None = 300.0) -> Board:
    clock = iter([0.0])
    board = Board(budget, now=lambda: next(clock, seconds))
    for event in events():
        board.follow(event)
    return board


def drawn(board: Board, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(picture(board, width))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    return str(text)


def test_the_live_table_shows_time_trials_the_best_and_the_running_one():
    text = drawn(board_at(60.0))
    assert "finished: 1m used, 4m left" in text
    assert "heads" in text
    assert "trials: 2 finished, 0 pruned, 1 failed" in text
    ranks = [line.split()[:2] for line in text.splitlines() if line.strip()[:1].isdigit()]
    assert ranks == [["1", "acme/big"], ["2", "acme/small"]]
    assert "running trial 3: acme/big + linear, full: epoch 2 of 5, accuracy 50.0 %" in text
    assert "3 of 5m done" in drawn(board_at(60.0, budget=None))
    assert "0.0s left" in drawn(board_at(400.0))


def test_the_live_table_fits_a_narrow_terminal():
    lines = drawn(board_at(60.0), width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert any("acme/small" in line for line in lines)
    assert not any("epochs" in line for line in lines)


def test_long_steps_get_few_lines():
    clock = [0.0]
    written: list[str] = []
    lines = Lines(Board(None, now=lambda: clock[0]), written.append)
    for second in range(int(4 * PAUSE) + 1):
        clock[0] = float(second)
        lines.follow(Progress(what="reading", done=second, total=100))
    assert written == [
        f"[{at:.1f}s] reading: {at:.0f} of 100"
        if at < 10
        else f"[{at:.0f}s] reading: {at:.0f} of 100"
        for at in (PAUSE, 2 * PAUSE, 3 * PAUSE, 4 * PAUSE)
    ]


def test_studies_in_the_data_are_refused_before_anything_is_written(run, fake, tmp_path):
    (tmp_path / "cat").mkdir()
    ran = run("search", "--data", ".")
    assert ran.code == 2
    assert "The user's data are never written to: --studies must lie outside --data" in ran.err
    assert fake.request is None
    assert [path.name for path in tmp_path.iterdir()] == ["cat"]
