"""Shared by all tests: no network, no settings and no cache of this user, one thread a process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

# Before anything imports the libraries that read them.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True)
def _own_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in os.environ if name.startswith("AUTOML_TRANSFER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "user-cache"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The directory with ``tests``, ``pyproject.toml`` and ``README.md``."""
    return Path(__file__).parent.parent


@pytest.fixture
def sample_plugins(repository: Path) -> Path:
    """Third-party packages that tests install or put on the path."""
    return repository / "tests" / "sample_plugins"


@pytest.fixture
def site(tmp_path, monkeypatch):
    """An empty directory of installed packages, on the path."""
    directory = tmp_path / "site"
    directory.mkdir()
    monkeypatch.syspath_prepend(directory)
    before = set(sys.modules)
    yield directory
    for name in set(sys.modules) - before:
        if str(directory) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples each batch of a feature extraction in this process has had."""
    from automl_transfer.training import features

    found: list[int] = []
    passes = features.passes

    def watching(*arguments: Any, **settings: Any) -> Any:
        for chosen, values in passes(*arguments, **settings):
            found.append(len(chosen))
            yield chosen, values

    monkeypatch.setattr(features, "passes", watching)
    return found
