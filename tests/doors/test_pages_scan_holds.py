"""The scan page, beyond redeeming: holding and letting go, what is bought, undoing the last scan, the last ten."""

from datetime import timedelta

import sqlalchemy as sa

from incentives.kernel.clock import FixedClock
from incentives.vouchers.tables import redemption_reversals, redemptions, reservations, vouchers
from tests.doors.staff import Page, Staff
from tests.doors.test_pages import check
from tests.doors.test_pages_scan import look_up, redeem


def hold(staff: Staff, code: str, role: str = "till", **fields: str) -> Page:
    form = look_up(staff, code, role).form("/scan/redeem")
    return Page(staff.role(role).send("/scan/hold", form | fields))


def send(staff: Staff, path: str, page: Page, form: str, role: str = "till", **fields: str) -> Page:
    return Page(staff.role(role).send(path, page.form(form) | fields))


def later(staff: Staff, **by: float) -> None:
    assert isinstance(staff.core.clock, FixedClock)
    staff.core.clock.advance(timedelta(**by))


def rows(staff: Staff, table: sa.Table) -> int:
    with staff.core.database.read() as tx:
        return int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def test_a_voucher_is_held_and_then_redeemed(staff: Staff) -> None:
    code = staff.new_code()
    held = hold(staff, code, order_ref="T-1")
    check(held)
    assert held.status == 200
    assert "Held by this till for 15 minutes" in held.words
    later(staff, minutes=6)
    again = look_up(staff, code)
    check(again)
    assert "Held by this till for 9 minutes" in again.words
    done = send(staff, "/scan/commit", again, "/scan/commit", order_total="20.00")
    check(done)
    assert "Redeemed £20.00" in done.words
    with staff.core.database.read() as tx:
        row = tx.execute(sa.select(redemptions)).one()
    assert (row.order_ref, row.order_total_minor) == ("T-1", 2000)


def test_what_is_held_is_let_go(staff: Staff) -> None:
    code = staff.new_code()
    held = hold(staff, code)
    let_go = send(staff, "/scan/release", held, "/scan/commit")
    check(let_go)
    assert "Let go" in let_go.words
    assert "Can be redeemed" in look_up(staff, code, "supervisor").words
    late = send(staff, "/scan/commit", held, "/scan/commit")
    check(late)
    assert late.status == 409
    assert "ended already" in late.words


def test_another_till_sees_who_holds_it_and_a_supervisor_releases_it_with_a_reason(staff: Staff) -> None:
    code = staff.new_code()
    hold(staff, code)
    seen = look_up(staff, code, "supervisor")
    check(seen)
    assert "Held by another till" in seen.words
    assert "By Till, at London Heathrow, until 20 Nov 2026, 12:15." in seen.words
    refused = send(staff, "/scan/release", seen, "/scan/release", "supervisor", reason=" ")
    check(refused)
    assert refused.status == 422
    assert "Say why" in refused.words
    done = send(staff, "/scan/release", seen, "/scan/release", "supervisor", reason="The till broke down.")
    check(done)
    assert "Let go" in done.words
    with staff.core.database.read() as tx:
        assert tx.execute(sa.select(reservations.c.end_reason)).scalar_one() == "The till broke down."


def test_a_till_cannot_release_what_another_one_holds(staff: Staff) -> None:
    code = staff.new_code()
    hold(staff, code, "supervisor")
    seen = look_up(staff, code)
    assert [each.get("action") for each in seen.all("form")].count("/scan/release") == 0
    with staff.core.database.read() as tx:
        held = str(tx.execute(sa.select(reservations.c.id)).scalar_one())
    form = seen.form("/scan") | {"code": code, "reservation_id": held, "reason": "Mine."}
    refused = Page(staff.role("till").send("/scan/release", form))
    check(refused)
    assert refused.status == 403


def test_a_hold_that_lapsed_says_so_and_the_voucher_can_be_used(staff: Staff) -> None:
    code = staff.new_code()
    held = hold(staff, code)
    later(staff, minutes=16)
    late = send(staff, "/scan/commit", held, "/scan/commit")
    check(late)
    assert late.status == 409
    assert "This hold has lapsed" in late.words
    assert "Can be redeemed" in late.words
    assert "Redeemed" in redeem(staff, code).words


def test_a_frozen_voucher_is_not_taken(staff: Staff) -> None:
    code = staff.new_code()
    with staff.core.database.write() as tx:
        tx.execute(vouchers.update().values(frozen_at=staff.core.clock.now()))
    found = look_up(staff, code)
    check(found)
    assert found.title.startswith("Frozen")
    assert "call a supervisor" in found.words.lower()


def test_who_gave_it_does_not_redeem_it(staff: Staff) -> None:
    found = look_up(staff, staff.new_code("supervisor"), "supervisor")
    check(found)
    assert found.title.startswith("You gave it yourself")


def test_the_last_scan_is_undone(staff: Staff) -> None:
    code = staff.new_code()
    redeem(staff, code, order_ref="MA 12")
    page = staff.role("till").get("/scan")
    check(page)
    assert "£25.00, ending in" in page.words
    assert "order MA 12" in page.words
    undone = send(staff, "/scan/undo", page, "/scan/undo")
    check(undone)
    assert undone.title.startswith("Undone")
    with staff.core.database.read() as tx:
        assert tx.execute(sa.select(redemption_reversals.c.reason)).scalar_one() == "Scanned by mistake."
    again = send(staff, "/scan/undo", page, "/scan/undo")
    check(again)
    assert again.status == 409
    assert "undone already" in again.words
    assert "Redeemed" in redeem(staff, code, "supervisor").words


def test_after_a_quarter_of_an_hour_a_scan_stays(staff: Staff) -> None:
    redeem(staff, staff.new_code())
    page = staff.role("till").get("/scan")
    later(staff, minutes=16)
    late = send(staff, "/scan/undo", page, "/scan/undo")
    check(late)
    assert late.status == 409
    assert "too late" in late.words
    assert rows(staff, redemption_reversals) == 0
    assert "/scan/undo" not in staff.role("till").get("/scan").html


def test_a_scan_of_another_till_is_not_undone(staff: Staff) -> None:
    redeem(staff, staff.new_code())
    page = staff.role("till").get("/scan")
    form = staff.role("supervisor").get("/scan").form("/scan") | page.form("/scan/undo")
    form |= {"csrf_token": staff.role("supervisor").get("/scan").form("/scan")["csrf_token"]}
    refused = Page(staff.role("supervisor").send("/scan/undo", form))
    check(refused)
    assert refused.status == 403
    assert rows(staff, redemption_reversals) == 0


def test_nothing_of_a_foreign_form_is_done(staff: Staff) -> None:
    token = staff.role("till").get("/scan").form("/scan")["csrf_token"]
    code = staff.new_code()
    for path in ("/scan/commit", "/scan/release", "/scan/undo", "/scan/hold"):
        for held in ("", "nonsense", "00000000-0000-0000-0000-000000000000"):
            fields = {"csrf_token": token, "code": code, "reservation_id": held, "redemption_id": held}
            page = Page(staff.role("till").send(path, fields))
            check(page)
            assert page.status in (404, 422), (path, held, page.status)
    assert "Can be redeemed" in look_up(staff, code).words


def test_ten_scans_are_shown(staff: Staff) -> None:
    for _ in range(11):
        redeem(staff, staff.new_code())
        later(staff, minutes=2)
    page = staff.role("till").get("/scan")
    check(page)
    assert page.words.count("ending in") == 10
    assert page.html.count('action="/scan/undo"') == 7
