"""Each staff page on each screen: nothing for axe to find, nothing too small, nothing beside the screen."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.browser.axe import axe_violations
from tests.browser.screens import SCREENS, TABLET, Screen
from tests.browser.site import Site, serving, sign_in
from tests.databases import SqliteDatabases

CONTROLS = "main a.button, main button, main .input, .tile, .choice, .segment, .nav-item, .check, summary, .menu-item"
BUDGETS = ("/finance/budgets/london-month", "/finance/requests", "/finance/requests/new?budget=london-month")
SAFETY = ("/safeguards", "/safeguards/reviews", "/safeguards/lists", "/safeguards/unreachable")
MONEY = ("/finance", "/finance?check", "/finance/audit", "/vouchers", *BUDGETS)
MANY = ("/bulk", "/incidents")
CATALOG = ("/catalog", "/catalog/releases", "/catalog/releases/1")
DECIDING = ("/approvals", "/approvals/absences", "/approvals/policies")
PATHS = (*SAFETY, *DECIDING, "/scan", "/cases", *MONEY, *MANY, *CATALOG, "/sessions", "/nowhere")
# A tablet zoomed to 200 percent is 590 CSS pixels wide; 320 is the least (WCAG 2.2, 1.4.10).
ZOOMED = ((320, 640), (590, 410))
AMOUNT = "[name='amount-travel-voucher-gbp']"


@pytest.fixture
def site(sqlite: SqliteDatabases) -> Iterator[Site]:
    """The application, served."""
    with serving(sqlite) as made:
        yield made


def faults(page: Page, name: str) -> list[str]:
    """Return what is wrong with the page as it stands, on every screen; it ends as a light tablet again."""
    found = []
    for screen in SCREENS:
        show_on(page, screen)
        found += [f"{name} on {screen}: {each}" for each in [*axe_violations(page), *misfits(page)]]
    for width, height in ZOOMED:
        page.set_viewport_size({"width": width, "height": height})
        found += [f"{name} at {width} px: {each}" for each in misfits(page)]
    show_on(page, TABLET)
    return found


def show_on(page: Page, screen: Screen) -> None:
    page.set_viewport_size({"width": screen.width, "height": screen.height})
    page.emulate_media(color_scheme=screen.scheme, reduced_motion="reduce")


def misfits(page: Page) -> list[str]:
    """Return what is too wide for the screen or too small for a finger."""
    width, screen = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    small = page.evaluate(
        "controls => [...document.querySelectorAll(controls)].filter(each => each.getClientRects().length)"
        ".filter(each => each.getBoundingClientRect().height < 47.5).map(each => each.outerHTML.slice(0, 90))",
        CONTROLS,
    )
    wide = [f"{width} px wide on a screen of {screen}"] if width > screen else []
    return wide + [f"under 48 px: {each}" for each in small]


def given(page: Page, site: Site) -> list[str]:
    """Walk through the job of the frontline, and return what is wrong on the way."""
    page.goto(f"{site.url}/sign-in")
    found = faults(page, "sign-in")
    page.get_by_label("Email").fill("nobody@example.com")
    page.get_by_role("button", name="Sign in").click()
    found += faults(page, "sign-in refused")
    sign_in(page, site, "frontline", "/staff")
    for path in ("/approvals", "/staff", "/staff?under=flight"):
        page.goto(site.url + path)
        found += faults(page, f"frontline {path}")
    page.locator(".menu > summary").click()
    found += faults(page, "menu")
    page.goto(f"{site.url}/staff/give/flight-delayed")
    page.locator(".more > summary").click()
    found += faults(page, "give")
    page.get_by_role("button", name="Give it").click()
    found += faults(page, "give refused")
    page.get_by_label("Email").fill("ana.ruiz@gmail.com")
    page.get_by_role("button", name="Give it").click()
    page.wait_for_url("**/staff/given/*")
    return found + faults(page, "given") + again(page, site)


def again(page: Page, site: Site) -> list[str]:
    """Look at a customer who comes back, and at a request that waits."""
    page.goto(f"{site.url}/staff/give/flight-canceled")
    page.locator(AMOUNT).fill("120")
    page.get_by_label("Email").fill("ana.ruiz@gmail.com")
    page.get_by_label("Mobile phone").focus()
    page.get_by_text("This customer got 1 recovery").wait_for()
    found = faults(page, "helped before")
    page.locator(".dock button").click()
    page.wait_for_url("**/staff/given/*")
    return found + faults(page, "waiting")


def scanned(page: Page, site: Site, code: str) -> list[str]:
    """Look at every verdict."""
    found = []
    for typed, name in ((code, "found"), ("0000-0000-0000-0", "unknown"), ("ABCD", "mistyped")):
        page.goto(f"{site.url}/scan")
        page.locator("#code").fill(typed)
        page.get_by_role("button", name="Look it up").click()
        page.locator("form[action='/scan/redeem'], .verdict").wait_for()
        found += faults(page, f"scan {name}")
        if name == "found":
            page.get_by_role("button", name="Redeem now").click()
            page.get_by_role("heading", name="Redeemed").wait_for()
            found += faults(page, "scan redeemed")
            page.locator("#code").fill(code)
            page.get_by_role("button", name="Look it up").click()
            page.get_by_role("heading", name="Used already").wait_for()
            found += faults(page, "scan used")
    return found


def decided(page: Page, site: Site) -> list[str]:
    """Look at what the others see, before and after the decision."""
    page.context.clear_cookies()
    sign_in(page, site, "admin", "/staff")
    found = []
    for path in PATHS:
        page.goto(site.url + path)
        found += faults(page, path)
    page.goto(f"{site.url}/cases")
    page.locator("a.list-row").first.click()
    found += faults(page, "case")
    page.goto(f"{site.url}/approvals")
    card = page.locator("article")
    card.get_by_label("Amount").fill("500")
    card.get_by_role("button", name="Grant").click()
    found += faults(page, "grant refused")
    card.get_by_role("button", name="Decline").click()
    page.get_by_text("Nothing is waiting").wait_for()
    return found + faults(page, "declined")


def test_the_pages_of_the_job_are_for_everybody(site: Site, page: Page) -> None:
    assert given(page, site) == []


def test_the_scan_page_is_for_everybody(site: Site, page: Page) -> None:
    sign_in(page, site, "frontline", "/staff/give/flight-delayed")
    page.get_by_label("Show on this screen only").check()
    page.get_by_role("button", name="Give it").click()
    code = page.locator(".handover-code").inner_text()
    page.context.clear_cookies()
    sign_in(page, site, "till", "/scan")  # whoever gave it does not redeem it
    assert scanned(page, site, code) == []


def test_the_pages_of_those_who_decide_and_account_are_for_everybody(site: Site, page: Page) -> None:
    sign_in(page, site, "frontline", "/staff/give/flight-canceled")
    page.locator(AMOUNT).fill("120")
    page.get_by_label("Show on this screen only").check()
    page.get_by_role("button", name="Give it").click()
    page.wait_for_url("**/staff/given/*")
    assert decided(page, site) == []


def test_twice_the_letters_fit_too(site: Site, page: Page) -> None:
    """Who doubles the letters alone (WCAG 2.2, 1.4.4) does not have to scroll sideways."""
    sign_in(page, site, "admin", "/staff")
    for path in ("/staff", "/staff/give/flight-delayed", "/approvals", "/scan", "/finance", "/sessions"):
        page.goto(site.url + path)
        page.evaluate("document.documentElement.style.setProperty('font-size', '200%')")
        width, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert width <= screen, path


def test_what_the_menu_has_no_room_for_is_under_more(site: Site, page: Page) -> None:
    """Whoever may go to more places than fit finds the others in a sheet, within every screen, closed by Escape."""
    sign_in(page, site, "admin", "/staff")
    for width, height in [*((each.width, each.height) for each in SCREENS), (1180, 700), (320, 640)]:
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{site.url}/safeguards")
        more = page.locator(".nav-more > summary")
        assert more.get_attribute("aria-current") == "true"
        more.click()
        boxes = [each.bounding_box() for each in page.locator(".nav-item, .menu > summary").all()]
        assert len(boxes) == 14  # twelve places, "More" and the person
        for box in boxes:
            assert box
            assert box["height"] >= 47.5
            assert box["x"] >= 0 <= box["y"]
            assert box["x"] + box["width"] <= width
            assert box["y"] + box["height"] <= height
        page.keyboard.press("Escape")
        assert page.locator(".nav-more-list").is_hidden()
    page.locator(".nav-more > summary").click()
    page.get_by_role("link", name="Give to many").click()
    page.wait_for_url("**/bulk")
