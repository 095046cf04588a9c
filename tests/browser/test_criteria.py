"""A supervisor looks at what the rules did, and tries a threshold before anybody pays for it."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from incentives.flows.respond import respond_to
from incentives.recovery.customers import Contact
from tests.browser.site import Site, serving, sign_in
from tests.databases import SqliteDatabases
from tests.flows.reported import report


@pytest.fixture
def site(sqlite: SqliteDatabases) -> Iterator[Site]:
    """The application, served, in which two unhappy customers have said so."""
    with serving(sqlite) as made:
        shop: Any = SimpleNamespace(core=made.core, clock=made.core.clock)
        for number in range(2):
            contact = Contact(name="Ana", email=f"p{number}@example.com")
            piece = report(shop, number, contact=contact, tags=("flight-delayed",), source="kiosk")
            respond_to(core=made.core, feedback_ids=[piece])
        yield made


def test_from_the_catalog_to_a_rule_and_what_it_did(site: Site, page: Page) -> None:
    sign_in(page, site, "supervisor", "/catalog")
    page.get_by_role("link", name="What the rules did").tap()
    expect(page.get_by_role("heading", name="Criteria")).to_be_visible()
    page.get_by_role("link", name="Two stars or fewer").tap()
    expect(page.get_by_role("heading", name="When all of this holds")).to_be_visible()
    expect(page.get_by_text("it scored 25% or less (2 stars of 5)")).to_be_visible()
    firings = page.get_by_role("region", name="What it did").get_by_role("listitem")
    expect(firings).to_have_count(2)
    expect(firings.first).to_contain_text("kiosk, London Heathrow")
    firings.first.get_by_role("link", name="the case").tap()
    page.wait_for_url("**/cases/*")


def test_a_threshold_is_tried_and_a_mistake_is_said_at_its_field(site: Site, page: Page) -> None:
    sign_in(page, site, "supervisor", "/criteria/simulate")
    page.get_by_label("Days to look back").fill("1")
    page.get_by_role("button", name="Count").tap()
    expect(page.get_by_role("heading", name="At 2 or fewer: 2 cases a day")).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(6)
    page.get_by_label("This score or lower").fill("9")
    page.get_by_role("button", name="Count").tap()
    expect(page.get_by_role("alert")).to_contain_text("On this scale a score is 1 to 5.")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
