"""Delivering: each message once where nothing dies, again where something does, and never what is no longer good."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.pool import QueuePool

from incentives.books.tables import audit_events
from incentives.flows import deliver
from incentives.flows.deliver import GIVE_UP_AFTER, Delivered, deliver_next
from incentives.kernel.actors import SYSTEM
from incentives.kernel.errors import StorageUnavailable
from incentives.kernel.money import Money
from incentives.messages.outbox import JITTER, LEASE_MARGIN_SECONDS, RETRY_SECONDS
from incentives.messages.port import Accepted, Letter, Outcome, TryLater, WillNeverWork
from incentives.messages.tables import delivery_attempts, outbox_messages
from incentives.queries.books import check_books
from tests.flows.shop import EMAIL, PHONE, Shop, catalog, named
from tests.world import START, Recording, key_setting, make_core, person, publish_catalog

OpenShop = Callable[..., Shop]
LEASE = timedelta(seconds=10 + LEASE_MARGIN_SECONDS)
BOTH = named(EMAIL, phone=PHONE, name="Ana López", locale="es")


class Doing(Recording):
    """A sender in whose sending something happens."""

    def __init__(self, channel: str, deed: Callable[[Letter], Outcome | None]) -> None:
        super().__init__(channel)
        self.deed = deed

    def send(self, letter: Letter) -> Outcome:
        outcome = super().send(letter)
        return self.deed(letter) or outcome


def answering(shop: Shop, *outcomes: Outcome) -> None:
    shop.sender().outcomes = list(outcomes)


def deed_of(shop: Shop, deed: Callable[[Letter], Any]) -> Shop:
    """Return the shop with a sender of emails that does something while it sends."""
    senders = {"email": Doing("email", deed), "sms": Recording("sms")}
    core = make_core(shop.core.settings.database_url, clock=shop.clock, senders=senders)
    return Shop(**{**vars(shop), "core": core})


# --- what is said ------------------------------------------------------------------------------------------------


def test_a_letter_says_everything_in_the_customer_s_language(shop: Shop) -> None:
    maria = person(shop.core, "manager", email="maria@example.com")
    issued = shop.issue(
        maria, customer=BOTH, channels=("email", "sms"), incentive="meal", location="london", order_ref="BA1"
    )
    voucher = issued.voucher
    assert voucher is not None
    assert shop.deliver() == ["captured", "captured"]
    (email,), (sms,) = shop.sender("email").letters, shop.sender("sms").letters
    assert (email.to, sms.to) == (EMAIL, PHONE)
    assert (email.channel, email.template, email.locale) == ("email", "voucher", "es")
    assert email.message_id == issued.deliveries[0].id
    assert sms.message_id == issued.deliveries[1].id
    for letter in (email, sms):
        assert letter.apology == "Ana López, Acme lo siente por BA1. Manager le da: El meal"
        assert (letter.title, letter.terms, letter.item) == ("El meal", "Un solo uso.", "Un menú")
        assert (letter.brand, letter.customer_name, letter.kind) == ("Acme", "Ana López", "free_item")
        assert (letter.amount, letter.percent, letter.points) == (Money(800, "GBP"), None, None)
        assert (letter.code, letter.url) == (voucher.code, f"http://127.0.0.1:8000/v/{voucher.token}")
        assert (letter.expires_at, letter.time_zone) == (voucher.expires_at, "Europe/London")
        assert letter.where_to_use == ("London",)


def test_the_code_in_the_letter_is_the_one_that_works(shop: Shop) -> None:
    voucher = shop.voucher(channels=("email",))
    shop.deliver()
    (letter,) = shop.sender().letters
    assert letter.code == voucher.code
    assert shop.redeem(letter.code).voucher_id == voucher.id


def test_an_apology_has_no_voucher_to_tell_of(shop: Shop) -> None:
    shop.issue(incentive="sorry", customer=named(EMAIL, name="Ana"), channels=("email",))
    assert shop.deliver() == ["captured"]
    (letter,) = shop.sender().letters
    assert (letter.template, letter.kind) == ("apology", "apology_only")
    assert (letter.amount, letter.code, letter.url, letter.expires_at) == (None, None, None, None)
    assert letter.apology == "Dear Ana, Acme is sorry about. Acme: The sorry"


def test_a_letter_says_what_was_approved_when_it_was_issued(shop: Shop) -> None:
    shop.issue(channels=("email",))
    publish_catalog(shop.core, catalog().replace("The voucher", "Another").replace("is sorry about", "regrets"))
    shop.deliver()
    (letter,) = shop.sender().letters
    assert letter.title == "The voucher"
    assert "is sorry about" in letter.apology


def test_nothing_that_can_be_redeemed_lies_in_the_queue(shop: Shop) -> None:
    voucher = shop.voucher(customer=BOTH, channels=("email", "sms"))
    rows = repr(shop.all(outbox_messages))
    shop.deliver()
    rows += repr(shop.all(outbox_messages)) + repr(shop.all(delivery_attempts)) + repr(shop.all(audit_events))
    for secret in (voucher.code, voucher.code.replace("-", ""), voucher.token, EMAIL, PHONE, "López"):
        assert secret not in rows
    assert voucher.code not in repr(shop.sender().letters)


# --- what becomes of it ------------------------------------------------------------------------------------------


def test_nothing_to_send_is_nothing(shop: Shop) -> None:
    shop.issue()
    assert deliver_next(core=shop.core) is None


def test_an_accepted_message_is_sent(shop: Shop) -> None:
    issued = shop.issue(channels=("email",))
    answering(shop, Accepted("sg-7"))
    shop.later(seconds=5)
    assert deliver_next(core=shop.core) == Delivered(message_id=issued.deliveries[0].id, status="sent")
    row, attempt = shop.one(outbox_messages), shop.one(delivery_attempts)
    assert (row.status, row.provider, row.provider_message_id, row.attempts) == ("sent", "recording", "sg-7", 1)
    assert (row.ended_at, row.lease_id, row.lease_until_at) == (START + timedelta(seconds=5), None, None)
    assert (attempt.number, attempt.provider, attempt.outcome, attempt.reason) == (1, "recording", "accepted", None)
    assert attempt.started_at == attempt.ended_at == START + timedelta(seconds=5)
    event = shop.one(audit_events, audit_events.c.action == "message.sent")
    assert event.subject_id == str(issued.id)
    assert shop.deliver() == []
    assert len(shop.sender().letters) == 1
    shop.check()


def test_what_will_never_work_is_tried_once(shop: Shop) -> None:
    shop.issue(channels=("email",))
    answering(shop, WillNeverWork("The mailbox does not exist. " + "x" * 400))
    assert shop.deliver() == ["failed"]
    row = shop.one(outbox_messages)
    assert (row.status, row.attempts) == ("failed", 1)
    assert row.reason.startswith("The mailbox does not exist.")
    assert len(row.reason) == 300
    assert shop.one(delivery_attempts).outcome == "will-never-work"
    shop.later(days=2)
    assert shop.deliver() == []


def test_what_fails_now_is_tried_again_on_a_schedule(shop: Shop) -> None:
    shop.issue(channels=("email",))
    for number, pause_seconds in enumerate(RETRY_SECONDS[:6], start=1):
        answering(shop, TryLater("Busy.", None))
        assert shop.deliver() == ["queued"]
        row = shop.one(outbox_messages)
        assert (row.status, row.attempts, row.reason, row.ended_at) == ("queued", number, "Busy.", None)
        waits_seconds = (row.available_at - shop.clock.now()).total_seconds()
        assert pause_seconds * (1 - JITTER) <= waits_seconds <= pause_seconds * (1 + JITTER)
        shop.clock.advance(row.available_at - shop.clock.now() - timedelta(microseconds=1))
        assert shop.deliver() == []
        shop.clock.advance(timedelta(microseconds=1))
    assert shop.deliver() == ["captured"]
    assert [row.outcome for row in shop.all(delivery_attempts)] == ["try-later"] * 6 + ["captured"]
    assert [row.number for row in shop.all(delivery_attempts)] == list(range(1, 8))
    # Waiting is no deed worth a line in the audit trail; having arrived is.
    assert [row.action for row in shop.all(audit_events) if row.action.startswith("message")] == ["message.captured"]


def test_messages_that_failed_together_do_not_come_back_together(shop: Shop) -> None:
    for number in range(20):
        shop.issue(customer=named(f"c{number}@example.com"), channels=("email",))
    answering(shop, *[TryLater("Busy.", None)] * 20)
    shop.deliver()
    assert len({row.available_at for row in shop.all(outbox_messages)}) > 10


@pytest.mark.parametrize("asked_seconds", [0.0, 2.0, 90.0, 7200.5, 3 * 86400.0])
def test_never_sooner_than_the_provider_asked(shop: Shop, asked_seconds: float) -> None:
    shop.issue(channels=("email",))
    answering(shop, TryLater("Slow down.", asked_seconds))
    shop.deliver()
    waits_seconds = (shop.one(outbox_messages).available_at - START).total_seconds()
    assert waits_seconds >= asked_seconds
    assert waits_seconds <= max(asked_seconds, RETRY_SECONDS[0] * (1 + JITTER))


def test_it_is_given_up_after_a_day(shop: Shop) -> None:
    shop.issue(channels=("email",))
    tries = 0
    while (row := shop.one(outbox_messages)).status == "queued":
        answering(shop, TryLater("Busy.", None))
        shop.clock.advance(max(row.available_at - shop.clock.now(), timedelta(0)))
        shop.deliver()
        tries += 1
    assert (row.status, row.reason) == ("failed", "Busy.")
    # The last try comes when the day is over, not a day later.
    assert GIVE_UP_AFTER <= shop.clock.now() - START <= GIVE_UP_AFTER + timedelta(hours=1)
    assert 11 <= tries <= 13  # by how its pauses are spread
    event = shop.one(audit_events, audit_events.c.action == "message.failed")
    assert event.facts["attempts"] == tries
    shop.check()


def test_a_voucher_that_is_no_longer_good_is_not_told_of(shop: Shop) -> None:
    spent = shop.voucher(channels=("email",))
    shop.issue(channels=("email",))
    shop.redeem(spent.code)
    assert shop.deliver() == ["withdrawn", "captured"]
    first = shop.all(outbox_messages)[0]
    assert (first.status, first.reason) == ("withdrawn", deliver._NOT_NEEDED_ABOUT["issuance"])
    shop.issue(channels=("email",))
    shop.later(days=32)
    assert shop.deliver() == ["withdrawn"]  # expired, swept or not
    assert len(shop.sender().letters) == 1
    assert [row.provider for row in shop.all(delivery_attempts)] == ["none", "recording", "none"]


def test_the_channels_of_a_customer_are_told_apart(shop: Shop) -> None:
    shop.issue(customer=BOTH, channels=("email", "sms"))
    answering(shop, WillNeverWork("No such mailbox."))
    assert sorted(shop.deliver()) == ["captured", "failed"]
    assert {row.channel: row.status for row in shop.all(outbox_messages)} == {"email": "failed", "sms": "captured"}


def test_who_has_waited_longest_is_first(shop: Shop) -> None:
    for number in range(3):
        shop.issue(customer=named(f"c{number}@example.com"), channels=("email",))
        shop.later(seconds=1)
    answering(shop, TryLater("Busy.", None))
    shop.deliver()
    assert [letter.to for letter in shop.sender().letters] == ["c0@example.com", "c1@example.com", "c2@example.com"]
    shop.later(seconds=10)
    shop.deliver()
    assert shop.sender().letters[-1].to == "c0@example.com"


# --- while it is sent --------------------------------------------------------------------------------------------


def test_no_connection_is_held_while_a_message_is_sent(shop: Shop) -> None:
    seen: list[tuple[int, str]] = []

    def look(_letter: Letter) -> None:
        pools = [sending.core.database.engine.pool, sending.core.database._reader.pool]
        held = sum(pool.checkedout() for pool in pools if isinstance(pool, QueuePool))
        seen.append((held, shop.one(outbox_messages).status))  # committed, so that others see it

    sending = deed_of(shop, look)
    shop.issue(channels=("email",))
    assert sending.deliver() == ["captured"]
    assert seen == [(0, "sending")]
    sending.core.database.dispose()


def test_a_message_whose_sender_died_is_taken_over_when_its_lease_ends(shop: Shop) -> None:
    class Death(BaseException):
        """kill -9, as near as a test comes to it."""

    def die(_letter: Letter) -> None:
        raise Death

    dying = deed_of(shop, die)
    shop.issue(channels=("email",))
    with pytest.raises(Death):
        deliver_next(core=dying.core)
    row = shop.one(outbox_messages)
    assert (row.status, row.attempts, row.lease_until_at) == ("sending", 1, START + LEASE)
    shop.clock.advance(LEASE - timedelta(microseconds=1))
    assert shop.deliver() == []
    shop.clock.advance(timedelta(microseconds=1))
    assert shop.deliver() == ["captured"]
    assert shop.one(outbox_messages).attempts == 2
    assert [row.number for row in shop.all(delivery_attempts)] == [2]
    shop.check()
    dying.core.database.dispose()


@pytest.mark.parametrize(
    ("late", "outcome"),
    [(Accepted("late"), "accepted"), (TryLater("Busy.", None), "try-later"), (WillNeverWork("No."), "will-never-work")],
)
def test_an_outcome_that_comes_too_late_decides_nothing(shop: Shop, late: Outcome, outcome: str) -> None:
    def dawdle(_letter: Letter) -> Outcome:
        shop.clock.advance(LEASE)
        assert shop.deliver() == ["sent"]  # another process, whose outcome counts
        return late

    slow = deed_of(shop, dawdle)
    shop.issue(channels=("email",))
    answering(shop, Accepted("in-time"))
    deliver_next(core=slow.core)
    row = shop.one(outbox_messages)
    assert (row.status, row.provider_message_id, row.attempts) == ("sent", "in-time", 2)
    assert sorted((row.number, row.outcome) for row in shop.all(delivery_attempts)) == [(1, outcome), (2, "accepted")]
    events = [row.action for row in shop.all(audit_events) if row.action.startswith("message")]
    assert events == ["message.sent"]
    slow.core.database.dispose()


def test_a_message_that_cannot_be_written_does_not_hold_up_the_others(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    def stumble(letter: Letter) -> None:
        if letter.to == "first@example.com":
            raise RuntimeError(f"a bug that names {letter.code}")

    sending = deed_of(shop, stumble)
    voucher = shop.voucher(customer=named("first@example.com"), channels=("email",))
    shop.issue(customer=named("second@example.com"), channels=("email",))
    assert sending.deliver() == ["queued", "captured"]
    first = shop.all(outbox_messages)[0]
    assert "RuntimeError" in first.reason
    assert voucher.code not in caplog.text + first.reason
    assert "RuntimeError" in caplog.text
    sending.core.database.dispose()


def test_a_letter_that_cannot_be_deciphered_does_not_hold_up_the_others(shop: Shop) -> None:
    shop.issue(channels=("email",))
    shop.later(seconds=1)
    keys: dict[str, Any] = {"INCENTIVES_CONTACT_KEYS": key_setting("OTHER")}
    other = Shop(**{**vars(shop), "core": make_core(shop.core.settings.database_url, clock=shop.clock, **keys)})
    other.issue(channels=("email",))
    assert other.deliver() == ["queued", "captured"]
    other.core.database.dispose()


def test_a_database_that_is_away_is_no_fault_of_the_message(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.issue(channels=("email",))

    def away(*_args: object, **_more: object) -> None:
        raise StorageUnavailable

    with monkeypatch.context() as patched:
        patched.setattr("incentives.queries.letters.compose", away)
        with pytest.raises(StorageUnavailable):
            deliver_next(core=shop.core)
    shop.clock.advance(LEASE)
    assert shop.deliver() == ["captured"]


def test_a_stuck_message_is_found_by_the_books(shop: Shop) -> None:
    shop.issue(channels=("email",))
    shop.later(minutes=61)
    assert _broken(shop) == ["nothing is stuck in the outbox"]
    shop.deliver()
    assert _broken(shop) == []


def _broken(shop: Shop) -> Sequence[str]:
    return [each.name for each in check_books(core=shop.core, actor=SYSTEM) if not each.holds]


def test_a_voucher_to_the_end_of_a_day_far_away(shop: Shop) -> None:
    shop.issue(incentive="dollars", location="new-york", channels=("email",))
    shop.deliver()
    (letter,) = shop.sender().letters
    assert letter.time_zone == "America/New_York"
    assert letter.expires_at == datetime(2026, 12, 21, 4, 59, 59, 999999, tzinfo=UTC)
