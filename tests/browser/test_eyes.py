"""The eyes of the other browser tests: they see what is wrong, and are quiet about what is right."""

from playwright.sync_api import Browser, Page

from tests.browser.axe import axe_violations
from tests.browser.conftest import complaints_of
from tests.browser.screens import Screen, on_every_screen

_GOOD = """<!doctype html><html lang="en"><title>A voucher</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'">
<main><h1>A voucher</h1><label>Code <input name="code"></label></main></html>"""


@on_every_screen
def test_a_page_with_labels_passes_under_a_strict_csp(page: Page, screen: Screen) -> None:
    page.set_content(_GOOD)
    assert axe_violations(page) == []
    assert page.viewport_size == {"width": screen.width, "height": screen.height}
    assert page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is (screen.scheme == "dark")


def test_a_field_without_a_label_is_found(page: Page) -> None:
    page.set_content(_GOOD.replace("<label>Code ", "").replace("</label>", ""))
    (violation,) = axe_violations(page)
    assert violation.startswith("label (critical)")


def test_what_nobody_would_see_is_told(chromium: Browser) -> None:
    page = chromium.new_page()
    complaints = complaints_of(page)
    page.set_content(_GOOD.replace("</main>", "<script>1</script></main>"))
    page.goto("about:blank")
    page.set_content("<script>missing()</script><img src='http://elsewhere.invalid/pixel.png'>")
    page.close()
    assert any("Content Security Policy" in complaint for complaint in complaints)
    assert "script error: missing is not defined" in complaints
    assert "asked a foreign host: http://elsewhere.invalid/pixel.png" in complaints
