"""``automl-transfer dashboard``."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import threading
import time
import webbrowser
from pathlib import Path

import click
from click.core import ParameterSource

from automl_transfer.cli.options import GroupedCommand, storage_option, studies_option
from automl_transfer.errors import UsageError

FIRST_PORT = 8501
"""Streamlit's own; the next that is free is taken."""
PATIENCE = 60.0
"""Seconds within which the server must answer for a browser to be opened."""


@click.command(cls=GroupedCommand)
@click.argument("directory", required=False, metavar="[STUDIES_DIR]")
@studies_option
@storage_option
@click.option("--port", type=int, metavar="N", help="TCP port.  [default: 8501 or the next free]")
@click.option(
    "--address",
    default="127.0.0.1",
    metavar="IP",
    show_default=True,
    help="Where to listen. Any other address lets other machines read your studies.",
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.pass_context
def dashboard(
    ctx: click.Context,
    directory: str | None,
    studies: str,
    storage: str | None,
    port: int | None,
    address: str,
    no_browser: bool,
) -> None:
    """Watch and compare studies in the browser. Ctrl-C stops it.

    STUDIES_DIR is the same as --studies.
    """
    from automl_transfer.cli.streams import inform, warn
    from automl_transfer.dashboard.launch import LOCAL_HOSTS, command_line

    if directory is not None:
        if ctx.get_parameter_source("studies") is ParameterSource.COMMANDLINE:
            raise UsageError(
                f"The directory of the studies must be given once, but got {directory!r} and "
                f"--studies {studies!r}."
            )
        studies = directory
    if port is not None and not 1 <= port <= 65535:
        raise UsageError(f"--port must be from 1 to 65535, but got {port}.")
    if not Path(studies).is_dir():
        warn(f"There is no directory {studies!r} yet; the page stays empty until there is one.")
    if not _is_loopback(address):
        warn(f"Whoever can reach {address} can read these studies.")
    chosen = port or free_port(address)
    # Whoever opens it to other machines knows by which names these ask for it; we do not.
    words = command_line(studies, chosen, LOCAL_HOSTS if _is_loopback(address) else ())
    words[words.index("--server.address") + 1] = address
    environment = dict(os.environ)
    if storage:
        # Not on the command line, which every process of this machine can read.
        environment["AUTOML_TRANSFER_STORAGE"] = storage
    host = f"[{address}]" if ":" in address else address
    url = f"http://{host}:{chosen}"
    inform(f"Dashboard of {studies!r}: {url} (Ctrl-C stops it)")
    server = subprocess.Popen(words, env=environment)
    # A supervisor ends this process alone; the server must not outlive it.
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    if not no_browser:
        threading.Thread(
            target=_open_when_ready, args=(server, address, chosen, url), daemon=True
        ).start()
    try:
        code = server.wait()
    except KeyboardInterrupt:
        # The terminal has sent the signal to the server too; this is how it is meant to end.
        server.terminate()
        server.wait()
        code = 0
    ctx.exit(1 if code else 0)


def free_port(address: str, first: int = FIRST_PORT, tries: int = 100) -> int:
    """The first port from ``first`` on that nobody listens to.

    Raises:
        UsageError: The address is not one of this machine, or no port is free.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    last: OSError | None = None
    for port in range(first, first + tries):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                last = error
            else:
                return port
    raise UsageError(
        f"--address must be one of this machine with a free port from {first} to "
        f"{first + tries - 1}, but {address!r} is not ({last}). Choose others."
    )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _open_when_ready(server: subprocess.Popen[bytes], address: str, port: int, url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and server.poll() is None:
        try:
            socket.create_connection((address, port), timeout=1).close()
        except OSError:
            time.sleep(0.3)
        else:
            webbrowser.open(url)
            return
