"""The server: what it takes, and what it leaves to older versions of Streamlit."""

from __future__ import annotations

import pytest
from streamlit import config

from automl_transfer.dashboard import serve
from automl_transfer.dashboard.launch import command_line


def test_an_option_that_is_not_known_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    words = command_line("studies", port=8600)[3:]
    assert serve._known(words) == words

    def unknown(key: str) -> None:
        raise RuntimeError(key)

    monkeypatch.setattr(config, "get_option", unknown)
    left = serve._known(words)
    assert "--server.allowedHosts" not in left and "localhost" not in left
    assert left[-3:] == ["--", "--studies", "studies"]
    assert "127.0.0.1" in left  # the address that it listens on


def test_the_port_is_found() -> None:
    assert serve._port(command_line("studies", port=8600)) == 8600
    assert serve._port(command_line("studies")) is None
