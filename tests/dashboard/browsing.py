"""A server of the dashboard, and a browser that notes what should not happen."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = Path("/usr/bin/chromium")
QUIET = "[data-testid=stApp][data-test-script-state=notRunning]"
SECONDS = 60_000
"""Milliseconds to wait for anything: the machine may be busy."""
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SCREENSHOTS = os.environ.get("AUTOML_TRANSFER_SCREENSHOTS")
"""Where pictures of the pages are kept; CI sets it. Read before a test may change the
environment."""


@contextmanager
def server(studies: Path, log: Path, words: list[str] | None = None) -> Iterator[str]:
    """Serves the studies; gives the address.

    Args:
        studies: Directory of the studies.
        log: File for what the server prints.
        words: The command, with ``{port}`` for the port; None: that of the product.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    usual = ["-m", "automl_transfer", "dashboard", "--studies", str(studies)]
    usual += ["--port", "{port}", "--no-browser"]
    command = [sys.executable, *(word.format(port=port) for word in words or usual)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}/_stcore/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"The server does not answer: {log.read_text()}")


@contextmanager
def watched(browser: Any, width: int = 1280, **options: Any) -> Iterator[Any]:
    """A tab in which nothing may fail, and which may ask nobody but this machine."""
    tab = browser.new_page(viewport={"width": width, "height": 1000}, **options)
    tab.set_default_timeout(SECONDS)
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda request: errors.extend(_foreign(request.url)))
    yield tab
    assert errors == []
    assert tab.locator("[data-testid=stException]").count() == 0
    assert tab.get_by_text("cannot be drawn").count() == 0
    tab.close()


def _foreign(url: str) -> list[str]:
    local = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:")
    return [] if url.startswith(local) else [f"a request to {url}"]


def visit(page: Any, url: str) -> None:
    """Opens a page and waits until it is drawn."""
    page.goto(url)
    page.wait_for_selector(QUIET)


def keep_picture(page: Any, name: str) -> None:
    """Keeps a picture of the whole page, where pictures are kept."""
    if not SCREENSHOTS:
        return
    size = page.viewport_size
    height = page.evaluate("document.querySelector('[data-testid=stMain]')?.scrollHeight ?? 1000")
    page.set_viewport_size({"width": size["width"], "height": min(int(height) + 40, 5000)})
    page.wait_for_timeout(300)
    Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
    page.screenshot(path=Path(SCREENSHOTS) / f"{re.sub('[^a-z0-9-]+', '-', name.lower())}.png")
    page.set_viewport_size(size)


def is_within(page: Any, width: int) -> bool:
    """Whether nothing of the page lies beside the window."""
    return bool(page.evaluate(f"document.documentElement.scrollWidth <= {width}"))
