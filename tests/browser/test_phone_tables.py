"""On a phone: tables of many columns are read without pushing them, and what may not arrive is said while typing."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from incentives.flows import publish
from incentives.flows.deliver import deliver_next
from incentives.flows.incidents import OpenIncident, open_incident
from incentives.flows.issue import IssueVoucher, issue_voucher
from incentives.kernel.actors import SYSTEM
from incentives.messages.port import WillNeverWork
from incentives.queries.people import person_by_email
from incentives.recovery.customers import CustomerGiven
from tests.browser.screens import PHONE, Screen
from tests.browser.site import Site, serving, sign_in
from tests.browser.test_staff_pages import faults
from tests.databases import SqliteDatabases
from tests.world import DEMO_CATALOG, Recording

EMAIL = "ana.ruiz@gmail.com"
# Each value's word stands before it, and nothing of the table lies beside the screen.
READ = """() => [...document.querySelectorAll('.table-stack')].map(table => ({
  pushed: table.scrollWidth > table.parentElement.clientWidth,
  cells: [...table.querySelectorAll('td')].filter(cell => cell.getBoundingClientRect().right > innerWidth).length,
  words: [...table.querySelectorAll('td')].every(cell => getComputedStyle(cell, '::before').content.includes(
    cell.dataset.word)),
}))"""


@pytest.fixture
def screen() -> Screen:
    """Look at everything on a phone."""
    return PHONE


@pytest.fixture
def site(sqlite: SqliteDatabases) -> Iterator[Site]:
    """The application, served."""
    with serving(sqlite) as made:
        yield made


def give(site: Site) -> Any:
    """Give something by email."""
    command = IssueVoucher(
        issue_tag="flight-delayed",
        incentive="meal-gbp",
        location="london",
        customer=CustomerGiven(email=EMAIL),
        channels=("email",),
    )
    return issue_voucher(
        core=site.core, actor=person_by_email(core=site.core, email="admin@example.com"), command=command
    )


def test_tables_of_many_columns_are_read_without_pushing_them(site: Site, page: Page) -> None:
    give(site)
    core, admin = site.core, person_by_email(core=site.core, email="admin@example.com")
    text = DEMO_CATALOG.read_text(encoding="utf-8").replace("name: Meridian Air & Stays", "name: Meridian", 1)
    draft = publish.propose_catalog(core=core, actor=SYSTEM, command=publish.ProposeCatalog(text=text)).number
    storm = OpenIncident(
        title="A storm", issue_tag="flight", location="london", started_at=core.clock.now() - timedelta(days=1)
    )
    incident = open_incident(core=core, actor=admin, command=storm)
    sign_in(page, site, "admin", "/sessions")
    for path in (f"/catalog/releases/{draft}/what-if?days=30", f"/incidents/{incident.id}"):
        page.goto(site.url + path)
        page.set_viewport_size({"width": PHONE.width, "height": PHONE.height})
        tables = page.evaluate(READ)
        assert tables, path
        assert [each for each in tables if each != {"pushed": False, "cells": 0, "words": True}] == [], path
        assert faults(page, path) == []


def test_what_may_not_arrive_is_said_while_the_address_is_typed(site: Site, page: Page) -> None:
    broken = Recording("email")
    broken.outcomes.append(WillNeverWork("There is no such mailbox.", "invalid"))
    site.core.senders["email"] = broken  # type: ignore[index]  # the site's own dict, whatever its type promises
    give(site)
    while deliver_next(core=site.core):
        pass
    sign_in(page, site, "frontline", "/staff/give/flight-delayed")
    page.get_by_label("Email").fill(EMAIL)
    page.get_by_label("Mobile phone").focus()
    expect(page.locator("#unreached")).to_contain_text("The last email to this address could not be delivered")
    expect(page.locator("#earlier")).to_contain_text("This customer got 1 recovery")
    assert faults(page, "may not arrive") == []
    page.locator(".dock button").click()
    page.wait_for_url("**/staff/given/*")
