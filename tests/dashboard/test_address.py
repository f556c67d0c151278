from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from automl_transfer.dashboard import launch
from automl_transfer.dashboard.address import studies_directory


def test_the_option_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert studies_directory([]) == Path("studies")
    monkeypatch.setenv("AUTOML_TRANSFER_STUDIES", "from-environment")
    assert studies_directory(["--other", "x"]) == Path("from-environment")
    assert studies_directory(["--studies", "given"]) == Path("given")
    assert studies_directory(["--studies=given"]) == Path("given")
    assert studies_directory(["--studies"]) == Path("from-environment")


def test_the_words_after_the_script_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["page.py", "--studies", "elsewhere"])
    assert studies_directory() == Path("elsewhere")


def test_both_ways_to_start_use_the_same_safe_options(repository: Path) -> None:
    document = tomllib.loads((repository / ".streamlit" / "config.toml").read_text())
    in_file = {
        f"{section}.{name}": str(value).lower() if isinstance(value, bool) else str(value)
        for section, options in document.items()
        for name, value in options.items()
        if name != "allowedHosts"
    }
    assert document["server"]["allowedHosts"] == list(launch.LOCAL_HOSTS)
    assert in_file == dict(launch.OPTIONS)
    assert in_file["server.address"] == "127.0.0.1"


def test_command_line_names_the_page_and_the_studies() -> None:
    words = launch.command_line("my studies", port=8765)
    script = Path(words[words.index("run") + 1])
    assert script.is_file()
    assert words[words.index("--server.port") + 1] == "8765"
    assert words[words.index("--") :] == ["--", "--studies", "my studies"]
