"""Where nothing is sent is known when something is offered and given, by the address and behind any spelling of it."""

from datetime import timedelta
from typing import Any

import pytest

from incentives.books.tables import audit_events
from incentives.deeds import suppressing
from incentives.deeds.suppressing import Unwanted
from incentives.flows.hear import START, STOP, OptOut, hear_opt_out
from incentives.flows.people import CreateUser, create_user
from incentives.flows.suppressions import LiftSuppression, lift_suppression
from incentives.kernel.actors import SYSTEM
from incentives.kernel.errors import NotPermitted, SuppressionNotFound
from incentives.messages import suppression
from incentives.messages.port import Accepted, WillNeverWork
from incentives.messages.tables import SUPPRESSION_REASONS, delivery_attempts, outbox_messages, suppressions
from incentives.queries import came_back
from incentives.recovery.customers import CustomerGiven
from tests.flows.shop import EMAIL, PHONE, Shop, named
from tests.flows.two_providers import WRONG, Provider, give, notices, with_senders
from tests.world import PASSWORD

NO_MAILBOX = WillNeverWork("There is no such mailbox.", "invalid")


def known(shop: Shop, email: str | None = EMAIL, phone: str | None = None) -> list[tuple[str, str]]:
    """Return to which addresses an offer says that nothing is sent, and what became of the last message."""
    customer = CustomerGiven(email=email, phone=phone)
    return [(each.channel, each.status) for each in shop.offer(customer=customer, location="london").came_back]


def bounced(shop: Shop, channel: str = "email", **more: Any) -> None:
    """Give something whose message does not arrive."""
    shop.sender(channel).outcomes.append(NO_MAILBOX)
    shop.issue(channels=(channel,), location="london", **more)
    assert shop.deliver() == ["failed"]


def suppress(shop: Shop, reason: str, address: str = EMAIL) -> int:
    """Let a provider say now that nothing more is to be sent to an address."""
    now = shop.clock.now()
    unwanted = Unwanted(
        channel="email" if "@" in address else "sms", address=address, reason=reason, source="sendgrid", at=now
    )
    with shop.core.database.write() as tx:
        done = suppressing.suppress(tx, shop.core, [unwanted], now)
    came_back.forget(shop.core)
    return done


def opt_out(shop: Shop, word: str, key: str) -> bool:
    """Let a customer write a word to us."""
    told = OptOut(provider="twilio", channel="sms", word=word, event_key=key, address=PHONE)
    return hear_opt_out(core=shop.core, opt_out=told)


def test_it_is_told_of_that_address_and_channel_alone(shop: Shop) -> None:
    assert known(shop) == []
    bounced(shop, customer=named(EMAIL, phone=PHONE))
    assert known(shop) == [("email", "failed")]
    assert known(shop, email=EMAIL.upper()) == [("email", "failed")]
    assert known(shop, email=None, phone=PHONE) == []
    assert known(shop, email="somebody.else@example.com") == []


@pytest.mark.parametrize("reason", SUPPRESSION_REASONS)
def test_what_is_found_out_of_a_mailbox_says_nothing_of_others_and_a_wish_holds_for_all_spellings(
    shop: Shop, reason: str
) -> None:
    suppress(shop, reason, "ceo+nobody@corp.example")
    assert len(known(shop, email="CEO+nobody@corp.example")) == 1
    wish = reason in suppression.WISHES
    for spelling in ("ceo@corp.example", "c.eo@corp.example", "ceo+mail@corp.example"):
        assert len(known(shop, email=spelling)) == wish
    given = shop.issue(channels=("email",), customer=named("ceo@corp.example"))
    assert [each.status for each in given.deliveries] == ["suppressed" if wish else "queued"]


def test_a_refusal_that_is_not_the_addresss_is_not_held_against_it(shop: Shop) -> None:
    shop.sender().outcomes.append(WillNeverWork("The message is too large."))
    shop.issue(channels=("email",))
    assert shop.deliver() == ["failed"]
    assert known(shop) == []


def test_it_is_not_held_against_an_address_for_ever(shop: Shop) -> None:
    bounced(shop)
    shop.later(days=89)
    assert known(shop) == [("email", "failed")]
    shop.later(days=2)
    assert known(shop) == []
    bounced(shop)
    assert known(shop) == [("email", "failed")]
    first, second = shop.all(suppressions)
    assert (first.lifted_by_name, first.lift_reason) == ("the system", suppression.LAPSED)
    assert second.lifted_at is None


def test_what_is_given_is_given_and_its_message_suppressed_with_the_reason(shop: Shop) -> None:
    bounced(shop)
    given = shop.issue(
        channels=("email", "sms"), customer=named(EMAIL, phone=PHONE), location="london", idempotency_key="k"
    )
    told = {each.channel: (each.status, each.reason) for each in given.deliveries}
    assert told == {
        "email": ("suppressed", "Not sent: nobody can be reached at this address."),
        "sms": ("queued", None),
    }
    assert given.voucher is not None
    assert shop.deliver() == ["captured"]
    again = shop.issue(
        channels=("email", "sms"), customer=named(EMAIL, phone=PHONE), location="london", idempotency_key="k"
    )
    assert again.replayed
    assert {each.channel: (each.status, each.reason) for each in again.deliveries} == told
    (noted,) = shop.all(audit_events, audit_events.c.action == "message.suppressed")
    assert noted.subject_id == str(given.id)


def test_what_becomes_known_after_it_was_promised_is_found_out_before_it_is_sent(shop: Shop) -> None:
    given = shop.issue(channels=("email",), idempotency_key="k")
    suppress(shop, "complained")
    sent_before = len(shop.sender().letters)
    assert shop.deliver() == ["suppressed"]
    assert len(shop.sender().letters) == sent_before
    row = shop.one(outbox_messages)
    assert (row.status, row.reason) == (
        "suppressed",
        "Not sent: the customer reported an earlier message as unwanted.",
    )
    assert [each.outcome for each in shop.all(delivery_attempts)] == ["withdrawn"]
    again = shop.issue(channels=("email",), idempotency_key="k")
    assert (again.id, [each.status for each in again.deliveries]) == (given.id, ["queued"])  # as the first answer was


def test_it_holds_to_its_instant_and_none_longer(shop: Shop) -> None:
    now = shop.clock.now()
    suppress(shop, "bounced")
    digests = {("email", each) for each in came_back.digests_of(shop.core, "email", EMAIL, "bounced")}
    end = suppression.ends_at("bounced", now)
    assert end is not None
    with shop.core.database.read() as tx:
        assert len(suppression.standing(tx, digests, end - timedelta(microseconds=1))) == 1
        assert suppression.standing(tx, digests, end) == []


@pytest.mark.parametrize("reason", SUPPRESSION_REASONS)
def test_each_reason_holds_for_as_long_as_it_says(shop: Shop, reason: str) -> None:
    assert suppress(shop, reason) == 1
    row = shop.one(suppressions)
    holds = suppression.HOLDS[reason]
    assert (row.reason, row.ends_at) == (reason, holds and row.since + holds)
    assert (row.hint, EMAIL in str(row)) == ("a…@example.com", False)
    assert len(known(shop)) == 1


def test_the_weightier_reason_stands_whichever_came_first(shop: Shop) -> None:
    for reason in ("bounced", "complained", "blocked", "bounced"):
        suppress(shop, reason, PHONE)
    row = shop.one(suppressions)
    assert (row.reason, row.ends_at, row.lifted_at) == ("complained", None, None)
    actions = [each.action for each in shop.all(audit_events) if each.subject_kind == "suppression"]
    assert actions == ["suppression.added", "suppression.changed"]


def test_of_an_email_both_stand_and_each_goes_for_itself(shop: Shop) -> None:
    """What somebody said and what was found out of the mailbox are two things: one may be over, and not the other."""
    for reason in ("blocked", "complained", "bounced", "unsubscribed", "blocked"):
        suppress(shop, reason)
    standing = {row.reason: row.id for row in shop.all(suppressions)}
    assert set(standing) == {"bounced", "unsubscribed"}
    assert known(shop) == [("email", "suppressed")]
    for reason, left in (("unsubscribed", [("email", "bounced")]), ("bounced", [])):
        command = LiftSuppression(id=standing[reason], reason="They asked for it.")
        lift_suppression(core=shop.core, actor=shop.manager, command=command)
        assert known(shop) == left


@pytest.mark.parametrize("reason", SUPPRESSION_REASONS)
def test_a_notice_reaches_staff_who_want_no_more_but_not_a_mailbox_that_is_none(shop: Shop, reason: str) -> None:
    """One click on “spam” must not keep from an administrator that a provider refuses our settings."""
    root = CreateUser(email="root@brand.example", role="admin", password=PASSWORD)
    create_user(core=shop.core, actor=SYSTEM, command=root)
    suppress(shop, "complained", root.email)
    suppress(shop, reason, root.email)
    first, second = Provider("first"), Provider("second")
    house = with_senders(shop, first, second)
    first.usual = WRONG
    give(house)
    house.deliver()
    assert len(notices(first) + notices(second)) == (reason not in suppression.UNREACHABLE)


def test_stop_is_heeded_until_start_and_a_repeated_stop_does_not_undo_it(shop: Shop) -> None:
    assert opt_out(shop, STOP, "SM1:STOP")
    assert known(shop, email=None, phone=PHONE) == [("sms", "suppressed")]
    given = shop.issue(channels=("sms",), customer=named(phone=PHONE))
    assert [each.status for each in given.deliveries] == ["suppressed"]
    shop.later(minutes=1)
    assert opt_out(shop, START, "SM2:START")
    assert not opt_out(shop, STOP, "SM1:STOP")
    assert known(shop, email=None, phone=PHONE) == []
    shop.later(minutes=1)
    assert opt_out(shop, STOP, "SM3:STOP")
    assert known(shop, email=None, phone=PHONE) == [("sms", "suppressed")]


def test_a_stop_that_comes_after_a_start_holds_until_one_more_start(shop: Shop) -> None:
    """Nobody knows which was written first: rather nothing is sent to who wants it than something to who does not."""
    opt_out(shop, START, "SM2:START")
    opt_out(shop, STOP, "SM1:STOP")
    assert known(shop, email=None, phone=PHONE) == [("sms", "suppressed")]
    opt_out(shop, START, "SM3:START")
    assert known(shop, email=None, phone=PHONE) == []


def test_start_takes_nothing_off_that_the_customer_did_not_put_there(shop: Shop) -> None:
    suppress(shop, "invalid", PHONE)
    opt_out(shop, START, "SM1:START")
    assert known(shop, email=None, phone=PHONE) == [("sms", "failed")]


@pytest.mark.parametrize("reason", SUPPRESSION_REASONS)
def test_start_lifts_only_what_its_owner_said(shop: Shop, reason: str) -> None:
    suppress(shop, reason, PHONE)
    shop.later(hours=1)
    assert opt_out(shop, START, "SM1:START")
    assert (shop.one(suppressions).lifted_at is None) is (reason != "unsubscribed")


def test_somebody_who_may_lifts_it_with_a_reason(shop: Shop) -> None:
    bounced(shop)
    row = shop.one(suppressions)
    command = LiftSuppression(id=row.id, reason="They told us that the mailbox works again.")
    shop.refused(NotPermitted, lift_suppression, core=shop.core, actor=shop.agent, command=command)
    lift_suppression(core=shop.core, actor=shop.manager, command=command)
    assert known(shop) == []
    shop.refused(SuppressionNotFound, lift_suppression, core=shop.core, actor=shop.manager, command=command)
    lifted = shop.one(suppressions)
    assert (lifted.lifted_by, lifted.lift_reason) == (shop.manager.label, command.reason)
    noted = shop.all(audit_events)[-1]
    assert (noted.action, noted.reason, noted.facts) == (
        "suppression.lifted",
        command.reason,
        {"channel": "email", "reason": "invalid"},
    )
    shop.sender().outcomes.append(Accepted("m-2"))
    shop.issue(channels=("email",))
    assert shop.deliver() == ["sent"]


def test_what_happened_before_it_was_lifted_does_not_put_it_back(shop: Shop) -> None:
    bounced(shop)
    earlier = shop.clock.now()
    shop.later(hours=1)
    row = shop.one(suppressions)
    lift_suppression(core=shop.core, actor=shop.manager, command=LiftSuppression(id=row.id, reason="Mended."))
    late = Unwanted(channel="email", address=EMAIL, reason="complained", source="sendgrid", at=earlier)
    with shop.core.database.write() as tx:
        assert suppressing.suppress(tx, shop.core, [late], shop.clock.now()) == 0
    assert known(shop) == []
