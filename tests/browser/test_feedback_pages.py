"""Feedback as people work with it: trouble shows by itself, is reported in a minute, and what waits is mended."""

from collections.abc import Iterator

import orjson
import pytest
from playwright.sync_api import Browser, Page, expect

from incentives.flows.take_in import Raw, TakeIn, take_in
from incentives.kernel.actors import Actor
from incentives.queries.people import person_by_email
from tests.browser.conftest import complaints_of
from tests.browser.screens import TABLET
from tests.browser.site import Site, serving, sign_in
from tests.browser.test_staff_pages import faults
from tests.databases import SqliteDatabases

MARKS = "\u202eevil\u202c \u05e9\u05dc\u05d5\u05dd"


@pytest.fixture
def site(sqlite: SqliteDatabases) -> Iterator[Site]:
    """The application, served."""
    with serving(sqlite) as made:
        yield made


def report(site: Site, external_id: str, score: int, comment: str) -> None:
    """Let a till report."""
    actor: Actor = person_by_email(core=site.core, email="supervisor@example.com")
    body = orjson.dumps({"external_id": external_id, "kind": "survey", "score": score, "scale": "stars_5"})
    piece = TakeIn(
        source="till", external_id=external_id, score=score, scale="stars_5", comment=comment, raw=Raw(body=body)
    )
    take_in(core=site.core, actor=actor, commands=[piece])


def test_trouble_arrives_is_reported_and_what_waits_is_mended(site: Site, page: Page, chromium: Browser) -> None:
    sign_in(page, site, "supervisor", "/feedback")
    expect(page.get_by_text("Nothing was reported yet")).to_be_visible()
    found = faults(page, "empty feed")
    report(site, "praise", 5, f"Lovely {MARKS}")
    # By itself: nobody touched the page, which asks at least every ten seconds.
    expect(page.get_by_text("Lovely")).to_be_visible(timeout=15_000)

    tablet = chromium.new_context(viewport={"width": TABLET.width, "height": TABLET.height}, has_touch=True).new_page()
    complaints = complaints_of(tablet)
    sign_in(tablet, site, "frontline", "/feedback")
    tablet.get_by_role("link", name="Report trouble").tap()
    found += faults(tablet, "report: tags")
    tablet.get_by_role("link", name="Flight delayed").tap()
    tablet.get_by_role("button", name="Report it").tap()
    expect(tablet.get_by_role("alert")).to_contain_text("Say in a sentence what happened.")
    found += faults(tablet, "report refused")
    tablet.get_by_label("What happened?").fill("No crew for an hour")
    tablet.get_by_label("Who was involved?").fill("Gate B12")
    tablet.get_by_role("button", name="Report it").tap()
    tablet.wait_for_url("**/cases/*")
    tablet.context.close()
    expect(page.get_by_text("No crew for an hour")).to_be_visible(timeout=15_000)

    report(site, "bad", 9, "Nobody came")
    page.get_by_role("link", name="Waiting").click()
    expect(page.get_by_text("On the scale stars_5 a score is 1 to 5.")).to_be_visible()
    page.get_by_text("What was sent").click()
    found += faults(page, "waiting")
    page.get_by_label("Issue tag").select_option("flight-delayed")
    page.get_by_label("Score").fill("1")
    page.get_by_role("button", name="Take it in").click()
    expect(page.get_by_text("It is understood now")).to_be_visible()
    expect(page.get_by_role("heading", name="Nothing is waiting")).to_be_visible()
    found += faults(page, "empty queue")
    assert found == []
    assert complaints == []


def test_the_other_pages_fit_every_screen(site: Site, page: Page) -> None:
    sign_in(page, site, "supervisor", "/feedback/try")
    found = faults(page, "try")
    payload = {"external_id": "1", "kind": "survey", "score": 1, "scale": "stars_5", "issue_tags": ["flight-delayed"]}
    page.get_by_label("What it sends").fill(orjson.dumps(payload | {"location": "london"}).decode())
    page.get_by_label("Source").select_option("")
    page.get_by_role("button", name="See what it means").click()
    expect(page.get_by_text("It would be understood")).to_be_visible()
    found += faults(page, "tried")
    page.goto(f"{site.url}/feedback/unmapped")
    found += faults(page, "unmapped")
    report(site, "piece", 2, f"Long {'word' * 60} {MARKS}")
    page.goto(f"{site.url}/feedback")
    found += faults(page, "feed")
    page.locator("main .list-row").first.click()
    found += faults(page, "piece")
    assert found == []
