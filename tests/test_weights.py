"""Finding weights: the order of places, the hub and its mirrors, and life without a network."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from automl_transfer.cards import WeightsCard
from automl_transfer.errors import CardError, WeightsUnavailableError
from automl_transfer.weights import HubProbe, hub_file, locate

TENSORS = b"the bytes of a safetensors file"
SHA = hashlib.sha256(TENSORS).hexdigest()
CONFIG = json.dumps({"architecture": "resnet18"}).encode()
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Mirror:
    """A hub on this machine: what it holds, and every request that it has seen."""

    def __init__(self) -> None:
        self.files = {
            "/acme/net/resolve/main/config.json": CONFIG,
            "/acme/net/resolve/main/model.safetensors": TENSORS,
            "/acme/net/resolve/v2/model.safetensors": b"another revision",
            "/acme/pickled/resolve/main/pytorch_model.bin": b"pickle",
            f"/files/net-{SHA[:8]}.pth": TENSORS,
            "/files/plain.pth": TENSORS,
        }
        self.moved = {"/acme/old/resolve/main/model.safetensors": "/acme/net/resolve/main/"}
        self.cut_off: set[str] = set()
        self.requests: list[str] = []
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.answer(body=False)

            def do_GET(self) -> None:
                self.answer(body=True)

            def answer(self, body: bool) -> None:
                path = self.path.partition("?")[0]
                mirror.requests.append(f"{self.command} {path}")
                if path in mirror.moved:
                    name = path.rpartition("/")[2]
                    self.send_response(307)
                    self.send_header("Location", mirror.moved[path] + name)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                content = mirror.files.get(path)
                if content is None:
                    known = any(f.split("/resolve/")[0] in path for f in mirror.files)
                    self.send_response(404)
                    code = "EntryNotFound" if known else "RepoNotFound"
                    self.send_header("X-Error-Code", code)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
                self.end_headers()
                if body:
                    self.wfile.write(content[:5] if path in mirror.cut_off else content)

            def log_message(self, *arguments: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Mirror]:
    import huggingface_hub.constants

    mirror = Mirror()
    monkeypatch.setenv("HF_ENDPOINT", mirror.url)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    # The library reads the variable once, when it is imported.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    yield mirror
    mirror.server.shutdown()
    mirror.server.server_close()


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError(f"a connection was attempted: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def card(*sources: str, **fields: object) -> WeightsCard:
    return WeightsCard(sources=sources, **fields)  # type: ignore[arg-type]


def directory(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "config.json").write_bytes(CONFIG)
    (path / "model.safetensors").write_bytes(TENSORS)
    return path


def package(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / name).mkdir(parents=True)
    (root / name / "__init__.py").write_text("raise RuntimeError('imported')")
    (root / name / "net.pth").write_bytes(TENSORS)
    monkeypatch.syspath_prepend(str(root))


def prime(cache: Path, repo: str, names: dict[str, bytes]) -> Path:
    """Lays out a cache of the hub as its library does."""
    home = cache / f"models--{repo.replace('/', '--')}"
    snapshot = home / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(COMMIT)
    for name, content in names.items():
        (snapshot / name).write_bytes(content)
    return snapshot


def test_a_packaged_file_is_found_without_importing_its_package(tmp_path, monkeypatch, no_sockets):
    package(tmp_path, "acme_weights_a", monkeypatch)
    found = locate(card("package:acme_weights_a/net.pth"), offline=True, hub=HubProbe())
    assert found.path.read_bytes() == TENSORS
    assert (found.source, found.sha256) == ("package:acme_weights_a/net.pth", SHA)
    assert "acme_weights_a" not in sys.modules


def test_places_are_tried_from_the_nearest_to_the_farthest(tmp_path, monkeypatch, mirror):
    package(tmp_path / "site", "acme_weights_b", monkeypatch)
    local = f"dir:{directory(tmp_path / 'net')}"
    hub, packaged = "hf:acme/net", "package:acme_weights_b/net.pth"
    prime(tmp_path / "hf", "acme/cached", {"model.safetensors": TENSORS})

    def source(*sources: str) -> str:
        return locate(card(*sources), offline=False, hub=HubProbe()).source

    assert source(hub, "hf:acme/cached", local, packaged) == packaged
    assert source(hub, "hf:acme/cached", local) == local
    # A later source that is in a cache comes before an earlier one that must be downloaded.
    assert source(hub, "hf:acme/cached") == "hf:acme/cached"
    assert not mirror.requests
    assert source(hub) == hub
    assert mirror.requests


def test_a_directory_lacks_tensors(tmp_path):
    (tmp_path / "config.json").write_bytes(CONFIG)
    with pytest.raises(WeightsUnavailableError, match=r"the directory has no model\.safetensors"):
        locate(card(f"dir:{tmp_path}"), offline=True, hub=HubProbe())


def test_the_message_names_each_place_and_the_next_steps(tmp_path, monkeypatch, no_sockets):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    sources = ("hf:acme/net", "package:acme_absent/net.pth", f"dir:{tmp_path / 'absent'}")
    with pytest.raises(WeightsUnavailableError) as caught:
        locate(card(*sources, requires="acme-absent>=2"), offline=True, hub=HubProbe())
    text = str(caught.value)
    assert "package:acme_absent/net.pth: the package 'acme_absent' is not installed" in text
    assert f"dir:{tmp_path / 'absent'}: there is no such file or directory" in text
    assert "hf:acme/net: no model.safetensors of it in the cache" in text
    assert "hf:acme/net: not downloaded, because the search is offline" in text
    assert "pip install 'acme-absent>=2'" in text
    assert "drop --offline" in text


@pytest.mark.parametrize("source", ["ftp:there", "resnet50", "hf:", "package:a.b/c", "package:a"])
def test_a_malformed_source_is_refused(source):
    with pytest.raises(CardError, match="source"):
        locate(card(source), offline=True, hub=HubProbe())


def test_a_package_path_cannot_leave_the_package(tmp_path, monkeypatch):
    package(tmp_path, "acme_weights_c", monkeypatch)
    with pytest.raises(CardError, match=r"no '\.\.'"):
        locate(card("package:acme_weights_c/../secret"), offline=True, hub=HubProbe())


def test_a_wrong_checksum_is_told_with_both_sums(tmp_path):
    wrong = "0" * 64
    with pytest.raises(WeightsUnavailableError, match=f"must begin with {wrong}, but it is {SHA}"):
        locate(
            card(f"dir:{directory(tmp_path / 'net')}", sha256=wrong), offline=True, hub=HubProbe()
        )


def test_the_checksum_follows_a_changed_file(tmp_path):
    path = tmp_path / "net.pth"
    path.write_bytes(TENSORS)
    wanted = card(f"dir:{path}")
    assert locate(wanted, offline=True, hub=HubProbe()).sha256 == SHA
    path.write_bytes(TENSORS + b"!")
    changed = hashlib.sha256(TENSORS + b"!").hexdigest()
    assert locate(wanted, offline=True, hub=HubProbe()).sha256 == changed


def test_hub_weights_are_downloaded_once_and_then_cached(mirror):
    wanted = card("hf:acme/net", sha256=SHA)
    found = locate(wanted, offline=False, hub=HubProbe())
    assert found.path.is_dir()
    assert (found.path / "model.safetensors").read_bytes() == TENSORS
    assert (found.path / "config.json").read_bytes() == CONFIG
    seen = len(mirror.requests)
    assert locate(wanted, offline=True, hub=HubProbe()) == found
    assert len(mirror.requests) == seen


def test_a_revision_and_a_moved_repository(mirror):
    hub = HubProbe()
    other = locate(card("hf:acme/net@v2"), offline=False, hub=hub)
    assert other.sha256 == hashlib.sha256(b"another revision").hexdigest()
    # This revision has no config.json: the file of tensors alone is what there is.
    assert other.path.name == "model.safetensors"
    assert locate(card("hf:acme/old"), offline=False, hub=hub).sha256 == SHA


def test_pickled_weights_of_the_hub_are_left_alone(mirror):
    with pytest.raises(WeightsUnavailableError, match=r"has no file model\.safetensors"):
        locate(card("hf:acme/pickled"), offline=False, hub=HubProbe())
    assert not any("pytorch_model.bin" in request for request in mirror.requests)


def test_a_repository_that_does_not_exist(mirror):
    with pytest.raises(WeightsUnavailableError, match="knows no such repository"):
        locate(card("hf:acme/nothing"), offline=False, hub=HubProbe())


def test_a_primed_cache_needs_no_network(tmp_path, monkeypatch, no_sockets):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    both = {"config.json": CONFIG, "model.safetensors": TENSORS}
    snapshot = prime(tmp_path, "acme/net", both)
    assert locate(card("hf:acme/net"), offline=True, hub=HubProbe()).path == snapshot
    assert hub_file("acme/net", None, "config.json", offline=True, hub=HubProbe()).is_file()


def test_a_url_is_downloaded_checked_and_kept(mirror, tmp_path):
    url = f"url:{mirror.url}/files/net-{SHA[:8]}.pth"
    found = locate(card(url), offline=False, hub=HubProbe())
    assert found.path == tmp_path / "torch" / "hub" / "checkpoints" / f"net-{SHA[:8]}.pth"
    seen = len(mirror.requests)
    assert locate(card(url), offline=True, hub=HubProbe()).sha256 == SHA
    assert len(mirror.requests) == seen


def test_a_download_with_the_wrong_hash_leaves_nothing_behind(mirror, tmp_path):
    mirror.files["/files/net-00000000.pth"] = TENSORS
    with pytest.raises(WeightsUnavailableError, match=f"must begin with 00000000, .* {SHA}"):
        locate(card(f"url:{mirror.url}/files/net-00000000.pth"), offline=False, hub=HubProbe())
    assert not list((tmp_path / "torch").rglob("*.*"))


def test_a_download_that_is_cut_off_leaves_nothing_behind(mirror, tmp_path):
    mirror.cut_off.add("/files/plain.pth")
    with pytest.raises(WeightsUnavailableError, match=f"5 of {len(TENSORS)} bytes arrived"):
        locate(card(f"url:{mirror.url}/files/plain.pth"), offline=False, hub=HubProbe())
    assert not list((tmp_path / "torch").rglob("*.*"))


def test_a_damaged_cached_file_is_fetched_again(mirror, tmp_path):
    name = f"net-{SHA[:8]}.pth"
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / name).write_bytes(b"half")
    found = locate(card(f"url:{mirror.url}/files/{name}"), offline=False, hub=HubProbe())
    assert found.sha256 == SHA


def test_a_url_cannot_name_a_file_of_this_machine(tmp_path, monkeypatch, no_sockets):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailableError, match="must be an http or https address"):
        locate(card("url:file:///etc/hostname.pth"), offline=False, hub=HubProbe())


def test_offline_tries_no_connection(tmp_path, monkeypatch, no_sockets):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(WeightsUnavailableError, match="offline"):
        locate(
            card("hf:acme/net", "url:https://example.invalid/a.pth"), offline=True, hub=HubProbe()
        )


def test_the_environment_can_forbid_the_network(tmp_path, monkeypatch, no_sockets):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsUnavailableError, match="HF_HUB_OFFLINE forbids the network"):
        locate(card("hf:acme/net"), offline=False, hub=HubProbe())


def test_many_models_of_a_hub_that_answers_cost_one_probe(mirror):
    hub = HubProbe()
    for number in range(20):
        with pytest.raises(WeightsUnavailableError):
            locate(card(f"hf:acme/nothing-{number}"), offline=False, hub=hub)
    assert mirror.requests.count("HEAD /") == 1


def test_a_hub_that_never_answers_is_noticed_once_and_fast(tmp_path, monkeypatch):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        # It takes the connection and then says nothing: the slowest way to be absent.
        deaf.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        hub = HubProbe(timeout=0.5)
        start = time.monotonic()
        for number in range(20):
            with pytest.raises(WeightsUnavailableError, match=r"did not answer|cannot be reached"):
                locate(card(f"hf:acme/net-{number}"), offline=False, hub=hub)
        assert time.monotonic() - start < 3


def test_a_hub_that_refuses_is_told_with_the_reason(tmp_path, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://user:secret@127.0.0.1:{port}")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(WeightsUnavailableError, match="cannot be reached") as caught:
        locate(card("hf:acme/net"), offline=False, hub=HubProbe())
    assert "set HF_ENDPOINT to a mirror" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_name_look_up_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    release = threading.Event()

    def hang(*arguments: object, **options: object) -> list[object]:
        release.wait(20)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    start = time.monotonic()
    reason = HubProbe(timeout=0.3).why_not("http://hub.invalid/model")
    release.set()
    assert reason == "http://hub.invalid did not answer within 0.3 s"
    assert time.monotonic() - start < 3


def test_a_proxy_that_reaches_nobody_is_no_hub(mirror, monkeypatch):
    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(
            target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.setenv("no_proxy", "")
        reason = HubProbe().why_not("http://hub.invalid/")
        proxy.shutdown()
    assert reason == "http://hub.invalid answered with status 503"


def test_a_hub_that_dies_on_the_way_is_asked_no_more(mirror, monkeypatch):
    hub = HubProbe()
    assert hub.why_not(mirror.url) is None
    hub.give_up(f"{mirror.url}/acme/net", "it stopped answering")
    seen = len(mirror.requests)
    with pytest.raises(WeightsUnavailableError, match="it stopped answering"):
        locate(card("hf:acme/net"), offline=False, hub=hub)
    assert len(mirror.requests) == seen


def test_finding_weights_loads_no_torch():
    import subprocess

    code = (
        "import sys, automl_transfer.weights;"
        "assert not {'torch', 'huggingface_hub', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1], env=os.environ
    )
