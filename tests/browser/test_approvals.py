"""Approvals are decided by keyboard alone and on a phone; and each of its pages is for everybody, on every screen."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from incentives.flows.approve import DecideApproval, decide_approval
from incentives.flows.delegate import CreateDelegation, create_delegation
from incentives.flows.issue import AwaitingApproval, IssueVoucher, issue_voucher
from incentives.queries.approvals import list_approvals
from incentives.queries.people import person_by_email
from incentives.recovery.customers import CustomerGiven
from tests.browser.screens import PHONE, SCREENS, TABLET
from tests.browser.site import Site, serving, sign_in
from tests.browser.test_staff_pages import faults, show_on
from tests.databases import SqliteDatabases
from tests.world import DEMO_CATALOG, person, publish_catalog

POLICY = """
approval_policies:
  - key: dear
    name: Dear vouchers
    at_least_minor: {GBP: 15000}
    levels:
      - {roles: [supervisor], needed: 1, escalate_after_minutes: 30}
      - {roles: [manager, finance], needed: 2, escalate_after_minutes: 60}
    fallback_roles: [admin]
"""
MOST_TABS = 60


@pytest.fixture
def site(sqlite: SqliteDatabases) -> Iterator[Site]:
    """The application, served, with requests that wait."""
    with serving(sqlite) as made:
        text = DEMO_CATALOG.read_text(encoding="utf-8")
        if "approval_policies:" not in text:
            publish_catalog(made.core, text + POLICY)
        person(made.core, "manager")
        yield made


def who(site: Site, role: str) -> Any:
    return person_by_email(core=site.core, email=f"{role}@example.com")


def ask(site: Site, amount_minor: int, **more: Any) -> Any:
    """Ask for more than the frontline may give."""
    command = IssueVoucher(
        issue_tag="flight-canceled", incentive="travel-voucher-gbp", amount_minor=amount_minor, location="london",
        customer=CustomerGiven(email=f"c{amount_minor}@example.com"), order_ref=f"MA {amount_minor}", **more,
    )  # fmt: skip
    asked = issue_voucher(core=site.core, actor=who(site, "frontline"), command=command)
    assert isinstance(asked, AwaitingApproval)
    return asked


def decided(site: Site) -> dict[int, str]:
    """Return what became of each request, by its amount."""
    found = list_approvals(core=site.core, actor=who(site, "admin"), status=None).items
    return {each.amount.amount_minor: each.status for each in found}


def tab_to(page: Page, name: str) -> None:
    """Press Tab until a control with a name has the focus, which must be seen wherever it is."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "() => { const at = document.activeElement, style = getComputedStyle(at), box = at.getBoundingClientRect();"
            " return {name: (at.labels?.[0] ?? at).textContent.trim().replace(/\\s+/g, ' '),"
            " seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,"
            " within: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth}; }"
        )
        assert found["seen"], f"the focus on {found['name']} cannot be seen"
        assert found["within"], f"the focus on {found['name']} is beside the screen"
        if found["name"].startswith(name):
            return
    raise AssertionError(f"no {name} within {MOST_TABS} tabs")


@pytest.mark.parametrize("screen", [TABLET, PHONE], ids=str)
def test_five_requests_are_decided_with_tab_enter_and_space_alone(site: Site, page: Page) -> None:
    amounts = [9000, 9500, 10000, 10500, 11000]
    for each in amounts:
        ask(site, each)
    sign_in(page, site, "supervisor", "/approvals")
    expect(page.get_by_role("heading", level=2, name="Travel voucher")).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    tab_to(page, "Grant Travel voucher, £90.00")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Granted.")).to_be_visible()
    # The focus is on the next request: a few tabs on stand its own buttons.
    heading = page.locator(":focus")
    expect(heading).to_have_text("Travel voucher")
    assert "£95.00" in heading.locator("xpath=ancestor::article").inner_text()
    tab_to(page, "Decline Travel voucher, £95.00")
    page.keyboard.press("Space")
    expect(page.get_by_role("status").filter(has_text="Declined.")).to_be_visible()
    assert "£100.00" in page.locator(":focus").locator("xpath=ancestor::article").inner_text()

    for amount in ("£100.00", "£110.00"):
        tab_to(page, f"Decide together with others: Travel voucher, {amount}")
        page.keyboard.press("Space")
    tab_to(page, "Grant the ticked")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="What you ticked is decided.")).to_be_visible()
    expected = {9000: "granted", 9500: "declined", 10000: "granted", 10500: "pending", 11000: "granted"}
    assert decided(site) == expected


def test_on_a_phone_everything_is_in_one_column_and_large_enough_for_a_thumb(site: Site, page: Page) -> None:
    ask(site, 9000)
    page.set_viewport_size({"width": PHONE.width, "height": PHONE.height})
    sign_in(page, site, "supervisor", "/approvals")
    card = page.locator("article").first
    boxes = [each.bounding_box() for each in card.locator(".input, .button, .check").all() if each.is_visible()]
    assert len(boxes) >= 4
    assert all(each and each["height"] >= 47.5 for each in boxes)
    fields = [each for each in card.locator(".field").all() if each.is_visible()]
    lefts = {round(box["x"]) for each in fields if (box := each.bounding_box())}
    assert len(lefts) == 1
    card.get_by_label("Amount").fill("50")
    card.get_by_label("Comment").fill("Half of it.")
    card.get_by_role("button", name="Grant").tap()
    expect(page.get_by_role("status").filter(has_text="Granted.")).to_be_visible()
    (found,) = list_approvals(core=site.core, actor=who(site, "admin"), status="granted").items
    assert found.granted
    assert (found.granted.amount_minor, found.comment) == (5000, "Half of it.")


def test_each_of_its_pages_on_each_screen(site: Site, page: Page) -> None:
    sign_in(page, site, "supervisor", "/approvals")
    found = look(page, "empty")
    dear = [ask(site, 15000 + number * 100, note="She missed her mother's birthday.") for number in range(3)]
    for each in (9000, 9500):
        ask(site, each)
    command = DecideApproval(approval_id=dear[0].approval_id, decision="grant", comment="I know them.")
    decide_approval(core=site.core, actor=who(site, "supervisor"), command=command)
    absence = CreateDelegation(
        delegate_email="supervisor@example.com",
        ends_at=site.core.clock.now() + timedelta(days=3),
        reason="On holiday.",
    )
    create_delegation(core=site.core, actor=who(site, "manager"), command=absence)
    page.goto(f"{site.url}/approvals")
    found += look(page, "much")
    page.locator("[name=amount]").first.fill("lots")
    page.get_by_role("button", name="Grant").first.click()
    expect(page.locator("#refused")).to_be_focused()
    found += look(page, "error")
    page.goto(f"{site.url}/approvals/absences")
    found += look(page, "absences")
    page.get_by_role("button", name="Arrange it").click()
    expect(page.locator("#refused")).to_be_focused()
    found += look(page, "absences-error")
    page.goto(f"{site.url}/approvals/policies")
    page.get_by_label("Amount").fill("200")
    page.get_by_role("button", name="Who decides?").click()
    expect(page.locator("#found")).to_be_focused()
    found += look(page, "policies")
    assert found == []


def look(page: Page, name: str) -> list[str]:
    """Return what is wrong with a page, and keep a picture of it where somebody wants to look."""
    folder = os.environ.get("TEST_SCREENSHOTS")
    if folder:
        for screen in SCREENS:
            show_on(page, screen)
            page.screenshot(path=Path(folder) / f"approvals-{name}-{screen}.png", full_page=True)
        show_on(page, TABLET)
    return faults(page, name)
