"""A supervisor works a case from the queue to closed, in a real browser; and each screen of it is for everybody."""

import re
import uuid
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from incentives.flows.assign import AssignCase, assign_case
from incentives.flows.open_case import OpenCase, open_case
from incentives.kernel.actors import Actor
from incentives.queries.people import person_by_email
from incentives.recovery.customers import CustomerGiven
from tests.browser.conftest import complaints_of
from tests.browser.screens import TABLET
from tests.browser.site import Site, serving, sign_in
from tests.browser.test_staff_pages import faults
from tests.databases import SqliteDatabases

ANA = CustomerGiven(name="Ana Ruiz", email="ana.ruiz@gmail.com", locale="en")
STORY = {"what": "Four hours on the plane, and nobody said why.", "when": "Friday"}


@pytest.fixture
def site(sqlite: SqliteDatabases) -> Iterator[Site]:
    """The application, served."""
    with serving(sqlite) as made:
        yield made


def person(site: Site, role: str) -> Actor:
    return person_by_email(core=site.core, email=f"{role}@example.com")


def opened(site: Site, order_ref: str = "MA-7731", tag: str = "flight-delayed") -> uuid.UUID:
    """Open a case that is nobody's yet."""
    wanted = OpenCase(issue_tag=tag, severity=3, customer=ANA, order_ref=order_ref, story=STORY, answers_to_come=True)
    case_id = open_case(core=site.core, actor=person(site, "frontline"), command=wanted).id
    to_team = AssignCase(case_id=case_id, reason="Whoever is there.", team="london-gates")
    assign_case(core=site.core, actor=person(site, "supervisor"), command=to_team)
    return case_id


def opens(page: Page, words: str) -> None:
    """Open what is folded away behind words."""
    page.locator("details.more > summary", has_text=words).first.tap()


def done(page: Page, words: str) -> None:
    expect(page.get_by_role("status").filter(has_text=words)).to_be_visible()


def test_from_the_queue_to_closed_and_documented(site: Site, page: Page) -> None:
    opened(site)
    sign_in(page, site, "supervisor", "/cases")
    page.get_by_role("link", name=re.compile("Nobody's")).tap()
    page.get_by_role("button", name=re.compile("Take the case Flight delayed")).tap()
    done(page, "It is yours now.")
    expect(page.locator(".answers")).to_contain_text("Four hours on the plane")

    expect(page.get_by_label("Your words")).to_have_value(re.compile("I am sorry about your flight"))
    page.get_by_role("button", name="Apologize").tap()
    done(page, "The apology is in the record.")

    page.get_by_role("link", name="Give an incentive").tap()
    expect(page.get_by_label("Email")).to_have_value("ana.ruiz@gmail.com")
    page.get_by_role("button", name="Give it").tap()
    page.wait_for_url("**/staff/given/*")
    page.go_back()
    page.get_by_role("link", name="Back to the case").tap()
    expect(page.locator("#given")).to_contain_text("Travel voucher, £25.00")

    page.get_by_role("button", name="Close the case").tap()
    expect(page.locator("#refused")).to_be_focused()
    expect(page.locator("#refused")).to_contain_text("Choose how it ended.")

    for note, button in (("Too few at the gate.", "It is reviewed"), ("Rebooked.", "It is fixed"), ("", "was asked")):
        page.get_by_label("What was done").fill(note)
        page.get_by_role("button", name=button).tap()
        done(page, "The step is done.")
    opens(page, "Name the causes")
    page.get_by_label("Cause 1").select_option("too-few-staff")
    page.get_by_role("button", name="Keep the causes").tap()
    done(page, "The causes are kept.")
    opens(page, "Add a task")
    page.get_by_label("What is to be done").fill("Call her on Monday")
    page.get_by_role("button", name="Add it").first.tap()
    done(page, "The task is on the list.")

    expect(page.locator("#close")).to_contain_text("Nothing is missing.")
    page.get_by_label("How did it end?").select_option("recovered")
    page.get_by_label("What the record should say").fill("Rebooked, with a voucher; she is content.")
    page.get_by_role("button", name="Close the case").tap()
    done(page, "The case is closed.")
    expect(page.locator("#close")).to_contain_text("Put right")
    page.goto(f"{site.url}/cases?view=closed")
    expect(page.get_by_role("link", name=re.compile("Flight delayed.*Put right"))).to_be_visible()


def test_new_trouble_shows_by_itself_and_moves_no_row(site: Site, page: Page) -> None:
    opened(site)
    sign_in(page, site, "supervisor", "/cases")
    expect(page.locator(".queue-row")).to_have_count(1)
    opened(site, "MA-8000")
    news = page.get_by_role("link", name="1 new case. Show it")
    expect(news).to_be_visible(timeout=20_000)
    expect(page.get_by_role("status")).to_have_text("1 new case.")
    expect(page.locator(".queue-row")).to_have_count(1)
    news.tap()
    expect(page.locator(".queue-row")).to_have_count(2)


def test_what_is_typed_stays_while_somebody_else_changes_the_case(site: Site, page: Page) -> None:
    case_id = opened(site)
    sign_in(page, site, "supervisor", f"/cases/{case_id}")
    page.get_by_label("Your words").fill("Half a sentence")
    to = AssignCase(case_id=case_id, reason="You know her.", owner=person(site, "admin").label)
    assign_case(core=site.core, actor=person(site, "supervisor"), command=to)
    expect(page.get_by_role("link", name=re.compile("This case was changed"))).to_be_visible(timeout=20_000)
    expect(page.get_by_label("Your words")).to_have_value("Half a sentence")


def test_a_case_is_worked_on_without_scripts(site: Site, chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    page = context.new_page()
    sign_in(page, site, "supervisor", f"/cases/{opened(site)}")
    next_step = page.locator("#next").bounding_box()
    assert next_step is not None
    assert next_step["y"] < 400, "the next step stands on top"
    page.get_by_label("Your words").fill("")
    page.get_by_role("button", name="Apologize").click()
    expect(page.get_by_role("alert")).to_contain_text("Write what you say")
    page.get_by_label("Your words").fill("I am so sorry, Ana.")
    page.get_by_label("How", exact=True).select_option("phone")
    page.get_by_role("button", name="Apologize").click()
    expect(page.get_by_text("Next: Review")).to_be_visible()
    page.get_by_text("Leave this step out").click()
    page.get_by_label("Why is it left out?").fill("Known already")
    page.get_by_role("button", name="Leave it out").click()
    expect(page.get_by_text("Next: Fix it")).to_be_visible()
    context.close()


def everything_open(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details.more').forEach(each => { each.open = true; })")


def test_the_screens_of_a_case_are_for_everybody(site: Site, page: Page, chromium: Browser) -> None:
    case_id = opened(site)
    sign_in(page, site, "supervisor", "/cases")
    found = faults(page, "queue")
    page.goto(f"{site.url}/cases?tag=flight&search=MA")
    found += faults(page, "queue filtered")
    page.goto(f"{site.url}/cases?view=closed")
    found += faults(page, "queue empty")
    page.goto(f"{site.url}/cases/{case_id}")
    everything_open(page)
    found += faults(page, "case")
    page.get_by_label("Your words").fill("")
    page.get_by_role("button", name="Apologize").click()
    found += faults(page, "case refused")
    page.goto(f"{site.url}/cases/{case_id}")
    opens(page, "Who else sees it")
    page.get_by_role("button", name="Make a link").click()
    done(page, "The link is made.")
    found += faults(page, "case shared")
    link = page.get_by_label("The address of the link").input_value()
    outside = chromium.new_context(viewport={"width": TABLET.width, "height": TABLET.height}).new_page()
    complaints = complaints_of(outside)
    for address, name in ((link, "shared"), (f"{site.url}/shared/nothing", "shared no more")):
        outside.goto(address)
        found += faults(outside, name)
    outside.context.close()
    assert complaints == []
    assert found == []
