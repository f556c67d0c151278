"""Streamlit's server, which loads what the pages need while the browser is still starting.

``python -m automl_transfer.dashboard.serve run ...`` takes what ``streamlit run ...`` does.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import socket
import sys
import threading
import time
from collections.abc import Sequence

from automl_transfer.dashboard.launch import HOSTS_OPTION

PATIENCE = 30.0
"""Seconds to wait for the server; without it nothing is loaded ahead."""


def main(arguments: list[str]) -> None:
    """Serves until it is stopped; does not return.

    Args:
        arguments: For Streamlit's command line.
    """
    from streamlit.web import cli

    port = _port(arguments)
    threading.Thread(target=_load_ahead, args=(port,), daemon=True).start()
    known = _known(arguments)
    sys.argv = ["streamlit", *known]
    cli.main(known, prog_name="streamlit")


def _known(arguments: Sequence[str]) -> list[str]:
    """Without what older versions of Streamlit do not know: they answer to any host name."""
    from streamlit import config

    try:
        config.get_option(HOSTS_OPTION.removeprefix("--"))
    except RuntimeError:
        places = [at for at, word in enumerate(arguments) if word == HOSTS_OPTION]
        dropped = {*places, *(at + 1 for at in places)}
        return [word for at, word in enumerate(arguments) if at not in dropped]
    return list(arguments)


def _load_ahead(port: int | None) -> None:
    """Imports the pages, and reads a study, which makes the readers for it. Whatever fails here is
    said by the page that needs it."""
    if port is None or not _listens(port):
        return
    with contextlib.suppress(Exception):
        for name in ("pyarrow", "automl_transfer.dashboard.verdict_page"):
            importlib.import_module(name)
        from automl_transfer.dashboard import answer
        from automl_transfer.dashboard.address import studies_directory
        from automl_transfer.dashboard.cached import listed, snapshot
        from automl_transfer.dashboard.snapshot import Snapshot

        for directory in list(listed(studies_directory()).values())[:1]:
            study = snapshot(directory)
            if isinstance(study, Snapshot):
                answer.is_provisional(study)  # puts the trials in order, once
        # Streamlit asks for it once, which looks through all modules; the answer is remembered.
        inspect.stack()
        importlib.import_module("automl_transfer.dashboard.leaderboard_page")


def _listens(port: int) -> bool:
    """Waits for the server, which loading anything earlier would only delay."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return True
        time.sleep(0.05)
    return False


def _port(arguments: Sequence[str]) -> int | None:
    place = arguments.index("--server.port") + 1 if "--server.port" in arguments else 0
    return int(arguments[place]) if place and arguments[place].isdigit() else None


if __name__ == "__main__":
    main(sys.argv[1:])
