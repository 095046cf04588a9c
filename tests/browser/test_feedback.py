"""Customers say how it was, with a thumb and without scripts; and each of these pages on each screen."""

import os
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, Page, expect

import worker
from incentives.catalog import releases
from incentives.deeds import asking
from incentives.flows.feedback_forms import CreateForm, create_form
from incentives.flows.open_case import OpenCase, open_case
from incentives.kernel.core import Core
from incentives.messages.tables import outbox_messages
from incentives.queries.feedback_forms import list_forms
from incentives.recovery.customers import CustomerGiven
from incentives.recovery.feedback_tables import feedback
from incentives.recovery.tables import recovery_cases, surveys
from tests.browser.conftest import complaints_of
from tests.browser.screens import PHONE, SCREENS, TABLET
from tests.browser.site import Site, serving, sign_in
from tests.browser.test_staff_pages import faults, show_on
from tests.databases import SqliteDatabases
from tests.world import actor


@pytest.fixture
def site(sqlite: SqliteDatabases) -> Iterator[Site]:
    """The application, served."""
    with serving(sqlite) as made:
        yield made


@pytest.fixture
def thumb(chromium: Browser) -> Iterator[Page]:
    """A phone on which scripts are switched off."""
    context = chromium.new_context(
        viewport={"width": PHONE.width, "height": PHONE.height}, has_touch=True, java_script_enabled=False
    )
    context.set_default_timeout(15_000)
    page = context.new_page()
    complaints = complaints_of(page)
    yield page
    context.close()
    assert complaints == []


def seen(page: Page, name: str) -> None:
    """Keep a picture where somebody wants to look: each screen, light and dark."""
    folder = os.environ.get("TEST_SCREENSHOTS")
    if folder:
        for screen in SCREENS:
            show_on(page, screen)
            page.screenshot(path=Path(folder) / f"{name}-{screen}.png", full_page=True)
        show_on(page, TABLET)


def ask(core: Core, email: str = "ana.ruiz@gmail.com", locale: str = "en") -> uuid.UUID:
    """Open a customer's case and ask them how it turned out; the case."""
    manager = actor(core, "manager")
    given = CustomerGiven(name="Ana Ruiz", email=email, locale=locale)
    command = OpenCase(issue_tag="flight-delayed", severity=1, customer=given, location="london", answers_to_come=True)
    case_id = open_case(core=core, actor=manager, command=command).id
    with core.database.write() as tx:
        tx.execute(recovery_cases.update().where(recovery_cases.c.id == case_id).values(first_score_bp=0))
        catalog = releases.cached_current(tx, core).catalog
        assert asking.plan(tx, core, core.clock.now(), catalog, case_id, "issue", hours=0)
    worker.sweep(core)
    worker.drain(core)
    while on_their_way(core):  # the site's own worker may have taken one a moment before
        time.sleep(0.05)
    return case_id


def on_their_way(core: Core) -> int:
    with core.database.read() as tx:
        waiting = outbox_messages.c.status.in_(("queued", "sending"))
        return int(tx.execute(sa.select(sa.func.count()).where(waiting)).scalar_one())


def row_of(core: Core, table: object) -> object:
    with core.database.read() as tx:
        return tx.execute(table.select()).one()  # type: ignore[attr-defined]  # a table


def test_a_supervisor_s_code_at_the_table_brings_a_customer_s_answer(site: Site, page: Page, thumb: Page) -> None:
    sign_in(page, site, "supervisor", "/feedback/forms")
    page.get_by_label("Where it stands").fill("Gate B4")
    page.get_by_label("What it is about").select_option(label="Flight")
    page.get_by_role("button", name="Open and show the QR code").click()
    expect(page.get_by_role("heading", name="Gate B4")).to_be_visible()
    assert page.get_by_alt_text("QR code that opens the form").evaluate("each => each.naturalWidth") > 0
    address = page.locator(".facts a").inner_text()

    thumb.goto(address)
    expect(thumb.get_by_role("heading", name="How was it?")).to_be_visible()
    thumb.get_by_role("radio", name="2").check()
    thumb.get_by_label("What happened?").fill("Four hours, and nobody said a word.")
    thumb.get_by_label("Email or phone").fill("ana.ruiz@gmail.com")
    thumb.wait_for_timeout(2_100)  # nobody fills a form in faster
    thumb.get_by_role("button", name="Send").tap()
    expect(thumb.get_by_role("heading", name="This is not sent yet")).to_be_visible()
    thumb.get_by_label("You may get back to me").check()
    thumb.get_by_role("button", name="Send").tap()
    expect(thumb.get_by_role("heading", name="Thank you")).to_be_visible()
    (form,) = list_forms(core=site.core, actor=actor(site.core, "manager")).items
    assert (form.label, form.answers) == ("Gate B4", 1)


def test_one_tap_in_the_email_and_one_press_pair_the_answer(site: Site, page: Page, thumb: Page) -> None:
    case_id = ask(site.core)
    page.goto(f"{site.url}/inbox")
    page.get_by_role("link", name="Open the email to ana.ruiz@gmail.com").click()
    expect(page.get_by_role("heading", name="How well did we put it right?")).to_be_visible()
    four = page.get_by_role("link", name="4", exact=True).get_attribute("href")
    assert four
    thumb.goto(four)
    expect(thumb.get_by_role("radio", name="4")).to_be_checked()
    with site.core.database.read() as tx:
        assert tx.execute(feedback.select()).all() == []
    thumb.get_by_role("button", name="Send").tap()
    expect(thumb.get_by_role("heading", name="Thank you")).to_be_visible()
    survey, case = row_of(site.core, surveys), row_of(site.core, recovery_cases)
    assert (survey.status, survey.answer_score_bp) == ("answered", 7500)  # type: ignore[attr-defined]  # a row
    assert (case.id, case.recovered, case.recovered_evidence) == (case_id, True, "score")  # type: ignore[attr-defined]  # a row
    thumb.goto(four.replace("score=4", "score=5"))
    expect(thumb.get_by_text("You answered 4 before.")).to_be_visible()


def test_who_looks_like_a_program_answers_one_question_and_goes_on(site: Site, thumb: Page) -> None:
    made = create_form(core=site.core, actor=actor(site.core, "manager"), command=CreateForm(label="Counter"))
    (form,) = list_forms(core=site.core, actor=actor(site.core, "manager")).items
    assert form.id == made.id
    thumb.goto(form.url)
    thumb.get_by_role("radio", name="5").check()
    thumb.get_by_role("button", name="Send").tap()
    question = thumb.get_by_text(re.compile(r"how much is \w+ plus \w+\?")).first.inner_text()
    numbers = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    found = re.search(r"how much is (\w+) plus (\w+)\?", question)
    assert found
    thumb.get_by_label("how much is").fill(str(numbers.index(found[1]) + numbers.index(found[2])))
    thumb.get_by_role("button", name="Send").tap()
    expect(thumb.get_by_role("heading", name="Thank you")).to_be_visible()


def test_nothing_is_wrong_with_these_pages_on_any_screen(site: Site, page: Page) -> None:
    manager = actor(site.core, "manager")
    for scale in ("stars_5", "nps", "ces_7", "percent"):
        create_form(core=site.core, actor=manager, command=CreateForm(label=scale, location="london", scale=scale))
    found: list[str] = []
    for form in list_forms(core=site.core, actor=manager).items:
        page.goto(f"{form.url}?score=1")
        found += faults(page, f"form {form.scale}")
        seen(page, f"form-{form.scale}")
    page.get_by_label("Email or phone").fill("ana at home")
    page.locator("form").evaluate("form => form.noValidate = true")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="This is not sent yet")).to_be_visible()
    found += faults(page, "form refused")
    seen(page, "form-refused")
    ask(site.core, locale="es")
    page.goto(f"{site.url}/inbox")
    found += faults(page, "inbox")
    page.get_by_role("link", name="Feedback page").first.click()
    expect(page.get_by_role("heading", name="¿Lo hemos arreglado?")).to_be_visible()
    found += faults(page, "survey")
    seen(page, "survey")
    page.get_by_role("radio", name="1").check()
    page.get_by_role("button", name="Enviar").click()
    expect(page.get_by_role("heading", name="Gracias")).to_be_visible()
    found += faults(page, "thanks")
    seen(page, "thanks")
    page.goto(f"{site.url}/inbox")
    page.get_by_role("link", name="Open the email to ana.ruiz@gmail.com").click()
    expect(page.get_by_role("heading", name="¿En qué medida lo hemos arreglado?")).to_be_visible()
    found += faults(page, "email")
    seen(page, "email")
    page.goto(f"{site.url}/f/nothing")
    found += faults(page, "gone")
    sign_in(page, site, "admin", "/feedback/forms")
    found += faults(page, "staff forms")
    seen(page, "staff-forms")
    page.get_by_role("link", name="nps").click()
    found += faults(page, "staff form")
    seen(page, "staff-form")
    assert found == []
