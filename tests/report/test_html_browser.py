"""The HTML report in a browser, Debian's chromium. Run with ``-m browser``."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl_transfer.report.html import render
from tests.report.test_html import EVIL, material

CHROMIUM = Path("/usr/bin/chromium")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}"),
]


@pytest.fixture
def browser():
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(
            executable_path=str(CHROMIUM),
            args=["--no-sandbox", "--disable-gpu", "--no-first-run"],
        )
        yield found
        found.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 420])
def test_nothing_is_asked_for_and_nothing_is_amiss(browser, tmp_path, scheme, width):
    file = tmp_path / "report.html"
    name = EVIL[1]
    made = material(classes=(name, EVIL[3], EVIL[4]), notes=EVIL)
    file.write_text(render(made), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.set_default_timeout(60_000)
    amiss: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: amiss.append(message.text))
    page.on("pageerror", lambda error: amiss.append(str(error)))
    page.on("dialog", lambda dialog: amiss.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
    assert amiss == []
    # The page itself never scrolls sideways: wide tables do, within it.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    shown = page.locator(".gallery img")
    assert shown.evaluate("one => one.naturalWidth") == 1
    colours = page.evaluate(
        "() => ['body', 'svg text'].map(one => getComputedStyle(document.querySelector(one)))"
        ".map((style, at) => at ? style.fill : style.color)"
    )
    assert colours[0] == colours[1]  # charts are written in the colour of the page
    playwright.expect(page.get_by_role("heading", name="Finalists")).to_be_visible()
    page.get_by_role("link", name="Screening").or_(page.get_by_role("link", name="Cost")).click()
    assert page.url.endswith("#cost")
    # The policy holds even for what the page would do by itself.
    assert (
        page.evaluate("() => fetch('data:text/plain,x').then(() => 'done', () => 'refused')")
        == "refused"
    )
