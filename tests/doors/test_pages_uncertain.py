"""A form without an answer: nobody knows whether it was done, and the same form sent again finds out."""

from collections.abc import Callable
from typing import Any, NoReturn

import pytest

from admin import approvals, pages, scan
from admin import staff as tablet
from incentives.flows.issue import issue_voucher
from incentives.flows.redeem import redeem_voucher
from incentives.kernel.errors import IdempotencyKeyInFlight, Refusal, StorageUnavailable, TooManyRequests
from incentives.queries import catalog
from tests.doors.staff import Page, Staff
from tests.doors.test_pages import check
from tests.doors.test_pages_approvals import decision

UNCERTAIN = "It may or may not have been done."
SAFE = "That is safe: nothing is done twice."


def answer_lost(deed: Callable[..., Any], refusal: Refusal) -> Callable[..., NoReturn]:
    """Return a deed that is done, and whose answer does not arrive."""

    def done(**asked: Any) -> NoReturn:
        deed(**asked)
        raise refusal

    return done


def refuse(refusal: Refusal) -> Callable[..., NoReturn]:
    def refused(*_: object, **__: object) -> NoReturn:
        raise refusal

    return refused


def test_a_redemption_whose_answer_was_lost_is_found_by_pressing_again(
    staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, till = staff.new_code(), staff.role("till")
    fields = Page(till.fill("/scan", "/scan", code=code)).form("/scan/redeem") | {
        "order_total": "20,00",
        "order_ref": "MA 12",
    }
    with monkeypatch.context() as patch:
        lost = answer_lost(redeem_voucher, StorageUnavailable(retry_after_seconds=2))
        patch.setattr(scan, "redeem_voucher", lost)
        shown = Page(till.send("/scan/redeem", fields))
    check(shown)
    assert shown.status == 503
    assert shown.headers["Retry-After"] == "2"
    assert UNCERTAIN in shown.words
    assert SAFE in shown.words
    assert "verdict" not in shown.html
    assert "Can be redeemed" not in shown.words
    assert shown.form("/scan/redeem") == fields
    assert "Redeemed £20.00" in Page(till.send("/scan/redeem", shown.form("/scan/redeem"))).words


@pytest.mark.parametrize(
    ("refusal", "status", "said"),
    [
        (StorageUnavailable(retry_after_seconds=2), 503, UNCERTAIN),
        (IdempotencyKeyInFlight(retry_after_seconds=2), 409, UNCERTAIN),
        (TooManyRequests(retry_after_seconds=61), 429, "Wait 2 minutes"),
    ],
)
@pytest.mark.parametrize("where", ["_look_up", "redeem_voucher"])
def test_no_verdict_is_made_of_what_says_nothing_of_the_voucher(
    staff: Staff, monkeypatch: pytest.MonkeyPatch, where: str, refusal: Refusal, status: int, said: str
) -> None:
    code, till = staff.new_code(), staff.role("till")
    fields = Page(till.fill("/scan", "/scan", code=code)).form("/scan/redeem") | {"order_ref": "MA 12"}
    with monkeypatch.context() as patch:
        patch.setattr(scan, where, refuse(refusal))
        shown = Page(till.send("/scan/redeem", fields))
    check(shown)
    assert shown.status == status
    assert shown.headers["Retry-After"] == str(refusal.facts["retry_after_seconds"])
    assert said in shown.words
    assert "verdict" not in shown.html
    assert shown.form("/scan/redeem") == fields
    assert "Redeemed" in Page(till.send("/scan/redeem", shown.form("/scan/redeem"))).words


def test_a_look_up_without_an_answer_keeps_the_code(staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_look_up", refuse(StorageUnavailable(retry_after_seconds=2)))
    shown = Page(staff.role("till").fill("/scan", "/scan", code="7K3M-Q9XD-4TGA-P"))
    check(shown)
    assert shown.status == 503
    assert shown.headers["Retry-After"] == "2"
    assert "Looking a voucher up changes nothing" in shown.words
    assert shown.form("/scan")["code"] == "7K3M-Q9XD-4TGA-P"


def test_a_mistake_after_an_unanswered_try_keeps_its_key(staff: Staff) -> None:
    till = staff.role("till")
    fields = Page(till.fill("/scan", "/scan", code=staff.new_code())).form("/scan/redeem")
    mistaken = Page(till.send("/scan/redeem", fields | {"order_total": "a lot"}))
    assert mistaken.form("/scan/redeem")["idempotency_key"] == fields["idempotency_key"]


def test_the_form_is_shown_though_names_and_numbers_cannot_be_read(
    staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor = staff.role("supervisor")
    fields = Page(visitor.fill("/scan", "/scan", code=staff.new_code())).form("/scan/redeem")
    away = refuse(StorageUnavailable(retry_after_seconds=2))
    monkeypatch.setattr(scan, "_look_up", away)
    monkeypatch.setattr(pages, "count_pending", away)
    monkeypatch.setattr(catalog, "locations", away)
    shown = Page(visitor.send("/scan/redeem", fields))
    assert shown.status == 503
    assert shown.form("/scan/redeem") == fields


def test_a_decision_whose_answer_was_lost_is_found_by_pressing_again(
    staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff.asked()
    action, visitor = decision(staff), staff.role("supervisor")
    fields = visitor.get("/approvals").form(action) | {"decision": "grant", "comment": "Of course"}
    with monkeypatch.context() as patch:
        patch.setattr(approvals, "decide_approval", refuse(StorageUnavailable(retry_after_seconds=2)))
        shown = Page(visitor.send(action, fields))
    check(shown)
    assert (shown.status, shown.headers["Retry-After"]) == (503, "2")
    assert UNCERTAIN in shown.words
    assert shown.form(action) | {"decision": "grant"} == fields
    assert visitor.send(action, fields).location == "/approvals?done=granted"


def test_a_gift_whose_answer_was_lost_is_found_by_pressing_again(staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    where, visitor = "/staff/give/flight-delayed", staff.role("frontline")
    fields = visitor.get(where).form(where) | {"screen_only": "yes", "name": "Ana"}
    with monkeypatch.context() as patch:
        lost = answer_lost(issue_voucher, StorageUnavailable(retry_after_seconds=2))
        patch.setattr(tablet, "issue_voucher", lost)
        shown = Page(visitor.send(where, fields))
    check(shown)
    assert (shown.status, shown.headers["Retry-After"]) == (503, "2")
    assert UNCERTAIN in shown.words
    assert shown.form(where)["idempotency_key"] == fields["idempotency_key"]
    assert visitor.send(where, shown.form(where)).status_code == 303
