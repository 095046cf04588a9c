"""The main job as people do it: with fingers, with a keyboard, with a scanner, without scripts."""

import re
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.conftest import complaints_of
from tests.browser.screens import TABLET
from tests.browser.site import Site, serving, sign_in
from tests.databases import SqliteDatabases

Open = Callable[[str], Page]


@pytest.fixture
def site(sqlite: SqliteDatabases) -> Iterator[Site]:
    """The application, served."""
    with serving(sqlite) as made:
        yield made


@pytest.fixture
def opened(chromium: Browser, site: Site) -> Iterator[Open]:
    """A function that opens a browser of a role's own."""
    contexts, complaints = [], []

    def new(role: str) -> Page:
        context = chromium.new_context(viewport={"width": TABLET.width, "height": TABLET.height}, has_touch=True)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        complaints.append(complaints_of(page))
        sign_in(page, site, role)
        return page

    yield new
    for context in contexts:
        context.close()
    assert [each for found in complaints for each in found] == []


class Taps:
    """A finger that counts."""

    def __init__(self) -> None:
        """Begin to count, and to take the time."""
        self.count = 0
        self._since = time.monotonic()

    def tap(self, what: Locator) -> None:
        """Tap something."""
        self.count += 1
        what.tap()

    @property
    def seconds(self) -> float:
        """Return how long it took so far."""
        return time.monotonic() - self._since


def code_on(page: Page) -> str:
    return page.locator(".handover-code").inner_text()


def test_the_main_job_from_trouble_to_balanced_books(site: Site, page: Page, opened: Open) -> None:
    sign_in(page, site, "frontline", "/staff")
    finger = Taps()
    finger.tap(page.get_by_role("link", name="Flight delayed"))
    expect(page.get_by_text("I am sorry about your flight")).to_be_visible()
    finger.tap(page.get_by_label("Email"))
    page.keyboard.type("ana.ruiz@gmail.com")
    finger.tap(page.get_by_label("Mobile phone"))
    page.keyboard.type("07400 123456")
    finger.tap(page.get_by_role("button", name="Give it"))
    expect(page.get_by_role("heading", name="Done. Here is the voucher")).to_be_visible()
    assert finger.count <= 6
    assert finger.seconds < 20
    code = code_on(page)
    page.wait_for_function("document.querySelector('.handover-qr img').naturalWidth > 0")
    # The page finds out by itself that the messages have gone.
    expect(page.locator(".badge", has_text="Captured here")).to_have_count(2)
    expect(page.get_by_text("It was captured on this machine, where nobody gets it.")).to_be_visible()

    page.goto(f"{site.url}/inbox")
    page.get_by_role("link", name=re.compile("Voucher page")).first.click()
    expect(page.locator("main")).to_contain_text(code)

    till = opened("till")
    till.goto(f"{site.url}/scan")
    till.keyboard.type(code.lower().replace("-", " "))
    till.keyboard.press("Enter")
    expect(till.get_by_text("Can be redeemed")).to_be_visible()
    till.get_by_role("button", name="Redeem now").tap()
    expect(till.get_by_role("heading", name="Redeemed")).to_be_visible()
    till.keyboard.type(code)
    till.keyboard.press("Enter")
    expect(till.get_by_role("heading", name="Used already")).to_be_visible()
    expect(till.get_by_role("alert")).to_contain_text(re.compile(r"by Till\."))

    finance = opened("finance")
    finance.get_by_role("link", name="Check the books now").click()
    expect(finance.get_by_text("All of it holds")).to_be_visible()
    expect(finance.locator("tfoot")).to_contain_text("£25.00")


def test_a_request_over_the_limit_is_decided_while_its_requester_waits(opened: Open) -> None:
    asking, deciding = opened("frontline"), opened("supervisor")
    asking.get_by_role("link", name="Flight canceled").tap()
    asking.get_by_label("Amount in GBP").first.fill("120")
    asking.get_by_label("Show on this screen only").check()
    asking.get_by_role("button", name="Give it").tap()
    expect(asking.get_by_text("It is above your limit for one voucher.")).to_be_visible()

    deciding.reload()
    expect(deciding.get_by_role("link", name=re.compile("Approvals.*1 waiting"))).to_be_visible()
    deciding.get_by_role("textbox", name=re.compile("^Amount")).fill("80")
    deciding.get_by_label("Comment").fill("Fine, but lower")
    deciding.get_by_role("button", name="Grant").tap()
    expect(deciding.get_by_role("status")).to_contain_text("Granted")
    expect(deciding.get_by_text("Nothing is waiting")).to_be_visible()

    expect(asking.get_by_role("heading", name="Done. Here is the voucher")).to_be_visible(timeout=12_000)
    expect(asking.locator(".handover-value")).to_have_text("£80.00 off")
    assert re.fullmatch(r"(?:[0-9A-Z]{4}-){3}.", code_on(asking))


def test_everything_works_without_scripts(site: Site, chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 820, "height": 1180})
    page = context.new_page()
    sign_in(page, site, "frontline", "/staff")
    page.get_by_role("link", name="Room not ready").click()
    page.get_by_role("link", name="Serious").click()
    page.get_by_label("Email").fill("ana@")
    page.get_by_role("button", name="Give it").click()
    expect(page.get_by_role("alert")).to_contain_text("after the @-sign")
    page.get_by_label("Email").fill("ana.ruiz@gmail.com")
    page.get_by_text("Name, order, language").click()
    page.get_by_label("Name").fill("Ana")
    page.get_by_role("button", name="Give it").click()
    expect(page.get_by_role("heading", name="Done. Here is the voucher")).to_be_visible()
    code = code_on(page)
    expect(page.get_by_role("button", name="Print")).to_be_hidden()
    # Who gave it does not redeem it: a till's own person does.
    context.clear_cookies()
    sign_in(page, site, "till", "/scan")
    page.get_by_label("Code or link").fill(code)
    page.get_by_role("button", name="Look it up").click()
    page.get_by_role("button", name="Redeem now").click()
    expect(page.get_by_role("heading", name="Redeemed")).to_be_visible()
    page.get_by_role("group").get_by_text("T", exact=True).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out")).to_be_visible()
    context.close()


def test_by_keyboard_alone_and_always_seeing_where_one_is(opened: Open) -> None:
    page = opened("frontline")

    def tab_to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            here = page.evaluate(
                "(() => { const at = document.activeElement, style = getComputedStyle(at.closest('.choice') ?? at);"
                " return [at.closest('label')?.innerText ?? document.querySelector(`label[for='${at.id}']`)?.innerText"
                " ?? at.innerText ?? '', style.outlineStyle, parseFloat(style.outlineWidth)]; })()"
            )
            assert here[1] == "solid"
            assert here[2] >= 2
            if name in here[0]:
                return
        raise AssertionError(f"the keyboard does not reach {name}")

    tab_to("Skip to the content")
    page.keyboard.press("Enter")
    tab_to("Flight delayed")
    page.keyboard.press("Enter")
    page.wait_for_url("**/staff/give/flight-delayed")
    tab_to("Travel voucher")
    page.keyboard.press("ArrowDown")
    tab_to("Email")
    page.keyboard.type("ana.ruiz@gmail.com")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Done. Here is the voucher")).to_be_visible()
    expect(page.locator(".handover-value")).to_have_text("A meal on us")


def test_a_tripled_tap_and_a_reload_give_once(site: Site, opened: Open) -> None:
    page = opened("frontline")
    page.get_by_role("link", name="Flight delayed").tap()
    page.get_by_label("Show on this screen only").check()
    page.evaluate("for (let i = 0; i < 3; i++) document.querySelector('.dock button').click()")
    page.wait_for_url("**/staff/given/*")
    page.reload()
    page.goto(f"{site.url}/cases")
    expect(page.get_by_role("listitem")).to_have_count(1)


def test_a_customer_who_was_helped_before_is_shown_while_typing(opened: Open) -> None:
    page = opened("frontline")
    page.get_by_role("link", name="Flight delayed").tap()
    page.get_by_label("Email").fill("ana.ruiz@gmail.com")
    page.get_by_role("button", name="Give it").tap()
    page.get_by_role("link", name="Next customer").tap()
    page.get_by_role("link", name="Flight delayed").tap()
    page.get_by_label("A meal on us").check()
    page.get_by_label("Email").fill("Ana.Ruiz+shop@gmail.com")
    page.get_by_label("Mobile phone").tap()
    expect(page.get_by_text("This customer got 1 recovery in 30 days")).to_be_visible()
    expect(page.get_by_label("A meal on us")).to_be_checked()
    expect(page.get_by_label("Mobile phone")).to_be_focused()
    # It was seen, so that nothing stands between the finger and the voucher.
    page.get_by_role("button", name="Give it").tap()
    expect(page.get_by_role("heading", name="Done. Here is the voucher")).to_be_visible()


def test_a_mistyped_address_is_said_at_its_field_at_once(opened: Open) -> None:
    page = opened("frontline")
    page.get_by_role("link", name="Flight delayed").tap()
    field = page.get_by_label("Mobile phone")
    field.fill("123")
    page.get_by_label("Email").tap()
    expect(page.get_by_text("This phone number cannot be reached.")).to_be_visible()
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill("07400 123456")
    page.get_by_label("Email").tap()
    expect(page.get_by_text("This phone number cannot be reached.")).to_be_hidden()
    expect(field).not_to_have_attribute("aria-invalid", "true")


def test_a_refusal_takes_the_focus_and_leads_to_the_field(opened: Open) -> None:
    page = opened("frontline")
    page.get_by_role("link", name="Flight delayed").tap()
    page.get_by_label("Name, order").or_(page.get_by_text("Name, order, language")).first.tap()
    page.get_by_label("Name").fill("Ana")
    page.get_by_role("button", name="Give it").tap()
    expect(page.locator("#refused")).to_be_focused()
    page.get_by_role("link", name="Add an email or a phone number").tap()
    expect(page.get_by_label("Email")).to_be_focused()
    expect(page.get_by_label("Name")).to_have_value("Ana")


def test_how_bad_it_was_changes_the_offers_and_keeps_what_was_typed(opened: Open) -> None:
    page = opened("frontline")
    page.get_by_role("link", name="Flight delayed").tap()
    page.get_by_label("Email").fill("ana.ruiz@gmail.com")
    page.get_by_role("link", name="Grave").tap()
    expect(page.get_by_role("link", name="Grave")).to_have_attribute("aria-current", "true")
    expect(page.get_by_label("Email")).to_have_value("ana.ruiz@gmail.com")
    page.get_by_role("button", name="Give it").tap()
    page.get_by_role("link", name="Cases").tap()
    page.get_by_role("link", name=re.compile("Flight delayed")).tap()
    expect(page.locator("main")).to_contain_text("Grave")


def test_the_apology_names_what_is_chosen_in_the_customers_language(opened: Open) -> None:
    page = opened("frontline")
    page.get_by_role("link", name="Flight delayed").tap()
    apology = page.locator(".say blockquote")
    expect(apology).to_contain_text("what we can: Travel voucher.")
    page.get_by_label("A meal on us").check()
    expect(apology).to_contain_text("what we can: A meal on us.")
    page.get_by_text("Name, order, language").tap()
    page.get_by_label("Language of the message").select_option("Spanish")
    expect(apology).to_contain_text("lo que podamos: Le invitamos a comer.")
    expect(page.get_by_label("Le invitamos a comer")).to_be_checked()


def test_the_button_says_what_it_does(opened: Open) -> None:
    page = opened("frontline")
    page.get_by_role("link", name="Bag damaged").tap()
    page.get_by_label("A new suitcase").check()
    expect(page.get_by_role("button", name="Ask a supervisor")).to_be_visible()
    page.get_by_label("Travel voucher").check()
    expect(page.get_by_role("button", name="Give it")).to_be_visible()
