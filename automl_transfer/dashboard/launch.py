"""How the server of the dashboard is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "server.address": "127.0.0.1",
        "server.enableXsrfProtection": "true",
        "server.enableCORS": "true",
        "server.fileWatcherType": "none",
        "server.headless": "true",
        "server.maxUploadSize": "1",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "viewer",
    }
)
"""Only this machine can reach the page, and no request leaves it. Streamlit's own defaults bind
every interface, send usage statistics and show tracebacks."""


def command_line(studies: str | Path, port: int | None = None) -> list[str]:
    """The command that serves the studies in ``studies``, for :func:`subprocess.run`.

    A storage URL is not part of it, since every process on the machine can read a command line:
    put it into the environment as ``AUTOML_TRANSFER_STORAGE``.

    Args:
        studies: Directory of the studies.
        port: TCP port; None: Streamlit's 8501, or the next free one.
    """
    words = [sys.executable, "-m", "streamlit", "run", str(Path(__file__).with_name("page.py"))]
    for option, value in OPTIONS.items():
        words += [f"--{option}", value]
    if port is not None:
        words += ["--server.port", str(port)]
    return [*words, "--", "--studies", str(studies)]
