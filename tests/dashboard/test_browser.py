"""What only a browser sees, with Debian's chromium. Run with ``-m browser``."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.made_studies import (
    BOLD,
    LINK,
    SCRIPT,
    MakeStudy,
    outcome,
    some_outcomes,
)

CHROMIUM = Path("/usr/bin/chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}"),
]
QUIET = "[data-testid=stApp][data-test-script-state=notRunning]"
SECONDS = 60_000
"""Milliseconds to wait for anything: the machine may be busy."""


@pytest.fixture
def address(studies: Path, repository: Path) -> Iterator[str]:
    """The address of a running server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["streamlit", "run", "app.py", "--server.port", str(port), "--"]
    log = studies.parent / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", *words, "--studies", str(studies)],
            cwd=repository,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}/_stcore/health", server, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_until_healthy(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"The server does not answer: {log.read_text()}")


@pytest.fixture
def page() -> Iterator[Any]:
    """A page that notes errors, and requests to anything but this machine."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=str(CHROMIUM),
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 1000})
        tab.set_default_timeout(SECONDS)
        errors: list[str] = []
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: errors.extend(_foreign(request.url)))
        yield tab
        assert errors == []
        assert tab.locator("[data-testid=stException]").count() == 0
        browser.close()


def _foreign(url: str) -> list[str]:
    local = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:")
    return [] if url.startswith(local) else [f"a request to {url}"]


def _open(page: Any, url: str) -> None:
    page.goto(url)
    page.wait_for_selector(QUIET)


def _table(page: Any) -> Any:
    """The table that is in sight; those in closed parts of the page are in the document too."""
    return page.locator("[data-testid=stDataFrame]:visible").first


def _cell(page: Any, column: int, row: int) -> Any:
    return _table(page).get_by_test_id(f"glide-cell-{column}-{row}")


def _click_row(page: Any, row: int) -> None:
    frame = _table(page)
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 36 + 35 * row + 17)


def test_answer_ranking_and_trial(
    page: Any, address: str, make_study: MakeStudy, tmp_path: Path
) -> None:
    make_study("done", some_outcomes(), recommended=True)
    _open(page, f"{address}/?study=done")
    answer = page.get_by_role("heading", name="Use hf/facebook/dinov2-small with the mlp head")
    playwright.expect(answer).to_contain_text("93.1 % accuracy (90.7 to 95.1 %)")
    playwright.expect(answer).to_be_in_viewport()
    playwright.expect(_cell(page, 3, 0)).to_have_text("hf/facebook/dinov2-small")
    _click_row(page, 1)
    page.wait_for_url("**trial=1")
    title = page.get_by_role("heading", name="Trial 1:")
    playwright.expect(title).to_contain_text("timm/resnet18.a1_in1k")
    playwright.expect(page.locator("canvas.marks, svg.marks").first).to_be_visible()
    _click_row(page, 2)
    page.wait_for_url("**trial=5")
    playwright.expect(page.get_by_role("heading", name="Trial 5:")).to_be_visible()
    page.go_back()
    playwright.expect(title).to_be_visible()
    page.wait_for_selector(QUIET)
    picture = tmp_path / "study.png"
    page.screenshot(path=picture, full_page=True)
    assert picture.stat().st_size > 10_000


def test_list_opens_a_study_and_back(page: Any, address: str, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    _open(page, address)
    playwright.expect(_cell(page, 1, 0)).to_have_text("done")
    _click_row(page, 0)
    page.wait_for_url("**study=done")
    playwright.expect(page.get_by_role("heading", name="Use hf/")).to_be_visible()
    page.go_back()
    playwright.expect(page.get_by_role("heading", name="1 study")).to_be_visible()


def test_a_running_search_is_followed_and_the_selection_stays(
    page: Any, address: str, make_study: MakeStudy
) -> None:
    study = make_study("going", some_outcomes(), "running")
    _open(page, f"{address}/?study=going")
    _click_row(page, 1)
    page.wait_for_url("**trial=1")
    title = page.get_by_role("heading", name="Trial 1:")
    playwright.expect(title).to_be_visible()
    study.store.append(outcome(7, value=0.99, strategy="lora"))
    study.status("running", spent=200.0)
    answer = page.get_by_role("heading", name="So far the best is")
    playwright.expect(answer).to_contain_text("99.0 %", timeout=SECONDS)
    playwright.expect(_cell(page, 5, 0)).to_have_text("lora")
    playwright.expect(title).to_be_visible()
    assert page.url.endswith("trial=1")
    study.status("interrupted", spent=210.0)
    said = page.get_by_text("The search was interrupted and nothing is lost")
    playwright.expect(said).to_be_visible(timeout=SECONDS)
    playwright.expect(page.get_by_text("automl-transfer search --data").first).to_be_visible()


def test_hostile_names_are_text(page: Any, address: str, make_study: MakeStudy) -> None:
    trials = [
        outcome(0, backbone=SCRIPT, head=BOLD, strategy=LINK),
        outcome(1, "failed", None, reason=f"{SCRIPT} {LINK}", strategy=BOLD),
    ]
    make_study("hostile", trials, recommended=True, classes=(SCRIPT, LINK, BOLD))
    for trial in (0, 1):
        _open(page, f"{address}/?study=hostile&trial={trial}")
        playwright.expect(page.get_by_role("heading", name=f"Trial {trial}:")).to_be_visible()
        answer = page.get_by_role("heading", name="Use <script>")
        playwright.expect(answer).to_contain_text(SCRIPT)
        playwright.expect(answer).to_contain_text(BOLD)
        playwright.expect(answer).to_contain_text(LINK)
        for label in ("Backbone", "Strategy"):
            box = page.get_by_role("combobox", name=label)
            box.click()
            page.wait_for_selector("[role=option]")
            page.keyboard.press("Escape")
        page.get_by_role("tab", name="Data").click()
        page.get_by_role("tab", name="Curves").click()
        page.wait_for_timeout(500)
        assert page.evaluate("window.broken") is None
        assert page.locator("a[href^='javascript']").count() == 0
        assert page.locator("[data-testid=stMain] script").count() == 0
        assert page.locator("[data-testid=stMain] .katex").count() == 0


def test_an_unknown_study_in_the_address(page: Any, address: str, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    _open(page, f"{address}/?study=..%2F..%2Fetc%2Fpasswd")
    playwright.expect(page.get_by_text("There is no study ../../etc/passwd here")).to_be_visible()
    playwright.expect(_cell(page, 1, 0)).to_have_text("done")
