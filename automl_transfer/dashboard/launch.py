"""How the server of the dashboard is started."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
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


HOSTS_OPTION = "--server.allowedHosts"
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
"""Names under which a page of this machine is asked for. A page of another site that has its own
name point to this machine, and so would be let in by the browser, asks for it under that name."""


def command_line(
    studies: str | Path, port: int | None = None, hosts: Sequence[str] = LOCAL_HOSTS
) -> list[str]:
    """The command that serves the studies in ``studies``, for :func:`subprocess.run`.

    A storage URL is not part of it, since every process on the machine can read a command line:
    put it into the environment as ``AUTOML_TRANSFER_STORAGE``.

    Args:
        studies: Directory of the studies.
        port: TCP port; None: Streamlit's 8501, or the next free one.
        hosts: Names under which the page may be asked for; empty: any.
    """
    page = str(Path(__file__).with_name("page.py"))
    words = [sys.executable, "-m", "automl_transfer.dashboard.serve", "run", page]
    for option, value in OPTIONS.items():
        words += [f"--{option}", value]
    for host in hosts:
        words += [HOSTS_OPTION, host]
    if port is not None:
        words += ["--server.port", str(port)]
    return [*words, "--", "--studies", str(studies)]
