"""A secret in a storage URL or a password file is nowhere but where its owner has put it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from automl_transfer.artifacts import StudyDirectory
from automl_transfer.cli import main
from automl_transfer.errors import StudyError
from automl_transfer.store import Store

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

CANARY = "CANARY7f3a"
AWKWARD = f"p@{CANARY}/x:y%"
"""A password that has to be escaped in a URL."""
ESCAPED = quote(AWKWARD, safe="")
IN_FULL = "".join(f"%{ord(char):02X}" for char in CANARY)
"""As nobody writes it, but as every program reads it."""

FAILING = {
    "plain": f"postgresql://user:{CANARY}@localhost:1/db",
    "escaped": f"postgresql://user:{ESCAPED}@localhost:1/db",
    "escaped-in-full": f"postgresql://user:{IN_FULL}@localhost:1/db",
    "in-the-query": f"postgresql://localhost:1/db?user=me&password={CANARY}",
    "with-an-at": f"postgresql://user:p@{CANARY}@localhost:1/db",
    "with-a-slash": f"postgresql://user:p/{CANARY}@localhost:1/db",
    "with-a-hash": f"postgresql://user:{CANARY}#x@localhost:1/db",
    "with-a-bad-escape": f"postgresql://user:{CANARY}%ZZ@localhost:1/db",
    "no-host": f"postgresql://user:{CANARY}",
    "no-scheme": f"user:{CANARY}@localhost/db",
    "no-port": f"postgresql://user:{CANARY}@localhost:port/db",
    "no-name": f"postgresql://user:{CANARY}@local host/db",
    "no-driver": f"mysql+pymysql://user:{CANARY}@localhost/db",
    "no-dialect": f"nosuch://user:{CANARY}@localhost/db",
    "of-libpq": f"host=localhost port=1 user=me password='{CANARY} {CANARY}'",
}
"""URLs that cannot be used, as they are given or mistyped."""

SEARCH = (
    *("--trials", "2", "--epochs", "1", "--device", "cpu", "--offline", "--hold-out", "no"),
    *("--backbone", "bundled/efficientnet_lite0@96", "--head", "linear", "--head", "ridge"),
    *("--strategy", "frozen", "--strategy", "last-stages", "--study", "secret"),
)


def forms(secret: str) -> set[bytes]:
    """A secret as a file or a stream may hold it."""
    plain = {secret, quote(secret, safe=""), "".join(f"%{ord(char):02X}" for char in secret)}
    plain |= {"".join(f"%{ord(char):02x}" for char in secret), secret.encode().hex()}
    # Of what is encoded in base64, the middle is the same wherever it begins.
    plain |= {
        base64.b64encode(b"x" * shift + secret.encode())[4:-4].decode() for shift in range(3)
    }
    return {form.encode() for form in plain}


LEAKS = forms(CANARY)


def leaks(content: bytes) -> bool:
    return any(form in content for form in LEAKS)


def command_line(process: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path("/proc", process, "cmdline").read_bytes()
    return b""


def descendants(ancestor: int) -> dict[str, bytes]:
    """Command lines of all processes below one, by their numbers."""
    parents: dict[str, str] = {}
    for process in os.listdir("/proc"):
        if process.isdigit():
            with contextlib.suppress(OSError):
                status = Path("/proc", process, "stat").read_text(errors="replace")
                parents[process] = status.rpartition(")")[2].split()[1]
    found: dict[str, bytes] = {}
    waiting = [str(ancestor)]
    while waiting:
        parent = waiting.pop()
        for process in [one for one, its in parents.items() if its == parent]:
            found[process] = command_line(process)
            waiting.append(process)
    return found


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str
    started: dict[str, bytes]

    @property
    def told(self) -> str:
        return self.out + self.err


class Home:
    """All that a user has: every place to which a command might write is in it."""

    def __init__(self, root: Path, repository: Path) -> None:
        self.root = root
        self.own: set[Path] = set()
        """Files in which the user has put the secret."""
        for name in ("tmp", "work"):
            (root / name).mkdir(parents=True)
        self.work = root / "work"
        kept = ("PATH", "LANG", "OMP_NUM_THREADS", "LD_LIBRARY_PATH")
        self.environment = {name: os.environ[name] for name in kept if name in os.environ} | {
            "HOME": str(root),
            "TMPDIR": str(root / "tmp"),
            "XDG_CACHE_HOME": str(root / "cache"),
            "XDG_CONFIG_HOME": str(root / "config"),
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(repository),
            "PYTHONFAULTHANDLER": "1",
        }
        generator = np.random.default_rng(0)
        for name in ("cat", "dog"):
            (self.work / "images" / name).mkdir(parents=True)
            for place in range(12):
                pixels = generator.integers(0, 256, (5, 5, 3), dtype=np.uint8)
                image = Image.fromarray(pixels).resize((40, 40))
                image.save(self.work / "images" / name / f"{place}.png")

    def begin(self, *words: str, **variables: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "automl_transfer", *words],
            env=self.environment | variables,
            cwd=self.work,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, *words: str, **variables: str) -> Ran:
        return self.watch(self.begin(*words, **variables))

    def watch(self, process: subprocess.Popen[bytes]) -> Ran:
        """Waits for its end, and looks at what it starts meanwhile."""
        started: dict[str, bytes] = {}
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.05):
                for number, words in descendants(process.pid).items():
                    started[number] = words or started.get(number, b"")

        looking = threading.Thread(target=look)
        looking.start()
        try:
            out, err = process.communicate(timeout=100)
        finally:
            over.set()
            looking.join()
            process.kill()
        ran = Ran(code=process.returncode, out=out.decode(), err=err.decode(), started=started)
        assert not leaks(out), ran.out
        assert not leaks(err), ran.err
        assert not [words for words in started.values() if leaks(words)]
        self.require_clean_files()
        return ran

    def require_clean_files(self) -> None:
        found = [path for path in self.root.rglob("*") if path.is_file() and path not in self.own]
        assert found
        assert not [path for path in found if leaks(path.read_bytes())]
        assert not [path for path in self.root.rglob("*") if leaks(os.fsencode(path))]


@pytest.fixture
def home(tmp_path: Path, repository: Path) -> Home:
    return Home(tmp_path / "home", repository)


def test_the_secret_would_be_found(home: Home) -> None:
    """Each way of looking finds it where it is."""
    for secret in (CANARY, AWKWARD, ESCAPED, IN_FULL, base64.b64encode(CANARY.encode()).decode()):
        assert leaks(f"before {secret} after".encode())
    assert all(leaks(url.encode()) for url in FAILING.values())
    program = f"import time; time.sleep(30) # {CANARY}"
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {program!r}])"
    with subprocess.Popen([sys.executable, "-c", outer]) as process:
        try:
            until = time.monotonic() + 20
            while not (found := descendants(process.pid)) and time.monotonic() < until:
                time.sleep(0.05)
            time.sleep(0.2)
            found = descendants(process.pid)
            assert any(leaks(words) for words in found.values())
        finally:
            for number in found:
                os.kill(int(number), signal.SIGKILL)
            process.kill()
    (home.work / "x").write_text(CANARY)
    with pytest.raises(AssertionError):
        home.require_clean_files()


@pytest.mark.parametrize("name", ["plain", "escaped", "no-host"])
def test_a_search_that_cannot_reach_its_rows(home: Home, name: str) -> None:
    url = FAILING[name]
    words = ("search", "--data", "images", *SEARCH)
    for ran in (
        home.run(*words, "--storage", url, "--json", "--debug"),
        home.run(*words, AUTOML_TRANSFER_STORAGE=url),
    ):
        assert ran.code == 1
        assert "error: The " in ran.err
        assert "***" in ran.err


@pytest.mark.parametrize("name", FAILING)
def test_what_is_said_of_urls_that_cannot_be_used(
    home: Home,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As above, of many more, in this process."""
    monkeypatch.chdir(home.work)
    url = FAILING[name]
    code = main(["search", "--data", "images", *SEARCH, "--debug", "--storage", url])
    told = capsys.readouterr()
    assert code == 1
    assert "***" in told.err
    assert "internal error" not in told.err
    assert not leaks((told.out + told.err + caplog.text).encode())
    with pytest.raises(StudyError) as caught:
        Store(url, "secret")
    whole = "".join(traceback.format_exception(caught.value))
    assert "***" in whole
    assert not leaks(whole.encode())
    home.require_clean_files()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a study whose rows are at a URL with a secret, by a search that went well."""
    home = Home(tmp_path_factory.mktemp("finished") / "home", Path(__file__).parents[2])
    words = ("search", "--data", "images", *SEARCH, "--devices", "cpu,cpu")
    words = tuple(word for word in words if word not in ("--device", "cpu"))
    ran = home.run(*words, "--storage", rows_of(home))
    assert ran.code == 0, ran.err
    workers = [words for words in ran.started.values() if b"spawn_main" in words]
    assert workers, "there were other processes to look at"
    return home


def rows_of(home: Home) -> str:
    """A URL that works, of which SQLite does not know the last part."""
    return f"sqlite:///file:{home.work}/rows.db?uri=true&password={CANARY}"


def test_workers_do_not_tell(home: Home) -> None:
    """Those that a search starts, one that comes by itself, and one that is refused."""
    words = ("search", "--data", "images", *SEARCH, "--workers", "2", "--storage", rows_of(home))
    ran = home.run(*words)
    assert ran.code == 0, ran.err
    assert [words for words in ran.started.values() if b"worker" in words], "it started none"
    worker = ("worker", "--study", "secret", "--debug")
    ran = home.run(*worker, "--storage", rows_of(home))
    assert ran.code == 0 and "the search is finished" in ran.err
    ran = home.run(*worker, AUTOML_TRANSFER_STORAGE=FAILING[next(iter(FAILING))])
    assert ran.code == 1 and "***" in ran.err


def test_what_a_search_writes(finished: Home) -> None:
    directory = finished.work / "studies" / "secret"
    assert (finished.work / "rows.db").stat().st_size > 10_000, "it did use that URL"
    kept = StudyDirectory(directory).read_request()
    assert kept.storage == rows_of(finished).replace(CANARY, "***")
    names = {path.name for path in directory.iterdir()}
    assert {"study.toml", "report.html", "report.md", "recommendation.json"} <= names
    assert "***" in (directory / "study.toml").read_text()


READING = {
    "show": ("show", "secret", "--why", "--trials"),
    "show-json": ("show", "secret", "--json", "--debug"),
    "show-no-trial": ("show", "secret", "--trial", "999", "--debug"),
    "studies": ("studies",),
    "studies-json": ("studies", "--json", "--debug"),
    "predict-nothing": ("predict", "secret", "nowhere.png", "--json", "--debug"),
    "help": ("dashboard", "--help"),
    "refused": ("search", "--data", "images", *SEARCH, "--seed", "1", "--debug"),
}


@pytest.mark.parametrize("name", READING)
def test_commands_that_read_the_study(finished: Home, name: str) -> None:
    ran = finished.run(*READING[name], AUTOML_TRANSFER_STORAGE=rows_of(finished))
    fails = {"show-no-trial": 1, "predict-nothing": 4, "refused": 1}
    assert ran.code == fails.get(name, 0), ran.err
    if "--json" in READING[name] and not ran.code:
        json.loads(ran.out)


@pytest.mark.parametrize("url", ["escaped", "no-host"])
def test_commands_that_cannot_reach_the_rows(finished: Home, url: str) -> None:
    given = {"AUTOML_TRANSFER_STORAGE": FAILING[url]}
    shown = finished.run("show", "secret", "--json", "--debug", "--storage", FAILING[url])
    assert (shown.code, shown.out) == (1, "")
    assert "internal error" not in shown.err
    listed = finished.run("studies", "--json", "--debug", **given)
    assert [row["state"] for row in json.loads(listed.out)] == ["unreadable"]


def test_a_study_whose_password_is_not_given(finished: Home) -> None:
    ran = finished.run("show", "secret", "--debug")
    assert ran.code == 1
    assert "whose password is not stored" in ran.err


def test_an_interrupted_search_says_how_to_resume(home: Home) -> None:
    words = ("search", "--data", "images", *SEARCH, "--trials", "400", "--budget", "5m")
    process = home.begin(*words, AUTOML_TRANSFER_STORAGE=rows_of(home))
    lines = home.work / "studies" / "secret" / "study.toml"
    until = time.monotonic() + 40
    while not lines.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    ran = home.watch(process)
    assert ran.code == 130, ran.err
    assert "Resume with:" in ran.err
    assert "password=***" in ran.err
    assert "The password is not shown" in ran.err


def test_the_server_of_the_dashboard_is_not_started_with_it(home: Home) -> None:
    (home.work / "studies").mkdir()
    process = home.begin(
        *("dashboard", "--no-browser", "--debug", "--storage", FAILING["plain"]),
        "--port",
        str(free_port()),
    )
    until, servers = time.monotonic() + 30, dict[str, bytes]()
    while not servers and time.monotonic() < until:
        time.sleep(0.1)
        below = descendants(process.pid)
        servers = {key: words for key, words in below.items() if b"dashboard.serve" in words}
    time.sleep(2.0)
    below = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    ran = home.watch(process)
    assert servers, ran.err
    assert not [words for words in below.values() if leaks(words)]


# A server that asks for the password.


class Server:
    """Speaks enough of PostgreSQL's protocol to be told a password, and to refuse it."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, contextlib.suppress(OSError, struct.error):
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        while True:
            (length,) = struct.unpack(">I", self._read(connection, 4))
            (code,) = struct.unpack(">I", self._read(connection, 4))
            self._read(connection, length - 8)
            if code == 3 << 16:
                break
            connection.sendall(b"N")  # neither TLS nor GSSAPI
        connection.sendall(b"R" + struct.pack(">II", 8, 3))
        self._read(connection, 1)
        (length,) = struct.unpack(">I", self._read(connection, 4))
        self.told.append(self._read(connection, length - 4).rstrip(b"\0").decode())
        fields = b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user\0\0"
        connection.sendall(b"E" + struct.pack(">I", 4 + len(fields)) + fields)

    @staticmethod
    def _read(connection: socket.socket, count: int) -> bytes:
        found = b""
        while len(found) < count:
            part = connection.recv(count - len(found))
            if not part:
                raise OSError("gone")
            found += part
        return found

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def server() -> Iterator[Server]:
    pytest.importorskip("psycopg")
    made = Server()
    yield made
    made.close()


def of_passfile(home: Home, server: Server) -> tuple[str, Mapping[str, str]]:
    path = home.root / "pgpass"
    path.write_text(f"127.0.0.1:{server.port}:db:user:{CANARY}\n")
    path.chmod(0o600)
    home.own.add(path)
    return f"postgresql://user@127.0.0.1:{server.port}/db", {"PGPASSFILE": str(path)}


def of_environment(home: Home, server: Server) -> tuple[str, Mapping[str, str]]:
    return f"postgresql://user@127.0.0.1:{server.port}/db", {"PGPASSWORD": CANARY}


def of_url(home: Home, server: Server) -> tuple[str, Mapping[str, str]]:
    return f"postgresql://user:{IN_FULL}@127.0.0.1:{server.port}/db", {}


@pytest.mark.parametrize("given", [of_passfile, of_environment, of_url])
def test_a_password_that_is_refused(home: Home, server: Server, given) -> None:
    url, variables = given(home, server)
    words = ("search", "--data", "images", *SEARCH, "--json", "--debug")
    ran = home.run(*words, AUTOML_TRANSFER_STORAGE=url, **variables)
    assert server.told and set(server.told) == {CANARY}, "it was sent to the server"
    assert ran.code == 1
    assert "password authentication failed" in ran.err


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
