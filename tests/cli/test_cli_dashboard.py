"""How the dashboard's server is started. The server itself is a fake."""

from __future__ import annotations

import socket
import subprocess
from typing import Any

import pytest

from automl_transfer.cli.dashboard import free_port
from automl_transfer.errors import UsageError


class FakeServer:
    """Stands for the process; notes what it was started with."""

    started: tuple[list[str], dict[str, str]]
    code: int | BaseException = 0
    terminated = False

    def __init__(self, words: list[str], env: dict[str, str]) -> None:
        FakeServer.started = (words, env)

    def wait(self) -> int:
        code, FakeServer.code = FakeServer.code, 0
        if isinstance(code, BaseException):
            raise code
        return code

    def poll(self) -> int:
        return 0

    def terminate(self) -> None:
        FakeServer.terminated = True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Any:
    FakeServer.code, FakeServer.terminated = 0, False
    monkeypatch.setattr(subprocess, "Popen", FakeServer)
    return FakeServer


def test_the_storage_is_not_on_the_command_line(run, server):
    url = "postgresql://me:hunter2@db/rows"
    ran = run("dashboard", "--no-browser", "--storage", url, "--port", "9000")
    words, environment = server.started
    assert not any("hunter2" in word for word in words)
    assert environment["AUTOML_TRANSFER_STORAGE"] == url
    assert words[words.index("--server.port") + 1] == "9000"
    assert words[words.index("--server.address") + 1] == "127.0.0.1"
    assert words[-3:] == ["--", "--studies", "studies"]
    assert "http://127.0.0.1:9000" in ran.err
    assert not ran.out


def test_the_directory_can_stand_alone(run, server, tmp_path):
    ran = run("dashboard", str(tmp_path), "--no-browser")
    assert ran.code == 0
    assert server.started[0][-2:] == ["--studies", str(tmp_path)]
    twice = run("dashboard", str(tmp_path), "--studies", "other")
    assert twice.code == 2
    assert "must be given once, but got" in twice.err


def test_another_name_is_let_in_only_when_other_machines_are(run, server):
    run("dashboard", "--no-browser")
    words = server.started[0]
    hosts = [words[at + 1] for at, word in enumerate(words) if "allowedHosts" in word]
    assert hosts == ["localhost", "127.0.0.1", "::1"]


def test_other_machines_are_warned_of(run, server):
    ran = run("dashboard", "--no-browser", "--port", "9000", "--address", "0.0.0.0")
    words = server.started[0]
    assert words[words.index("--server.address") + 1] == "0.0.0.0"
    assert "warning: Whoever can reach 0.0.0.0 can read these studies." in ran.err
    assert "Whoever" not in run("dashboard", "--no-browser", "--port", "9000").err


def test_ctrl_c_is_how_it_ends(run, server):
    server.code = KeyboardInterrupt()
    assert run("dashboard", "--no-browser").code == 0
    assert server.terminated
    server.code = 3
    assert run("dashboard", "--no-browser").code == 1


def test_a_port_in_use_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", first=port, tries=50) > port
        with pytest.raises(UsageError, match="must be one of this machine with a free port"):
            free_port("127.0.0.1", first=port, tries=1)
