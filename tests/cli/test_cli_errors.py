"""What the user sees when something is wrong, and the exit codes."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys

import pytest

from automl_transfer.cli.group import COMMANDS
from automl_transfer.cli.options import parse_count
from automl_transfer.errors import UsageError


def test_help_lists_every_command(run):
    ran = run("-h")
    assert ran.code == 0
    for name, (_, summary) in COMMANDS.items():
        assert f"  {name} " in ran.out
        assert summary in ran.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(run, name):
    ran = run(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: automl-transfer {name}")
    assert not ran.err


def test_help_of_search_groups_its_options_and_gives_examples(run):
    ran = run("search", "--help")
    sections = [line for line in ran.out.splitlines() if line.endswith(":") and line[0] != " "]
    assert sections == [
        "What and how long:",
        "Where:",
        "What is searched over (names or globs, repeatable):",
        "How it is searched:",
        "How the data are read:",
        "Options:",
    ]
    assert "automl-transfer search --data ./images --budget 5m" in ran.out


def test_listing_commands_imports_none_of_them():
    program = (
        "import sys\n"
        "from automl_transfer.cli import main\n"
        "main(['--help'])\n"
        "heavy = {'torch', 'optuna', 'sklearn', 'streamlit', 'sqlalchemy', 'rich', 'numpy'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_version(run):
    from automl_transfer import __version__

    assert run("--version").out == f"automl-transfer {__version__}\n"


def test_a_misspelt_command_is_a_usage_error_with_a_suggestion(run):
    ran = run("serch", "--data", "x")
    assert ran.code == 2
    assert "No such command 'serch'. Did you mean 'search'" in ran.err
    assert not ran.out


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["search"], 2, "Missing option '--data'"),
        (["search", "--data", "x", "--budget", "soon"], 2, "A duration is a number with"),
        (["search", "--data", "x", "--budget", "1s"], 2, "--budget must be at least 30s"),
        (["search", "--data", "x", "--max-params", "many"], 2, "A number of parameters"),
        (["search", "--data", "x", "--max-latency", "20"], 2, "with its unit, ms or s"),
        (["search", "--data", "x", "--license", "free"], 2, "--license must be one of any"),
        (["search", "--data", "x", "--prefer", "latancy"], 2, "Did you mean 'latency'"),
        (["search", "--data", "x", "--study", "../y"], 2, "A study name is 1 to 100"),
        (["search", "--data", "x", "--portfolio", "smal"], 2, "Did you mean 'small'"),
        (["show", "nothing"], 1, "There is no study 'nothing'"),
        (["predict", "nothing", "x.png"], 1, "There is no study 'nothing'"),
        (["data", "sample", "digit", "d"], 2, "Did you mean 'digits'"),
        (["data", "sample", "digits"], 2, "A directory to write to must be given"),
        (["dashboard", "--port", "99999"], 2, "--port must be from 1 to 65535, but got 99999"),
    ],
)
def test_what_the_user_can_mend_is_one_error_with_its_exit_code(run, words, code, text):
    ran = run(*words)
    assert ran.code == code
    assert not ran.out
    assert "Traceback" not in ran.err
    assert re.search(text, ran.err)


@pytest.fixture
def broken(monkeypatch):
    """A bug in a command."""
    study = importlib.import_module("automl_transfer.study")

    def list_studies(_):
        raise ZeroDivisionError("first\n\x1b[31msecond")

    monkeypatch.setattr(study, "list_studies", list_studies)


def test_a_bug_is_one_line_and_how_to_report_it(run, broken):
    ran = run("studies")
    assert ran.code == 1
    assert ran.err.splitlines() == [
        "internal error: ZeroDivisionError: first \ufffd[31msecond",
        "This is a bug: run again with --debug for the traceback, and report it.",
    ]


def test_a_full_disk_is_no_bug(run, monkeypatch):
    study = importlib.import_module("automl_transfer.study")

    def full(_):
        raise OSError(28, "No space left on device", "studies/x")

    monkeypatch.setattr(study, "list_studies", full)
    ran = run("studies")
    assert ran.code == 1
    (line,) = ran.err.splitlines()
    assert line.startswith("error: studies/x cannot be read or written: No space left on device.")


@pytest.mark.parametrize("words", [["--debug", "studies"], ["studies", "--debug"]])
def test_debug_shows_the_traceback_wherever_it_stands(run, broken, words):
    ran = run(*words)
    assert ran.code == 1
    assert "Traceback (most recent call last)" in ran.err
    assert "\x1b" not in ran.err
    assert "run again with --debug" not in ran.err


def test_a_reader_that_goes_away_is_no_error(studies):
    program = "import sys; from automl_transfer.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "studies", str(studies)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stderr
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_plugins_can_be_switched_off(run):
    for words in (["--no-plugins"], ["--disable-plugin", "acme", "--disable-plugin", "other"]):
        ran = run(*words, "plugins", "list", "--json")
        assert ran.code == 0
        assert {row["distribution"] for row in ran.json["members"]} == {"automl-transfer"}
    assert os.environ.pop("AUTOML_TRANSFER_NO_PLUGINS") == "1"
    assert os.environ.pop("AUTOML_TRANSFER_DISABLE_PLUGINS") == "acme,other"


@pytest.mark.parametrize(
    ("text", "count"),
    [("25M", 25_000_000), ("1.5G", 1_500_000_000), ("300k", 300_000), ("7", 7), ("2b", 2 * 10**9)],
)
def test_numbers_of_parameters(text, count):
    assert parse_count(text) == count


@pytest.mark.parametrize("text", ["", "M", "-5", "0", "0.2", "1e9", "25MB", "9" * 40])
def test_what_is_no_number_of_parameters(text):
    with pytest.raises(UsageError, match="A number of parameters is at least 1"):
        parse_count(text)
