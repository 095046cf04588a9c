"""What is stranded is found and mended: no message, a lease that never ends, one that was left in the middle."""

import logging
import threading
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import worker
from incentives.books.tables import audit_events
from incentives.deeds.wording import not_before
from incentives.flows import salvage
from incentives.flows.deliver import deliver_next
from incentives.flows.freeze import FreezeVoucher, freeze_voucher
from incentives.flows.reissue import ReissueVoucher, reissue_voucher
from incentives.flows.salvage import LATE, NO_ADDRESS, NOBODY, TOO_LATE, Salvaged, salvage_due
from incentives.flows.void import VoidVoucher, void_voucher
from incentives.kernel.errors import NotPermitted
from incentives.messages import outbox
from incentives.messages.port import Accepted
from incentives.messages.tables import outbox_messages
from incentives.queries import stranded as searching
from incentives.queries.health import DEGRADED, OK, readiness
from incentives.queries.stranded import list_found
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.shop import EMAIL, PHONE, Shop, named

BOTH = named(EMAIL, phone=PHONE)
NOTHING = Salvaged()


def strand(shop: Shop, *where: Any) -> None:
    """Lose messages, as a restored part of a database would."""
    with shop.core.database.write() as tx:
        tx.execute(outbox_messages.delete().where(*where))


def stranded(shop: Shop, channels: tuple[str, ...] = ("email",), **more: Any) -> uuid.UUID:
    """Give a voucher whose messages are lost, and let it be old enough to be looked at."""
    voucher = shop.voucher(customer=BOTH, channels=channels, **more)
    strand(shop)
    shop.later(minutes=6)
    return voucher.id


def change(shop: Shop, table: sa.Table, **values: Any) -> None:
    with shop.core.database.write() as tx:
        tx.execute(table.update().values(**values))


def sweep(shop: Shop) -> Salvaged:
    """Look at everything there is, as a worker that is started anew does."""
    shop.core.cache.pop("salvage.place", None)
    return salvage_due(core=shop.core)


def part(shop: Shop) -> tuple[str, str]:
    (found,) = [each for each in readiness(core=shop.core) if each.name == "stranded"]
    return found.status, found.detail


# --- no message ---------------------------------------------------------------------------------------------------


def test_a_voucher_that_no_message_tells_of_is_told_within_one_sweep(shop: Shop) -> None:
    voucher_id = stranded(shop, ("email", "sms"))
    assert part(shop)[0] == OK
    worker.sweep(shop.core)
    rows = shop.all(outbox_messages)
    assert {(row.channel, row.status, row.voucher_id, row.template, row.copy) for row in rows} == {
        ("email", "queued", voucher_id, "voucher", 0),
        ("sms", "queued", voucher_id, "voucher", 0),
    }
    assert shop.deliver() == ["captured", "captured"]
    assert [len(shop.sender(channel).letters) for channel in ("email", "sms")] == [1, 1]
    shop.check()
    before = shop.everything()
    assert sweep(shop) == NOTHING, "once it is told"
    assert shop.everything() == before


def test_each_repair_is_told_to_the_audit_trail_and_to_operators(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    voucher_id = stranded(shop)
    with caplog.at_level(logging.ERROR, logger="incentives.salvage"):
        assert sweep(shop) == Salvaged(queued=1)
    assert "messages were stranded" in caplog.text
    event = shop.one(audit_events, audit_events.c.action == "message.salvaged")
    message = shop.one(outbox_messages)
    given = shop.one(issuances)
    assert event.case_id == given.case_id
    assert event.facts == {
        "channel": "email",
        "status": "queued",
        "message_id": str(message.id),
        "issuance_id": str(given.id),
        "voucher_id": str(voucher_id),
    }
    status, detail = part(shop)
    assert (status, "1 message" in detail) == (DEGRADED, True)
    (found,) = list_found(core=shop.core, actor=shop.manager)
    assert (found.at, found.channel, found.status, found.voucher_id) == (
        shop.clock.now(), "email", "queued", voucher_id
    )  # fmt: skip
    with pytest.raises(NotPermitted):
        list_found(core=shop.core, actor=shop.agent)
    shop.later(hours=25)
    assert part(shop)[0] == OK


def test_what_has_its_messages_or_wants_none_is_let_be(shop: Shop) -> None:
    shop.issue(customer=BOTH, channels=("email", "sms"))
    shop.issue(customer=BOTH)
    shop.issue(incentive="sorry", customer=BOTH, channels=("email",))
    shop.issue(customer=BOTH, channels=("email",))
    shop.deliver()
    shop.later(minutes=6)
    before = shop.everything()
    assert sweep(shop) == NOTHING
    assert shop.everything() == before


def test_one_channel_of_two_is_missed_too(shop: Shop) -> None:
    shop.voucher(customer=BOTH, channels=("email", "sms"))
    strand(shop, outbox_messages.c.channel == "sms")
    shop.later(minutes=6)
    assert sweep(shop) == Salvaged(queued=1)
    assert {row.channel for row in shop.all(outbox_messages)} == {"email", "sms"}


def test_what_is_being_given_at_this_moment_is_not_looked_at(shop: Shop) -> None:
    shop.voucher(customer=BOTH, channels=("email",))
    strand(shop)
    shop.later(minutes=4)
    assert salvage_due(core=shop.core) == NOTHING
    assert shop.all(outbox_messages) == []
    shop.later(minutes=2)
    assert salvage_due(core=shop.core) == Salvaged(queued=1)


def test_nothing_is_sent_before_its_day_or_before_it_can_be_undone_no_more(shop: Shop) -> None:
    stranded(shop, deliver_after=shop.clock.now() + timedelta(days=2))
    assert sweep(shop) == Salvaged(queued=1)
    row = shop.one(outbox_messages)
    assert row.available_at == not_before(shop.one(issuances))
    assert shop.deliver() == []
    shop.later(days=2)
    assert shop.deliver() == ["captured"]


# --- what is not sent ---------------------------------------------------------------------------------------------


def taken_back(shop: Shop, voucher_id: uuid.UUID) -> None:
    void_voucher(core=shop.core, actor=shop.manager, command=VoidVoucher(voucher_id=voucher_id, reason="A mistake"))


def used(shop: Shop, _voucher_id: uuid.UUID) -> None:
    change(shop, vouchers, redeemed_count=1, max_redemptions=3)


def over(shop: Shop, _voucher_id: uuid.UUID) -> None:
    change(shop, vouchers, expires_at=shop.clock.now() - timedelta(seconds=1))


def shown(shop: Shop, voucher_id: uuid.UUID) -> None:
    command = ReissueVoucher(voucher_id=voucher_id, reason="They stand here", channels=())
    reissue_voucher(core=shop.core, actor=shop.manager, command=command)
    shop.later(minutes=6)


@pytest.mark.parametrize("ended", [taken_back, used, over, shown])
def test_what_is_good_no_more_or_in_hand_is_not_sent(shop: Shop, ended: Callable[..., None]) -> None:
    ended(shop, stranded(shop))
    assert sweep(shop) == NOTHING
    assert shop.all(outbox_messages) == []


@pytest.mark.parametrize("ended", [taken_back, used, over])
def test_not_even_when_it_ends_between_the_looking_and_the_mending(
    shop: Shop, ended: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    voucher_id = stranded(shop)
    real = searching.untold

    def untold(*arguments: Any) -> Any:
        found = real(*arguments)
        thread = threading.Thread(target=ended, args=(shop, voucher_id))
        thread.start()
        thread.join()
        return found

    monkeypatch.setattr(searching, "untold", untold)
    assert sweep(shop) == NOTHING
    assert shop.all(outbox_messages) == []


def test_what_is_taken_back_afterwards_is_withdrawn_like_any_other(shop: Shop) -> None:
    voucher_id = stranded(shop)
    sweep(shop)
    taken_back(shop, voucher_id)
    assert shop.one(outbox_messages).status == "withdrawn"
    assert shop.deliver() == []


def test_a_frozen_voucher_is_told_of_when_it_is_frozen_no_more(shop: Shop) -> None:
    voucher_id = stranded(shop)
    freeze_voucher(core=shop.core, actor=shop.manager, command=FreezeVoucher(voucher_id=voucher_id, reason="Odd"))
    assert sweep(shop) == Salvaged(queued=1)
    assert shop.deliver() == ["held"]


def test_of_an_erased_customer_nobody_is_written_to(shop: Shop) -> None:
    stranded(shop)
    change(shop, issuances, contact=None)
    assert sweep(shop) == Salvaged(withdrawn=1)
    row = shop.one(outbox_messages)
    assert (row.status, row.reason, row.ended_at) == ("withdrawn", NOBODY, shop.clock.now())
    assert shop.deliver() == []
    assert sweep(shop) == NOTHING


def test_what_has_no_address_is_for_a_person(shop: Shop) -> None:
    stranded(shop)
    change(shop, issuances, channels=["email", "sms"], contact=shop.core.contacts.encrypt('{"email": "a@b.example"}'))
    assert sweep(shop) == Salvaged(queued=1, failed=1)
    rows = {row.channel: (row.status, row.reason) for row in shop.all(outbox_messages)}
    assert rows == {"email": ("queued", None), "sms": ("failed", NO_ADDRESS)}


def test_what_is_found_after_days_is_for_a_person(shop: Shop) -> None:
    stranded(shop)
    shop.clock.advance(LATE)
    assert sweep(shop) == Salvaged(failed=1)
    row = shop.one(outbox_messages)
    assert (row.status, row.reason) == ("failed", TOO_LATE)
    assert shop.deliver() == []
    assert sweep(shop) == NOTHING


def test_one_that_cannot_be_mended_holds_up_no_other(shop: Shop) -> None:
    lost = shop.issue(customer=BOTH, channels=("email",))
    shop.issue(customer=named("bea@example.com"), channels=("email",))
    strand(shop)
    with shop.core.database.write() as tx:
        tx.execute(issuances.update().where(issuances.c.id == lost.id).values(contact="made by a key that is gone"))
    shop.later(minutes=6)
    assert sweep(shop) == Salvaged(queued=1)


# --- two at once --------------------------------------------------------------------------------------------------


def test_many_sweeps_at_once_lay_out_one_message_for_each_channel(shop: Shop) -> None:
    stranded(shop, ("email", "sms"))
    barrier = threading.Barrier(4)
    found: list[int] = []

    def look() -> None:
        barrier.wait()
        found.extend(len(salvage._mend(shop.core, row.id)) for row in shop.all(vouchers))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(found) == [0, 0, 0, 2]
    assert len(shop.all(outbox_messages)) == 2
    assert len(shop.all(audit_events, audit_events.c.action == "message.salvaged")) == 2


def test_whoever_looked_before_the_other_wrote_finds_the_place_taken(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even without the lock and the second look: the outbox takes one message for each voucher and channel."""
    voucher_id = stranded(shop)
    assert salvage._mend(shop.core, voucher_id) == ["queued"]
    monkeypatch.setattr(outbox, "about_voucher", lambda *_: [])
    assert salvage._mend(shop.core, voucher_id) == []
    assert len(shop.all(outbox_messages)) == 1


def test_voiding_waits_for_the_mending_and_withdraws_what_it_laid_out(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    voucher_id = stranded(shop)
    voiding = threading.Thread(target=taken_back, args=(shop, voucher_id))
    real = outbox.lay_out

    def lay_out(*arguments: Any) -> Any:
        voiding.start()
        voiding.join(1)
        assert voiding.is_alive(), "it waits for the voucher"
        return real(*arguments)

    monkeypatch.setattr(outbox, "lay_out", lay_out)
    assert sweep(shop) == Salvaged(queued=1)
    voiding.join(30)
    assert shop.one(outbox_messages).status == "withdrawn"


# --- leases -------------------------------------------------------------------------------------------------------


def left(shop: Shop, since: timedelta, lease_until_at: datetime | None) -> None:
    """Leave a message in the middle, as whoever died over it does."""
    shop.issue(customer=BOTH, channels=("email",))
    shop.clock.advance(since)
    values = {"status": "sending", "lease_id": uuid.uuid4(), "lease_until_at": lease_until_at, "attempts": 1}
    change(shop, outbox_messages, **values)


def test_a_lease_that_ended_two_hours_ago_is_claimed_by_whoever_delivers_next(shop: Shop) -> None:
    left(shop, timedelta(hours=2), shop.clock.now() + timedelta(seconds=30))
    health = {each.name: each.status for each in readiness(core=shop.core)}
    assert health["outbox"] == DEGRADED
    worker.sweep(shop.core)
    shop.sender().outcomes = [Accepted("sg-1")]
    assert [each.status for each in [deliver_next(core=shop.core)] if each] == ["sent"]
    row = shop.one(outbox_messages)
    assert (row.status, row.attempts, row.unsure_tries) == ("sent", 2, 1)


@pytest.mark.parametrize("lease_until_at", [None, datetime.fromisoformat("2027-06-01T00:00:00+00:00")])
def test_a_lease_that_never_ends_is_ended_within_one_sweep(shop: Shop, lease_until_at: datetime | None) -> None:
    left(shop, timedelta(hours=2), lease_until_at)
    assert deliver_next(core=shop.core) is None
    worker.sweep(shop.core)
    event = shop.one(audit_events, audit_events.c.action == "message.freed")
    assert event.facts["message_id"] == str(shop.one(outbox_messages).id)
    assert part(shop)[0] == DEGRADED
    assert shop.deliver() == ["captured"]
    row = shop.one(outbox_messages)
    assert (row.status, row.unsure_tries, len(shop.sender().letters)) == ("captured", 1, 1)


def test_a_lease_that_somebody_has_is_let_be(shop: Shop) -> None:
    left(shop, timedelta(), shop.clock.now() + timedelta(seconds=50))
    assert sweep(shop) == NOTHING
    assert shop.one(outbox_messages).lease_until_at == shop.clock.now() + timedelta(seconds=50)
