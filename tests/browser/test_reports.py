"""The reports in a browser: everybody can read them, on every screen, and an alert becomes an incident by one press."""

import re
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect
from werkzeug.serving import make_server

from bench.trouble import SMALL
from bench.trouble_rows import fill
from incentives.kernel.clock import FixedClock
from tests.browser.axe import axe_violations
from tests.browser.screens import PHONE, TABLET, Screen
from tests.browser.site import Site, not_yet, sign_in
from tests.databases import SqliteDatabases
from tests.world import make_core, person
from wsgi import create_app

PATHS = (
    "/reports", "/reports/funnel", "/reports/times", "/reports/trends", "/reports/effectiveness", "/reports/return",
    "/reports/load", "/incidents",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(sqlite: SqliteDatabases) -> Iterator[Site]:
    """A small year of trouble, served on a day on which something spikes."""
    database_url = sqlite.new()
    server = make_server("127.0.0.1", 0, not_yet, threaded=True)
    url = f"http://127.0.0.1:{server.server_port}"
    core = make_core(database_url, clock=FixedClock(SMALL.start + timedelta(days=93)), INCENTIVES_PUBLIC_URL=url)
    fill(core, SMALL)
    person(core, "manager")
    server.app = create_app(core)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Site(url=url, core=core)
    server.shutdown()
    thread.join()
    server.server_close()
    core.database.dispose()
    sqlite.drop(database_url)


@pytest.mark.parametrize("screen", [TABLET, PHONE], ids=str)
def test_reports_can_be_read_by_everybody(page: Page, site: Site, screen: Screen) -> None:
    sign_in(page, site, "manager")
    for path in PATHS:
        page.goto(site.url + path)
        assert axe_violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= screen.width, path


def test_an_alert_becomes_an_incident(page: Page, site: Site) -> None:
    sign_in(page, site, "manager")
    page.goto(f"{site.url}/reports")
    page.get_by_role("button", name=re.compile("Open an incident *: *Cold food at Place 2")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Cold food at Place 2")
    expect(page.get_by_role("button", name="Close the incident")).to_be_visible()
    page.goto(f"{site.url}/reports")
    page.get_by_role("link", name="Recovered").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Recovered")
