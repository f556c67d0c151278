"""Twelve kinds of broken plugin, installed at once: everything goes on, a line each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from tests.installing import install

CARD = """
    from automl_transfer import hookimpl
    from automl_transfer.cards import HeadCard

    @hookimpl
    def automl_transfer_heads():
        return [{cards}]
"""


def offering(*cards: str) -> str:
    return CARD.format(cards=", ".join(cards))


def head(name: str, factory: str = "nowhere.head:build") -> str:
    return f"HeadCard(id={name!r}, factory={factory!r})"


BROKEN = {
    "at-import": "raise RuntimeError('a line\\nand another \\x1b[31m')",
    "leaving": "import sys; sys.exit('goodbye')",
    "of-another-major": "AUTOML_TRANSFER_API = (2, 0)" + offering(head("of-another-major/head")),
    "of-a-newer-minor": "AUTOML_TRANSFER_API = (1, 99)" + offering(head("of-a-newer-minor/head")),
    "misspelt": offering(head("misspelt/head")).replace("transfer_heads", "transfer_hedas"),
    "unmarked": offering(head("unmarked/head")).replace("@hookimpl", ""),
    "without-hooks": "x = 1",
    "raising": offering("1 / 0"),
    "returning-nothing": offering().replace("[]", "None"),
    "of-another-kind": offering("'head'"),
    "with-a-bare-id": offering(head("bare")),
    "with-a-bad-card": offering(head("with-a-bad-card/head", factory="no factory")),
    "lacking": offering(head("lacking/head")),
}
"""What each is, by its name."""
LATE = {
    "factory-gone": offering(head("factory-gone/head")),
    "at-a-look": """
    from automl_transfer import hookimpl
    from automl_transfer.cards import ModalityCard

    @hookimpl
    def automl_transfer_modalities():
        return [ModalityCard(id="at-a-look/data", factory="at_a_look:build")]

    class Modality:
        def recognise(self, path, options):
            raise RuntimeError("no driver")

    build = Modality
    """,
}
"""Found out only when the member is used."""


@pytest.fixture
def command(site, repository, tmp_path, monkeypatch):
    """Runs the command line in a process of its own that sees all of them, and a good one."""
    for name, source in (BROKEN | LATE).items():
        requires = ["no-such-package>=3"] if name == "lacking" else []
        install(site, name, dedent(source), requires=requires)
    install(site, "good", dedent(offering(head("good/head"))))
    monkeypatch.setenv("PYTHONPATH", f"{site}:{repository}")

    def run(*words: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "automl_transfer", *map(str, words)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == code, done.stderr
        return done

    return run


def lines_of(text: str) -> dict[str, str]:
    """Lines on standard error, by the plugin of which they tell."""
    found = [line for line in text.splitlines() if "Plugin " in line]
    names = [line.partition("Plugin ")[2].split(" ")[0] for line in found]
    assert len(names) == len(set(names)), "a line each"
    return dict(zip(names, found, strict=True))


def test_what_is_broken_is_listed_with_its_reason_and_the_rest_works(command) -> None:
    listed = json.loads(command("plugins", "list", "--json").stdout)
    assert {row["plugin"] for row in listed["quarantined"]} == BROKEN.keys()
    assert all(row["reason"] and row["hint"] for row in listed["quarantined"])
    assert all(
        "\n" not in row["reason"] and "\x1b" not in row["reason"] for row in listed["quarantined"]
    )
    assert "good/head" in {row["id"] for row in listed["members"]}
    health = {row["plugin"]: row["health"] for row in listed["plugins"]}
    assert health["good"] == "ok" and health["with-a-bare-id"] == "1 set aside"
    help = command("--help")
    assert "Find the best transfer configuration" in help.stdout and not help.stderr


def test_each_costs_a_line_and_is_an_error_only_when_it_is_named(command, tmp_path: Path) -> None:
    words = ("search", "--data", tmp_path / "nowhere", "--trials", 1)
    told = lines_of(command(*words, code=4).stderr)
    assert told.keys() == BROKEN.keys()
    assert "pip install 'no-such-package>=3'" in told["lacking"]
    for name in ("at-import", "misspelt", "lacking", "with-a-bad-card"):
        named = command(*words, "--head", f"{name}/head", code=3)
        assert f"'{name}/head' cannot be used: plugin {name}" in " ".join(named.stderr.split())
    pattern = command(*words, "--head", "lacking/*", code=3)
    assert "cannot be used: plugin lacking" in " ".join(pattern.stderr.split())
    checked = command("plugins", "check", "misspelt", code=3)
    assert "it is set aside (hooks)" in " ".join(checked.stderr.split())


def test_strict_makes_an_error_of_them_and_leaving_them_out_peace(command) -> None:
    told = command("--strict-plugins", "plugins", "list", code=3).stderr
    assert "No plugin may be set aside, but:" in told
    assert lines_of(told).keys() == BROKEN.keys()
    without = [word for name in BROKEN for word in ("--disable-plugin", name)]
    command("--strict-plugins", *without, "plugins", "list")
    assert "good/head" not in command("--no-plugins", "plugins", "list").stdout


def test_a_modality_that_fails_at_a_look_is_passed_over(command, tmp_path: Path) -> None:
    command("data", "sample", "digits", tmp_path / "digits", "--per-class", 5)
    told = command("data", "check", tmp_path / "digits").stderr
    assert "'at-a-look/data' of at-a-look 1.0 cannot be used: RuntimeError: no driver" in told
    assert "It is passed over." in told
    named = command("data", "check", tmp_path / "digits", "--modality", "at-a-look/data", code=3)
    assert "at-a-look 1.0 cannot be used: AttributeError" in " ".join(named.stderr.split())


def test_a_factory_that_cannot_be_had_is_an_error_of_plugins(command) -> None:
    told = command("plugins", "check", "factory-gone/head", "--level", "shape", code=3)
    assert "FAILED" in told.stdout and "No module named 'nowhere'" in " ".join(told.stdout.split())
