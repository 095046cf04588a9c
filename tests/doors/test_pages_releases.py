"""Releases of the catalog on their pages: proposed, read field by field, decided by another, and asked what if."""

import io
from datetime import timedelta

import pytest

from incentives.flows import publish
from incentives.kernel.actors import SYSTEM
from tests.doors.staff import Staff
from tests.doors.test_pages import check
from tests.world import DEMO_CATALOG

TEXT = DEMO_CATALOG.read_text(encoding="utf-8")
NEW = TEXT.replace("name: Meridian Air & Stays", "name: Meridian", 1)
_PAGE = "/catalog/releases"


def proposed(staff: Staff, text: str = NEW) -> int:
    command = publish.ProposeCatalog(text=text)
    return publish.propose_catalog(core=staff.core, actor=SYSTEM, command=command).number


def test_a_manager_proposes_a_file_and_cannot_approve_it(staff: Staff) -> None:
    manager = staff.role("manager")
    form = manager.get(_PAGE).form(_PAGE)
    sent = {**form, "reason": "A new name", "file": (io.BytesIO(NEW.encode()), "catalog.yaml")}
    answer = manager.client.post(_PAGE, data=sent)
    assert answer.status_code == 303, answer.text
    found = manager.get(answer.location)
    check(found)
    for words in ("Proposed.", "A new name", "You proposed this yourself", "Meridian Air & Stays", "The brand"):
        assert words in found.words
    assert "Approve" not in [button.text for button in found.all("button")]


def test_finance_approves_it_for_later_and_takes_it_back(staff: Staff) -> None:
    number = proposed(staff)
    page, finance = f"{_PAGE}/{number}", staff.role("finance")
    at = (staff.core.clock.now() + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M")
    answer = finance.fill(page, f"{page}/approval", effective_at=at)
    assert answer.status_code == 303, answer.text
    found = finance.get(answer.location)
    check(found)
    assert "Scheduled" in found.words
    assert "In force from 24 Nov 2026" in found.words or "In force from" in found.words
    assert finance.fill(page, f"{page}/withdrawal", why_withdraw="").status_code == 422
    answer = finance.fill(page, f"{page}/withdrawal", why_withdraw="wrong month")
    assert "It was taken back." in finance.get(answer.location).words


@pytest.mark.parametrize("typed", ["2020-01-01T00:00", "tomorrow"])
def test_a_date_that_cannot_be_is_told_at_its_field(staff: Staff, typed: str) -> None:
    page = f"{_PAGE}/{proposed(staff)}"
    answer = staff.role("finance").fill(page, f"{page}/approval", effective_at=typed)
    assert answer.status_code == 422
    assert 'id="effective_at"' in answer.text
    assert 'aria-invalid="true"' in answer.text


def test_an_older_release_is_proposed_again(staff: Staff) -> None:
    number = proposed(staff)
    finance, manager = staff.role("finance"), staff.role("manager")
    assert finance.fill(f"{_PAGE}/{number}", f"{_PAGE}/{number}/approval").status_code == 303
    answer = manager.fill(f"{_PAGE}/1", f"{_PAGE}/1/rollback", why_back="The old name was better.")
    assert answer.status_code == 303, answer.text
    assert "It brings back release 1." in manager.get(answer.location).words


def test_what_if_is_told_in_figures(staff: Staff) -> None:
    staff.give()
    dear = TEXT.replace("active: true", "active: false")
    number = proposed(staff, dear.replace("name: Meridian Air & Stays", "name: Meridian", 1))
    found = staff.role("finance").get(f"{_PAGE}/{number}/what-if?days=30")
    check(found)
    assert "Given or asked for 1" in found.words
    assert staff.role("finance").client.get(f"{_PAGE}/{number}/what-if?days=9999").status_code == 422


def test_mistakes_of_a_file_stand_in_a_table(staff: Staff) -> None:
    manager = staff.role("manager")
    broken = TEXT.replace("currency: GBP", "currency: gbp", 1)
    form = manager.get(_PAGE).form(_PAGE)
    answer = manager.client.post(_PAGE, data={**form, "file": (io.BytesIO(broken.encode()), "c.yaml")})
    assert answer.status_code == 422
    assert "not a currency of ISO 4217" in answer.text
    assert manager.client.post(_PAGE, data=form).status_code == 422  # no file at all


def test_who_may_look_may_not_decide(staff: Staff) -> None:
    number = proposed(staff)
    auditor = staff.role("auditor")
    for page in (_PAGE, f"{_PAGE}/{number}", "/catalog"):
        check(auditor.get(page))
    assert auditor.get(f"{_PAGE}/{number}").all("form") == [] or all(
        "approval" not in (form.get("action") or "") for form in auditor.get(f"{_PAGE}/{number}").all("form")
    )
    assert auditor.client.get(f"{_PAGE}/{number}/what-if").status_code == 403
    assert auditor.client.get(f"{_PAGE}/77").status_code == 404


def test_the_difference_is_read_without_knowing_the_file(staff: Staff) -> None:
    """Limits are said by whose they are, what has no name by its key in words, and a task as words, not as JSON."""
    text = TEXT.replace("per_voucher_minor: 5000,", "per_voucher_minor: 7500,", 1)
    text = text.replace("have arrived, due_hours: 24}", "have arrived, due_hours: 12}", 1)
    found = staff.role("finance").get(f"{_PAGE}/{proposed(staff, text)}")
    check(found)
    for words in (
        "Against release 1: 1 in approval limits, 1 in protocols.",
        "Frontline, in GBP Changed",
        "Most per voucher £50.00 £75.00",
        "Flight canceled flight-canceled",
        "Adds kind customer, title Call when they have arrived, due hours 12",
    ):
        assert words in found.words
    assert found.words.index("Most per voucher") < found.words.index("In force from")  # first read, then decided
