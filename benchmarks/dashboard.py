"""What the dashboard takes with 10,000 trials, in a real browser on this machine.

    python benchmarks/dashboard.py --write

Makes a study of 10,000 trials, starts ``automl-transfer dashboard`` as a user would, and opens it
in Debian's Chromium (``apt-get install chromium``; ``pip install playwright``). An interaction is
timed within the browser: from the click until the page is drawn anew and its script is at rest.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _report

from automl_transfer.study import Study
from automl_transfer.testing.large_study import write_large_study

CHROMIUM = "/usr/bin/chromium"
QUIET = "[data-testid=stApp][data-test-script-state=notRunning]"
WATCH = """
window.seen = [];
document.addEventListener('click', () => window.seen.push([performance.now(), 'click']), true);
new MutationObserver(() => {
  const app = document.querySelector('[data-testid=stApp]');
  const state = app && app.getAttribute('data-test-script-state');
  if (state !== window.state) window.seen.push([performance.now(), state]);
  window.state = state;
}).observe(document, {subtree: true, childList: true, attributes: true,
  attributeFilter: ['data-test-script-state']});
"""
"""Notes clicks, and when the script of the page begins and ends."""
ENDED = """() => {
  const at = window.seen.findIndex(one => one[1] === 'click');
  return at >= 0 && window.seen.slice(at).some(one => one[1] === 'notRunning');
}"""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        studies = Path(place)
        write_large_study(studies, "large", options.trials)
        rows = [("reading all rows from the database", _reading(studies / "large"))]
        begin = [_beginning(studies, once=True) for _ in range(3)]
        rows += [
            ("server answers, from the command", statistics.median(one[0] for one in begin)),
            ("verdict in sight, from the command", statistics.median(one[1] for one in begin)),
        ]
        timed, memory = _beginning(studies, options.turns)
        rows += [(name, statistics.median(times)) for name, times in timed.items()]
    every = [value for times in timed.values() for value in times]
    slowest = max(timed, key=lambda name: statistics.median(timed[name]))
    text = _report.page(
        "The dashboard with many trials",
        f"A study of {options.trials:,} trials. The verdict is in sight "
        f"{rows[2][1]:.2f} s after the command (bar: 3 s); the median interaction takes "
        f"{1000 * statistics.median(every):.0f} ms (bar: 300 ms), the slowest kind, "
        f"*{slowest}*, {1000 * statistics.median(timed[slowest]):.0f} ms; the page process takes "
        f"{memory:.0f} MB (bar: 400 MB). Medians of {options.turns} turns.",
        _report.table(["what", "seconds"], [[name, f"{value:.3f}"] for name, value in rows]),
    )
    _report.write(Path(__file__).with_suffix(".md"), text, wanted=options.write)


def _reading(study: Path) -> float:
    store = Study(study).store
    times = []
    for _ in range(5):
        started = time.perf_counter()
        store.summaries()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _beginning(studies: Path, turns: int = 0, once: bool = False) -> Any:
    """Starts server and browser; gives when they were ready, or times what a reader does."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    words = [str(Path(sys.executable).with_name("automl-transfer")), "dashboard"]
    words += ["--studies", str(studies), "--port", str(port), "--no-browser"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(60_000)
        page.add_init_script(WATCH)
        started = time.perf_counter()
        server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _wait(f"{url}/_stcore/health")
            healthy = time.perf_counter() - started
            page.goto(url)
            page.get_by_role("heading", name="Use made/").wait_for()
            seen = time.perf_counter() - started
            if once:
                return healthy, seen
            return _interactions(page, url, turns), _memory(server.pid)
        finally:
            server.terminate()
            server.wait(timeout=30)
            browser.close()


def _interactions(page: Any, url: str, turns: int) -> dict[str, list[float]]:
    timed: dict[str, list[float]] = {}

    def time_it(name: str, act: Callable[[], Any], effect: Callable[[], Any]) -> None:
        page.wait_for_selector(QUIET)
        page.wait_for_timeout(400)
        page.evaluate("window.seen = []")
        act()
        effect()
        page.wait_for_function(ENDED)
        page.wait_for_selector(QUIET)
        seen = page.evaluate("window.seen")
        begun = next(at for at, what in seen if what == "click")
        ended = [at for at, what in seen if what == "notRunning" and at > begun]
        timed.setdefault(name, []).append((ended[0] - begun) / 1000)

    def click_cell(row: int) -> None:
        frame = page.locator("[data-testid=stDataFrame]:visible").first
        box = frame.bounding_box()
        page.mouse.click(box["x"] + 18, box["y"] + 36 + 35 * row + 17)

    def choose(box: str, option: str) -> Callable[[], None]:
        """Opens the list, and gives what chooses from it: only that is timed."""
        page.get_by_role("combobox", name=box).click()
        found = page.get_by_role("option", name=option, exact=True)
        found.wait_for()
        return found.click

    def go_to(title: str) -> None:
        where = "/?study" if title == "Verdict" else f"/{title.lower()}?"
        time_it(
            f"go to {title}",
            page.get_by_role("link", name=title, exact=True).first.click,
            lambda: page.wait_for_url(f"**{where}**"),
        )

    # In one visit, as a reader has it: the browser has seen each kind of page before.
    for place in ("leaderboard", "compare", "errors", "search", "data", ""):
        page.goto(f"{url}/{place}?study=large")
        page.get_by_role("heading", level=4).first.wait_for()
        page.wait_for_timeout(500)
    for _ in range(turns):
        go_to("Verdict")
        time_it(
            "another preference",
            page.get_by_text("size", exact=True).first.click,
            lambda: page.wait_for_url("**prefer=size"),
        )
        go_to("Leaderboard")
        page.get_by_text("1 to 50 of").wait_for()
        time_it(
            "next page of the table",
            page.get_by_role("button", name="Next").click,
            page.get_by_text("51 to 100 of").wait_for,
        )
        page.wait_for_selector(QUIET)
        time_it(
            "filter by state",
            choose("State", "pruned"),
            lambda: page.wait_for_url("**state=pruned"),
        )
        page.keyboard.press("Escape")
        page.wait_for_selector(QUIET)
        time_it(
            "another order",
            choose("Order", "time"),
            lambda: page.wait_for_url("**sort=seconds**"),
        )
        time_it(
            "tick a trial",
            lambda: click_cell(1),
            page.get_by_role("link", name="Open trial").wait_for,
        )
        for title in ("Compare", "Errors", "Search", "Data"):
            go_to(title)
    return timed


def _wait(url: str) -> None:
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.02)


def _memory(parent: int) -> float:
    """Resident memory of the server that the command has started, in MB."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    status = Path(f"/proc/{children[0]}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
