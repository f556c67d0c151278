"""What only a browser sees, with Debian's chromium. Run with ``-m browser``."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from automl_transfer.dashboard.places import PAGES
from automl_transfer.testing.large_study import write_large_study
from tests.dashboard.browsing import (
    CHROMIUM,
    FLAGS,
    QUIET,
    SECONDS,
    is_within,
    keep_picture,
    server,
    visit,
    watched,
)
from tests.dashboard.made_studies import (
    BOLD,
    LINK,
    SCRIPT,
    MakeStudy,
    outcome,
    some_outcomes,
)

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}"),
]
PLACES = [place for place in PAGES if place != "studies"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def address(studies: Path) -> Iterator[str]:
    """The address of a running server."""
    with server(studies, studies.parent / "server.log") as url:
        yield url


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    with watched(browser) as tab:
        yield tab


def url_of(address: str, place: str, study: str, more: str = "") -> str:
    return f"{address}/{'' if place == 'verdict' else place}?study={study}{more}"


def _table(page: Any) -> Any:
    """The table that is in sight; those in closed parts of the page are in the document too."""
    return page.locator("[data-testid=stDataFrame]:visible").first


def _cell(page: Any, column: int, row: int) -> Any:
    return _table(page).get_by_test_id(f"glide-cell-{column}-{row}")


def _tick(page: Any, row: int) -> None:
    frame = _table(page)
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 36 + 35 * row + 17)


def test_from_the_answer_to_a_comparison_and_a_trial(
    page: Any, address: str, make_study: MakeStudy
) -> None:
    make_study("done", some_outcomes(), recommended=True)
    visit(page, f"{address}/?study=done")
    answer = page.get_by_role("heading", name="Use hf/facebook/dinov2-small with the mlp head")
    playwright.expect(answer).to_contain_text("93.1 % accuracy (90.7 to 95.1 %)")
    playwright.expect(answer).to_be_in_viewport()
    page.get_by_role("link", name="Leaderboard").click()
    page.wait_for_url("**/leaderboard?study=done")
    playwright.expect(_cell(page, 3, 0)).to_have_text("hf/facebook/dinov2-small")
    _tick(page, 1)
    page.wait_for_url("**ids=1")
    playwright.expect(page.get_by_role("link", name="Open trial 1")).to_be_visible()
    _tick(page, 2)
    page.wait_for_url("**ids=1%2C5")
    page.get_by_role("link", name="Compare trials 1, 5").click()
    page.wait_for_url("**/compare?study=done&ids=1%2C5")
    page.go_back()
    page.wait_for_selector(QUIET)
    playwright.expect(page.get_by_role("link", name="Compare trials 1, 5")).to_be_visible()
    visit(page, f"{address}/trial?study=done&trial=1")
    title = page.get_by_role("heading", name="Trial 1:")
    playwright.expect(title).to_contain_text("timm/resnet18.a1_in1k")
    playwright.expect(page.locator("canvas.marks, svg.marks").first).to_be_visible()


def test_ticks_stay_with_their_trials_when_the_order_changes(
    page: Any, address: str, make_study: MakeStudy
) -> None:
    make_study("done", some_outcomes(), recommended=True)
    visit(page, f"{address}/leaderboard?study=done")
    _tick(page, 0)
    page.wait_for_url("**ids=2")
    page.mouse.move(0, 0)  # over a table, its tools lie above what is there
    page.get_by_role("combobox", name="Order").click()
    page.get_by_role("option", name="trial, newest first").click()
    page.wait_for_url("**sort=trial**")
    page.wait_for_selector(QUIET)
    playwright.expect(page.get_by_role("link", name="Open trial 2")).to_be_visible()
    playwright.expect(_cell(page, 2, 0)).to_have_text("5")
    _tick(page, 0)
    page.wait_for_url("**ids=2%2C5**")


def test_a_cell_of_the_matrix_chooses_the_samples(page: Any, address: str, studies: Path) -> None:
    write_large_study(studies, "large", 200)
    visit(page, f"{address}/errors?study=large")
    chart = page.locator("canvas.marks, svg.marks").first
    chart.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    box = chart.bounding_box()
    # Four classes: the cell in the first row and the last column.
    page.mouse.click(box["x"] + 0.9 * box["width"], box["y"] + 20)
    page.wait_for_url("**true=cat**pred=**")
    playwright.expect(page.get_by_text("taken for").first).to_be_visible()
    keep_picture(page, "errors-of-one-cell")


def test_list_opens_a_study_and_back(page: Any, address: str, make_study: MakeStudy) -> None:
    make_study("done", some_outcomes(), recommended=True)
    make_study("other", some_outcomes())
    visit(page, f"{address}/studies")
    playwright.expect(_cell(page, 1, 0)).to_have_text("other")
    _tick(page, 1)
    page.wait_for_url("**study=done")
    playwright.expect(page.get_by_role("heading", name="Use hf/")).to_be_visible()
    keep_picture(page, "studies-opened")
    page.go_back()
    playwright.expect(page.get_by_role("heading", name="2 studies")).to_be_visible()
    keep_picture(page, "studies")


def test_a_running_search_is_followed_and_nothing_jumps(
    page: Any, address: str, make_study: MakeStudy
) -> None:
    study = make_study("going", some_outcomes(), "running")
    visit(page, f"{address}/leaderboard?study=going")
    playwright.expect(_cell(page, 2, 0)).to_have_text("2")
    study.store.append(outcome(7, value=0.99, strategy="lora"))
    study.status("running", spent=200.0)
    offer = page.get_by_role("button", name="Show 1 new result")
    playwright.expect(offer).to_be_visible(timeout=SECONDS)
    playwright.expect(_cell(page, 2, 0)).to_have_text("2")
    offer.click()
    playwright.expect(_cell(page, 2, 0)).to_have_text("7")
    visit(page, f"{address}/?study=going")
    study.store.append(outcome(8, value=0.995, strategy="norm-bias"))
    study.status("running", spent=205.0)
    answer = page.get_by_role("heading", name="So far the best is")
    playwright.expect(answer).to_contain_text("99.5 %", timeout=SECONDS)
    study.status("interrupted", spent=210.0)
    said = page.get_by_text("The search was interrupted and nothing is lost")
    playwright.expect(said).to_be_visible(timeout=SECONDS)
    playwright.expect(page.get_by_text("automl-transfer search --data").first).to_be_visible()


def test_hostile_names_are_text_on_every_page(
    page: Any, address: str, make_study: MakeStudy
) -> None:
    trials = [
        outcome(0, backbone=SCRIPT, head=BOLD, strategy=LINK),
        outcome(1, "failed", None, reason=f"{SCRIPT} {LINK}", strategy=BOLD),
        outcome(2, value=0.8, backbone=LINK, head=SCRIPT, strategy=BOLD),
    ]
    make_study("hostile", trials, recommended=True, classes=(SCRIPT, LINK, BOLD))
    for place in PLACES:
        for more in ("&trial=0&ids=0,2", "&trial=1&ids=../x&true=<script>&class=%3Cb%3E"):
            visit(page, url_of(address, place, "hostile", more))
            page.get_by_role("heading", level=4).first.wait_for()
            page.wait_for_timeout(300)
            assert page.evaluate("window.broken") is None
            assert page.locator("a[href^='javascript']").count() == 0
            assert page.locator("[data-testid=stMain] script").count() == 0
            assert page.locator("[data-testid=stMain] .katex").count() == 0
    visit(page, f"{address}/?study=hostile")
    answer = page.get_by_role("heading", name="Use <script>")
    for text in (SCRIPT, BOLD, LINK):
        playwright.expect(answer).to_contain_text(text)


@pytest.mark.parametrize("asked", ["..%2F..%2Fetc%2Fpasswd", "%2Fetc%2Fpasswd"])
def test_no_address_reaches_another_directory(
    page: Any, address: str, make_study: MakeStudy, asked: str
) -> None:
    made = make_study("done", some_outcomes(), recommended=True)
    outside = made.directory.parent.parent / "secret"
    made.directory.rename(outside)
    make_study("kept", some_outcomes())
    for name in (asked, "..%2Fsecret"):
        visit(page, f"{address}/?study={name}")
        playwright.expect(page.get_by_text("There is no study")).to_be_visible()
        playwright.expect(_cell(page, 1, 0)).to_have_text("kept")


def test_another_name_for_this_machine_is_refused(
    browser: Any, address: str, make_study: MakeStudy
) -> None:
    """A site that points its own name to 127.0.0.1 gets the empty shell, and no content."""
    make_study("done", some_outcomes(), recommended=True)
    flags = [*FLAGS, "--host-resolver-rules=MAP evil.example 127.0.0.1"]
    other = browser.browser_type.launch(executable_path=str(CHROMIUM), args=flags)
    try:
        tab = other.new_page()
        tab.goto(address)
        tab.get_by_role("heading", name="Use hf/").wait_for(timeout=SECONDS)
        tab.goto(address.replace("127.0.0.1", "evil.example"))
        tab.wait_for_timeout(4000)
        assert tab.get_by_role("heading", name="Use hf/").count() == 0
        assert "dinov2" not in tab.content()
    finally:
        other.close()


def test_states_of_a_study(page: Any, address: str, make_study: MakeStudy) -> None:
    visit(page, address)
    playwright.expect(page.get_by_text("There are no studies yet")).to_be_visible()
    keep_picture(page, "state-no-study")
    failed = [outcome(n, "failed", None, reason="OutOfMemoryError: 12 GiB") for n in range(3)]
    make_study("begun", [], "running", described=False)
    make_study("first", [], "running", running=[outcome(0, "running", None, reported=2)])
    make_study("running", some_outcomes(), "running")
    make_study("stalled", some_outcomes(), "running", age=4000.0)
    make_study("killed", some_outcomes(), "interrupted")
    make_study("bad", failed, "failed")
    make_study("partly", some_outcomes(), recommended=True)
    broken = make_study("newer")
    (broken.directory / "study.toml").write_text("schema = 99\n")
    gone = make_study("gone", some_outcomes())
    gone.store.close()
    (gone.directory / "study.db").unlink()
    said = {
        "begun": "no trial has begun",
        "first": "no trial has finished",
        "running": "This is provisional",
        "stalled": "The search has not written for a while",
        "killed": "nothing is lost",
        "bad": "Every trial failed",
        "partly": "that the search never saw",
        "newer": "Upgrade automl-transfer",
        "gone": "does not exist",
    }
    for name, text in said.items():
        visit(page, f"{address}/?study={name}")
        playwright.expect(page.get_by_text(text).first).to_be_visible()
        keep_picture(page, f"state-{name}")
    visit(
        page,
        f"{address}/leaderboard?study=partly&state=pruned&backbone={'hf/facebook/dinov2-small'}",
    )
    playwright.expect(page.get_by_text("No trial fits these filters")).to_be_visible()
    keep_picture(page, "state-filter-without-result")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_every_page_of_a_study_of_ten_thousand_trials(
    browser: Any, address: str, studies: Path, width: int, scheme: str
) -> None:
    write_large_study(studies, "large", 10_000)
    with watched(browser, width, color_scheme=scheme) as tab:
        for place in PLACES:
            visit(tab, url_of(address, place, "large", "&trial=5&ids=2427,7198"))
            tab.get_by_role("heading", level=4).first.wait_for()
            tab.wait_for_timeout(500)
            assert is_within(tab, width), place
            keep_picture(tab, f"{place}-{scheme}-{width}")


def test_a_real_search_from_its_beginning_to_its_end(
    page: Any, address: str, studies: Path, tmp_path: Path
) -> None:
    data = tmp_path / "digits"
    own = [sys.executable, "-m", "automl_transfer"]
    sample = ["data", "sample", "digits", str(data), "--per-class", "40"]
    subprocess.run([*own, *sample], check=True, capture_output=True)
    words = ["search", "--data", str(data), "--studies", str(studies), "--study", "real"]
    words += ["--budget", "60s", "--offline"]
    with (tmp_path / "search.log").open("wb") as log:
        search = subprocess.Popen([*own, *words], stdout=log, stderr=log)
    try:
        visit(page, address)
        playwright.expect(page.get_by_text("real").first).to_be_visible(timeout=SECONDS)
        visit(page, f"{address}/?study=real")
        provisional = page.get_by_text("So far the best is")
        playwright.expect(provisional).to_be_visible(timeout=SECONDS)
        keep_picture(page, "live-verdict")
        for place in PLACES:
            visit(page, url_of(address, place, "real", "&trial=0"))
            page.get_by_role("heading", level=4).first.wait_for()
            keep_picture(page, f"live-{place}")
        visit(page, f"{address}/?study=real")
        assert search.wait(timeout=300) == 0, (tmp_path / "search.log").read_text()[-2000:]
        # Without a touch: the page that followed the search shows the answer.
        answer = page.get_by_role("heading", name="Use bundled/")
        playwright.expect(answer).to_be_visible(timeout=SECONDS)
    finally:
        search.kill()
        search.wait()
    for place in PLACES:
        visit(page, url_of(address, place, "real", "&trial=0&ids=0,1"))
        page.get_by_role("heading", level=4).first.wait_for()
        page.wait_for_timeout(500)
        keep_picture(page, f"real-{place}")
