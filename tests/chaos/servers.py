"""A PostgreSQL server of one's own, which can be stopped and started."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
from pathlib import Path


def _free_port() -> int:
    """Of those that no outgoing connection is given: whoever tries to reach a server that is away
    at such a port would now and then reach itself, and keep the server from coming back."""
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


class Server:
    """Listens on this machine only; its files are below ``home``."""

    def __init__(self, home: Path) -> None:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        self._bin = found[-1] if found else Path(shutil.which("pg_ctl") or "/nowhere").parent
        self._data = home / "data"
        self._home = home
        self._made = 0
        self.port = _free_port()
        # The server refuses to run as root.
        self._as = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        home.mkdir(parents=True, exist_ok=True)
        if self._as:
            shutil.chown(home, "postgres")
        self._run("initdb", "-D", str(self._data), "-U", "search", "-A", "trust", "-N")
        with (self._data / "postgresql.conf").open("a") as file:
            file.write(
                f"listen_addresses = '127.0.0.1'\nport = {self.port}\nmax_connections = 400\n"
                f"unix_socket_directories = '{home}'\n"
            )

    @staticmethod
    def is_there() -> bool:
        found = list(Path("/usr/lib/postgresql").glob("*/bin"))
        return bool(found) or shutil.which("pg_ctl") is not None

    @property
    def url(self) -> str:
        return f"postgresql://search@127.0.0.1:{self.port}/postgres"

    def fresh(self) -> str:
        """The URL of a new database."""
        self._made += 1
        name = f"fresh{self._made}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "search", name)
        return f"postgresql://search@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        log = self._home / "log"
        self._run("pg_ctl", "-D", str(self._data), "-l", str(log), "-w", "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop", check=False)

    def _run(self, name: str, *words: str, check: bool = True) -> None:
        subprocess.run(
            [*self._as, str(self._bin / name), *words],
            check=check,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._home,
        )
