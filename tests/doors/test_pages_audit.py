"""The audit trail's page, and the moments in which what was given can be undone."""

import re
from pathlib import Path

from admin import audit_words
from incentives.queries.voucher_care import find_vouchers
from tests.doors.staff import Staff
from tests.world import DEMO_CATALOG, HOUSE, publish_catalog


def with_undo(staff: Staff) -> None:
    """Let whatever is given be undone within a minute."""
    text = re.sub(r"^    undo_seconds: .*\n", "", Path(DEMO_CATALOG).read_text(encoding="utf-8"), flags=re.MULTILINE)
    publish_catalog(staff.core, re.sub(r"^(    script: .*)$", r"\1\n    undo_seconds: 60", text, flags=re.MULTILINE))


def test_who_may_read_it_finds_what_was_done(staff: Staff) -> None:
    staff.new_code(email="ana@example.com")
    auditor = staff.role("auditor")
    assert "Audit trail" in auditor.get("/finance").words
    page = auditor.get("/finance/audit?action=voucher.")
    assert "voucher.issued" in page.words
    assert "Frontline, signed in" in page.words
    assert "ana@example.com" not in page.html
    (found,) = find_vouchers(core=staff.core, actor=staff.person("manager"), text="ana@example.com")
    assert f"/vouchers/{found.id}" in auditor.get(f"/finance/audit?subject={found.case_id}").html
    assert "Nothing like that was done" in auditor.get("/finance/audit?actor=Nobody").words
    assert "Nothing like that was done" in auditor.get("/finance/audit?until=2020-01-01").words
    assert "voucher.issued" in auditor.get("/finance/audit?from=2020-01-01&action=voucher.issued").words


def test_what_was_done_is_chosen_from_words_and_not_typed(staff: Staff) -> None:
    staff.new_code(email="ana@example.com")
    page = staff.role("auditor").get("/finance/audit?action=voucher.issued")
    (chosen,) = [each for each in page.all("option") if each.get("selected") is not None]
    assert (chosen.get("value"), chosen.text) == ("voucher.issued", "Voucher issued")
    assert "Vouchers: everything" in [each.text for each in page.all("option")]
    rare = staff.role("auditor").get("/finance/audit?action=book.burned")
    assert rare.form("/finance/audit")["action"] == "book.burned"


def test_there_is_a_choice_for_everything_that_the_house_writes_down() -> None:
    """Each kind of thing that some deed names is among the choices, or nobody would find it."""
    sources = [*(HOUSE / "incentives" / "flows").glob("*.py"), *(HOUSE / "incentives" / "deeds").glob("*.py")]
    found = {kind for path in sources for kind in re.findall(r'action=f?"([a-z-]+\.)', path.read_text("utf-8"))}
    assert len(found) > 15
    assert found <= audit_words.PREFIXES


def test_bad_filters_are_said_and_strangers_see_nothing(staff: Staff) -> None:
    page = staff.role("auditor").get(f"/finance/audit?from=never&action={'x' * 61}&after=!")
    assert page.status == 422
    page = staff.role("auditor").get(f"/finance/audit?from=never&action={'x' * 61}")
    assert "Choose a day." in page.words
    assert staff.role("supervisor").get("/finance/audit").status == 403


def test_what_was_just_given_is_undone_by_a_button(staff: Staff) -> None:
    with_undo(staff)
    given = staff.give(email="ana@example.com")
    visitor = staff.role("frontline")
    page = visitor.get(given.location)
    assert "Nothing is sent for 60 seconds" in page.words
    undone = visitor.fill(given.location, f"{given.location}/undo")
    assert (undone.status_code, undone.location) == (303, given.location)
    after = visitor.get(given.location)
    assert "This voucher is voided by now." in after.words
    assert "Undo" not in after.words
    assert "Here is the voucher" not in after.words
    assert "/staff/give/flight-delayed" in {each.get("href") for each in after.all("a")}
    assert not [each for each in after.all("button") if each.get("data-print") is not None]
    again = visitor.send(f"{given.location}/undo", page.form(f"{given.location}/undo"))
    assert again.status_code == 409
    assert "taken back" in again.text


def test_nobody_else_undoes_it(staff: Staff) -> None:
    with_undo(staff)
    given = staff.give(email="ana@example.com")
    page = staff.role("supervisor").get("/vouchers")
    assert staff.role("supervisor").send(f"{given.location}/undo", page.form("/vouchers")).status_code == 404


def test_a_personal_line_is_typed_and_checked(staff: Staff) -> None:
    refused = staff.give(email="ana@example.com", message="see https://example.com")
    assert refused.status_code == 422
    assert "Leave links and addresses out" in refused.text
    assert staff.give(email="ana@example.com", message="So sorry, Ana.").status_code == 303
