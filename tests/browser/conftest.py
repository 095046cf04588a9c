"""One Chromium per worker, and a page per test that complains of what people would not see."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.browser import chromium as chromium_here
from tests.browser.screens import TABLET, Screen
from tests.run_folder import RunFolder

_OURS = ("127.0.0.1", "localhost", "")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Find or install a Chromium before the first test's clock runs, for that may take minutes."""
    if any("chromium" in getattr(item, "fixturenames", ()) for item in session.items):
        _chromium_path(RunFolder.current())


def _chromium_path(run: RunFolder) -> str:
    return run.once("chromium", lambda: {"path": chromium_here.find() or chromium_here.install() or ""})["path"]


@pytest.fixture(scope="session")
def chromium(run: RunFolder) -> Iterator[Browser]:
    """A running Chromium, the same for all tests of this worker."""
    path = _chromium_path(run)
    if not path:
        pytest.fail(chromium_here.MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(chromium_here.LAUNCH_ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def screen() -> Screen:
    """The screen of ``page``; ``tests.browser.screens.on_every_screen`` runs a test on each."""
    return TABLET


@pytest.fixture
def page(chromium: Browser, screen: Screen) -> Iterator[Page]:
    """A page without cookies. A script error, a CSP violation or a foreign host fails its test."""
    context = chromium.new_context(
        viewport={"width": screen.width, "height": screen.height},
        color_scheme=screen.scheme,
        has_touch=True,
        reduced_motion="reduce",
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    complaints = complaints_of(page)
    yield page
    context.close()
    assert complaints == []


def complaints_of(page: Page) -> list[str]:
    """Return a list that grows as the page does what nobody would see."""
    complaints: list[str] = []

    def read(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            complaints.append(message.text)

    def follow(request: Request) -> None:
        if (urlsplit(request.url).hostname or "") not in _OURS:
            complaints.append(f"asked a foreign host: {request.url}")

    page.on("console", read)
    page.on("request", follow)
    page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
    return complaints
