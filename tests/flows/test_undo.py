"""The moments after giving: its giver may take it back, nothing was sent yet; and what is told later, is."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
import pytest

from incentives.books.tables import audit_events
from incentives.flows.issue import Issued
from incentives.kernel.errors import AlreadyRedeemed, InputInvalid, IssuanceNotFound, UndoOver, VoucherVoided
from incentives.messages.port import TryLater
from incentives.messages.tables import outbox_messages
from incentives.queries.issuances import one_issuance
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.aftercare import Care
from tests.flows.shop import SHOP, Shop, moved

OpenShop = Callable[..., Shop]


def with_window(seconds: int) -> str:
    found: dict[str, Any] = orjson.loads(SHOP)
    found["protocols"][0]["undo_seconds"] = seconds
    return orjson.dumps(found).decode()


@pytest.fixture
def desk(open_shop: OpenShop) -> Care:
    return Care(open_shop(with_window(10)))


def test_its_giver_takes_it_back_and_nothing_was_sent(desk: Care) -> None:
    shop = desk.shop
    given = shop.issue(shop.agent, channels=("email",))
    assert given.voucher
    assert shop.deliver() == []
    done = desk.undo(given.id, shop.agent)
    shop.refused(VoucherVoided, desk.undo, given.id, shop.agent)
    assert done.voucher is not None
    assert done.voucher.status == "voided"
    assert shop.pots() == shop.pots("count") == {}
    shop.later(hours=1)
    assert shop.deliver() == []
    assert shop.one(outbox_messages).status == "withdrawn"
    assert shop.one(audit_events, audit_events.c.action == "voucher.voided").facts["undone"] is True
    with pytest.raises(VoucherVoided):
        shop.redeem(given.voucher.code)
    shop.refused(UndoOver, desk.undo, given.id, shop.agent)
    shop.check()


def test_when_the_window_ends_it_is_sent_and_stays(desk: Care) -> None:
    shop = desk.shop
    given = shop.issue(shop.agent, channels=("email",))
    shop.clock.advance(timedelta(seconds=10, microseconds=-1))
    assert shop.deliver() == []
    shop.later(microseconds=1)
    assert shop.deliver() == ["captured"]
    shop.refused(UndoOver, desk.undo, given.id, shop.agent)


def test_nobody_else_undoes_it(desk: Care) -> None:
    shop = desk.shop
    given = shop.issue(shop.agent)
    shop.refused(IssuanceNotFound, desk.undo, given.id, shop.manager)
    assert given.voucher
    shop.redeem(given.voucher.code)
    shop.refused(AlreadyRedeemed, desk.undo, given.id, shop.agent)


def test_an_apology_by_itself_is_taken_back_too(desk: Care) -> None:
    shop = desk.shop
    given = shop.issue(shop.agent, incentive="sorry", channels=("email",))
    assert desk.undo(given.id, shop.agent).voucher is None
    shop.later(hours=1)
    assert shop.deliver() == []
    shop.refused(UndoOver, desk.undo, given.id, shop.agent)


def test_without_a_window_there_is_nothing_to_undo(shop: Shop) -> None:
    given = shop.issue(shop.agent, channels=("email",))
    assert shop.one(issuances).undo_until_at is None
    shop.refused(UndoOver, Care(shop).undo, given.id, shop.agent)
    assert shop.deliver() == ["captured"]


def test_a_program_gives_at_once(desk: Care) -> None:
    shop = desk.shop
    program = moved(shop.manager, kind="key")
    shop.issue(program, channels=("email",))
    assert shop.deliver() == ["captured"]


def test_it_is_told_on_another_day_as_it_stands_then(shop: Shop) -> None:
    desk, at = Care(shop), shop.clock.now() + timedelta(days=5)
    later, voided = (shop.issue(channels=("email",), deliver_after=at) for _ in range(2))
    assert shop.one(issuances, issuances.c.id == later.id).deliver_after_at == at
    shop.later(days=4, hours=23)
    assert shop.deliver() == []
    assert voided.voucher
    desk.void(voided.voucher.id)
    shop.later(hours=1)
    assert shop.deliver() == ["captured"]
    now = one_issuance(core=shop.core, actor=shop.manager, issuance_id=voided.id)
    assert [each.status for each in now.deliveries] == ["withdrawn"]


def test_what_is_told_later_is_tried_for_a_day_too(shop: Shop) -> None:
    shop.issue(channels=("email",), deliver_after=shop.clock.now() + timedelta(days=5))
    shop.sender().outcomes += [TryLater("Busy.", None)] * 2
    shop.later(days=5)
    assert shop.deliver() == ["queued"]
    shop.later(hours=1)
    assert shop.deliver() == ["queued"]
    shop.later(hours=1)
    assert shop.deliver() == ["captured"]


def test_what_is_reissued_meanwhile_is_told_on_that_day(shop: Shop) -> None:
    voucher = shop.voucher(channels=("email",), deliver_after=shop.clock.now() + timedelta(days=5))
    new = Care(shop).reissue(voucher.id).voucher
    assert shop.deliver() == []
    shop.later(days=5)
    assert shop.deliver() == ["captured"]
    assert shop.sender().letters[0].code == new.code


def test_a_request_is_told_on_its_day_when_it_is_granted(shop: Shop) -> None:
    asked = shop.ask(amount_minor=3000, channels=("email",), deliver_after=shop.clock.now() + timedelta(days=2))
    shop.decide(asked.approval_id)
    assert shop.deliver() == []
    shop.later(days=2)
    assert shop.deliver() == ["captured"]


def test_not_after_its_end_and_not_after_a_year(shop: Shop) -> None:
    now = shop.clock.now()
    for after in (timedelta(days=31), timedelta(days=400)):
        shop.refused(InputInvalid, shop.issue, channels=("email",), deliver_after=now + after)
    shop.issue(channels=("email",), deliver_after=now - timedelta(days=1))
    assert shop.deliver() == ["captured"]


GOOD = (
    "We are so sorry about your cake, Ana.",
    "Table 12 at 7.30 pm, 24.12.: see you!",
    "Desculpa 💐\nMaria",
    "x" * 300,
)
BAD = ("", "  ", "x" * 301, "see https://example.com", "www.evil.example", "go to evil.com/x", "mail ana@example.com",
       "call 020 7946 0018", "4111 1111 1111 1111", "a\x00b", "a\u202eb")  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_a_personal_note_goes_into_the_letter_and_is_kept_encrypted(shop: Shop, text: str) -> None:
    given = shop.issue(channels=("email",), message=text)
    assert isinstance(given, Issued)
    shop.deliver()
    assert shop.sender().letters[0].personal_note == text
    assert text not in str(shop.everything())
    assert shop.core.contacts.decrypt(shop.one(issuances).message) == text


@pytest.mark.parametrize("text", BAD)
def test_what_may_not_stand_in_it(shop: Shop, text: str) -> None:
    refusal = shop.refused(InputInvalid, shop.issue, channels=("email",), message=text)
    assert refusal.facts["errors"][0]["field"] == "message"
    assert shop.all(vouchers) == []
