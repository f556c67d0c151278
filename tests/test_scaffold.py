"""``plugins new``: what it writes installs, passes every check and its own tests at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from automl_transfer.cli import main
from automl_transfer.cli.scaffold import MEMBERS
from automl_transfer.testing.kit.checking import EXPECTED


def run(*words: object, code: int = 0, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)], capture_output=True, text=True, **options
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture
def installed(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes plugins and installs them into a directory that other processes see."""
    site = tmp_path / "site"
    monkeypatch.setenv("PYTHONPATH", f"{site}:{repository}")

    def make(**names: str) -> list[Path]:
        for kind, name in names.items():
            assert main(["plugins", "new", kind, name, "--output", str(tmp_path)]) == 0
        packages = sorted(tmp_path.glob("automl-transfer-*"))
        options = ("--no-deps", "--no-build-isolation", "--quiet", "--target", site)
        run("pip", "install", *options, *packages)
        return packages

    return make


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_is_written_passes_every_check_and_its_own_tests(installed, tmp_path) -> None:
    # The guide's commands, which a test runs, check a backbone, a head and a modality.
    packages = installed(**{kind: f"zeta-{kind}/first" for kind in MEMBERS})
    assert len(packages) == len(MEMBERS)
    told = run("pytest", "-q", "-p", "no:cacheprovider", *packages, cwd=tmp_path).stdout
    # A modality comes with a backbone, and each member's checks are counted by one more test.
    wanted = sum(EXPECTED.values()) + EXPECTED["backbone"] + len(MEMBERS) + 1
    assert f"{wanted} passed" in told


def test_files_are_where_an_author_looks(tmp_path: Path, capsys) -> None:
    assert main(["plugins", "new", "head", "zeta", "--output", str(tmp_path), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["id"] == "zeta/head" and made["distribution"] == "automl-transfer-zeta"
    found = {
        str(path.relative_to(made["directory"]))
        for path in Path(made["directory"]).rglob("*")
        if path.is_file()
    }
    assert found == {
        ".github/workflows/tests.yml",
        "README.md",
        "automl_transfer_zeta/__init__.py",
        "automl_transfer_zeta/head.py",
        "automl_transfer_zeta/plugin.py",
        "pyproject.toml",
        "tests/test_head.py",
    }
    for path in Path(made["directory"]).rglob("*"):
        assert not path.is_file() or "cookiecutter" not in path.read_text()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("head", "Zeta"), "must look like 'acme' or 'acme/net'"),
        (("head", "zeta/two/three"), "must look like 'acme' or 'acme/net'"),
        (("body", "zeta"), "'body' is not one of"),
        (("head", "timm/net"), "'timm' is one of what automl-transfer ships"),
        (("head", "local"), "'local' is one of what automl-transfer ships"),
        (("modality", "zeta/net"), "comes with the network 'zeta/net'"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(tmp_path: Path, capsys, words, says) -> None:
    assert main(["plugins", "new", *words, "--output", str(tmp_path)]) == 2
    assert says in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_the_line_that_installs_it_names_a_path(tmp_path: Path, capsys, monkeypatch) -> None:
    # A bare name would be looked for in a registry, where anybody may have it.
    monkeypatch.chdir(tmp_path)
    assert main(["plugins", "new", "head", "zeta"]) == 0
    assert "pip install ./automl-transfer-zeta" in capsys.readouterr().out


def test_what_is_there_is_not_overwritten(tmp_path: Path, capsys) -> None:
    (tmp_path / "automl-transfer-zeta").mkdir()
    assert main(["plugins", "new", "head", "zeta", "--output", str(tmp_path)]) == 2
    assert "exists. Choose another name" in " ".join(capsys.readouterr().err.split())
