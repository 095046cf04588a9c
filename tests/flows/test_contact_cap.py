"""The contact cap: one address or number is promised so many messages within a day, whoever promises them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.deeds import suppressing
from incentives.deeds.suppressing import Unwanted
from incentives.flows import issue
from incentives.flows.issue import AwaitingApproval, Issued
from incentives.flows.renew import renew_all
from incentives.kernel.errors import CaseOfAnotherCustomer, ContactCap
from incentives.messages.tables import outbox_messages
from incentives.recovery.tables import case_tasks, customer_identities
from incentives.spending.tables import approvals
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.aftercare import Care
from tests.flows.bulk_shop import checked, csv_of, done, rows_of
from tests.flows.reported import answer, fired, firings, giving, text_with
from tests.flows.rotating import process
from tests.flows.shop import EMAIL, PHONE, Shop, named, wish
from tests.flows.test_hot_statements import what
from tests.flows.test_neighbors import at_once
from tests.world import person

OTHER_PHONE = "+442079460019"
SMS: dict[str, Any] = {"customer": named(phone=PHONE), "channels": ("sms",)}
MAIL: dict[str, Any] = {"customer": named(EMAIL), "channels": ("email",)}
DAY_SECONDS = 86_400


@pytest.fixture
def shop(open_shop: Any) -> Shop:
    strict: Shop = open_shop(INCENTIVES_CONTACT_CAP="3")
    return strict


def full(shop: Shop, **to: Any) -> None:
    """Use up what a contact may be sent."""
    for _ in range(3):
        shop.issue(**(to or SMS))


def messages(shop: Shop) -> int:
    return len(shop.all(outbox_messages))


def with_cap(shop: Shop, most: int = 3) -> Shop:
    """Return the shop as a process sees it that has another setting."""
    core = replace(shop.core, settings=replace(shop.core.settings, contact_cap=most))
    return Shop(**{**vars(shop), "core": core})


@contextmanager
def statements(shop: Shop) -> Iterator[list[str]]:
    """Hear every statement of those who write."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        found.append(" ".join(statement.split()))

    sa.event.listen(shop.core.database.engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        sa.event.remove(shop.core.database.engine, "before_cursor_execute", note)


def promised(shop: Shop) -> list[Any]:
    """Return how many messages each identity was promised."""
    stamps = [row.promised_ms for row in shop.all(customer_identities)]
    return [None if each is None else len(each) for each in stamps]


def test_the_fourth_to_one_number_is_refused_and_leaves_nothing(shop: Shop) -> None:
    for step in range(3):
        shop.issue(**SMS)
        shop.later(minutes=10 * (step + 1))
    refusal = shop.refused(ContactCap, shop.issue, **SMS, idempotency_key="k")
    assert refusal.facts == {"channel": "sms", "most": 3, "retry_after_seconds": DAY_SECONDS - 3600}
    assert refusal.slug == "contact-cap"
    assert PHONE[-4:] not in refusal.detail
    shop.later(seconds=DAY_SECONDS - 3600 - 1)
    assert shop.refused(ContactCap, shop.issue, **SMS).facts["retry_after_seconds"] == 1
    shop.later(seconds=1)
    shop.issue(**SMS, idempotency_key="k")
    shop.refused(ContactCap, shop.issue, **SMS)
    assert promised(shop) == [3]
    shop.deliver()
    shop.check()


def test_of_a_hundred_gifts_to_one_number_three_letters_go_out(shop: Shop) -> None:
    said: Counter[str] = Counter()
    for number in range(100):
        (each,) = shop.issue_many(wish(**SMS, idempotency_key=str(number)))
        said[each.slug if isinstance(each, ContactCap) else each.status] += 1
    assert said == {"issued": 3, "contact-cap": 97}
    assert shop.deliver() == ["captured"] * 3
    assert len(shop.sender("sms").letters) == 3
    shop.check()


def test_it_is_the_same_mailbox_however_it_is_spelled_and_whoever_sends_by_whatever(shop: Shop) -> None:
    full(shop, **MAIL)
    for spelling in ("Ana.Lopez@Example.com", "ana.lopez+me@example.com", "analopez@example.com"):
        shop.refused(
            ContactCap, shop.issue, shop.agent, customer=named(spelling), channels=("email",), amount_minor=500
        )
    shop.refused(ContactCap, shop.issue, customer=named(EMAIL, phone=PHONE), channels=("sms", "email"))
    shop.issue(customer=named(EMAIL, phone=PHONE), channels=("sms",))
    shop.issue(customer=named(EMAIL, phone=OTHER_PHONE), channels=("sms",))
    shop.issue(customer=named("ben@example.com"), channels=("email",))


def test_what_is_given_on_the_screen_is_no_message(shop: Shop) -> None:
    full(shop)
    for _ in range(4):
        assert shop.voucher(customer=named(phone=PHONE)).code
    assert messages(shop) == 3


def test_of_two_full_channels_it_says_how_long_for_both(shop: Shop) -> None:
    full(shop)
    shop.later(hours=1)
    full(shop, **MAIL)
    both = {"customer": named(EMAIL, phone=PHONE), "channels": ("email", "sms")}
    refusal = shop.refused(ContactCap, shop.issue, **both)
    assert refusal.facts == {"channel": "email", "most": 3, "retry_after_seconds": DAY_SECONDS}


def test_a_replay_is_answered_and_counts_nothing(shop: Shop) -> None:
    first = shop.issue(**SMS, idempotency_key="k")
    again = [shop.issue(**SMS, idempotency_key="k") for _ in range(5)]
    assert {each.id for each in again} == {first.id}
    shop.issue(**SMS)
    shop.issue(**SMS)
    assert shop.issue(**SMS, idempotency_key="k").voucher == again[0].voucher
    assert promised(shop) == [3]


@pytest.mark.parametrize("known", [False, True])
def test_gifts_that_go_together_are_counted_together(shop: Shop, *, known: bool) -> None:
    if known:
        shop.issue(customer=named(phone=PHONE))
    wishes = [wish(**SMS), wish(**MAIL), *([wish(**SMS)] * 4), wish(customer=named(phone=PHONE)), wish(**MAIL)]
    kinds = [type(each) for each in shop.issue_many(*wishes)]
    assert kinds == [Issued, Issued, Issued, Issued, ContactCap, ContactCap, Issued, Issued]
    assert sorted(promised(shop)) == [2, 3]
    assert messages(shop) == 5
    shop.check()


def test_what_was_foreseen_for_who_is_refused_takes_no_room_of_a_neighbor_with_the_same_number(shop: Shop) -> None:
    case_id = shop.issue(customer=named("ben@example.com")).case_id
    both = wish(customer=named(EMAIL, phone=PHONE), channels=("email",))
    kinds = [type(each) for each in shop.issue_many(wish(**SMS, case_id=case_id), both)]
    assert kinds == [CaseOfAnotherCustomer, Issued]
    full(shop)
    shop.refused(ContactCap, shop.issue, **SMS)


def test_who_is_refused_disturbs_no_neighbor(shop: Shop) -> None:
    full(shop)
    others = [{"customer": named(f"ben{number}@example.com"), "channels": ("email",)} for number in range(3)]
    wishes = [(shop.manager, wish(**each)) for each in (others[0], SMS, others[1], MAIL, MAIL, MAIL, MAIL, others[2])]
    assert [type(each) for each in issue._give(shop.core, wishes[:4])] == [Issued, ContactCap, Issued, Issued]
    kinds = [type(each) for each in at_once(shop, *wishes[3:])]
    assert kinds.count(ContactCap) == 2
    assert kinds[-1] is Issued
    assert sorted(promised(shop)) == [1, 1, 1, 3, 3]


def test_new_contacts_are_counted_for_what_they_were_given_only(shop: Shop) -> None:
    """What was foreseen for them is mended where it came otherwise: refused, or to be asked first."""
    asked = shop.ask(**SMS, amount_minor=3000)
    assert promised(shop) == [0]
    full(shop)
    shop.refused(ContactCap, shop.decide, asked.approval_id)
    assert shop.one(approvals).status == "pending"
    shop.later(days=1)
    assert shop.decide(asked.approval_id).status == "granted"
    assert promised(shop) == [1]
    results = shop.issue_many(wish(**MAIL), wish(**MAIL, amount_minor=1), wish(**MAIL))
    assert isinstance(results[0], Issued)
    assert isinstance(results[2], Issued)
    assert sorted(promised(shop)) == [1, 2]


def test_who_must_be_asked_first_is_promised_nothing_yet(shop: Shop) -> None:
    full(shop)
    asked = shop.ask(**SMS, amount_minor=3000)
    assert isinstance(asked, AwaitingApproval)
    other = shop.refused(ContactCap, shop.decide, asked.approval_id, incentive="fixed")
    assert other.facts["retry_after_seconds"] == DAY_SECONDS
    assert shop.decide(asked.approval_id, "decline", comment="Not now.").status == "declined"


def test_what_is_sent_again_counts(shop: Shop) -> None:
    desk = Care(shop)
    first = shop.voucher(**SMS)
    shop.issue(**SMS)
    shop.deliver()
    desk.resend(first.id, idempotency_key="k")
    shop.deliver()
    refusal = shop.refused(ContactCap, desk.resend, first.id)
    assert refusal.facts == {"channel": "sms", "most": 3, "retry_after_seconds": DAY_SECONDS}
    assert desk.resend(first.id, idempotency_key="k").replayed
    shop.later(days=1)
    desk.resend(first.id)


def test_what_takes_the_place_of_another_counts_where_it_is_sent(shop: Shop) -> None:
    desk = Care(shop)
    full(shop)
    (first, *_) = shop.all(vouchers)
    shop.refused(ContactCap, desk.reissue, first.id)
    elsewhere = desk.reissue(first.id, customer=named(phone=OTHER_PHONE))
    assert sorted(promised(shop)) == [1, 3]
    shop.refused(ContactCap, desk.reissue, elsewhere.voucher.id, customer=named(phone=PHONE))
    assert desk.reissue(elsewhere.voucher.id, channels=()).shown
    assert messages(shop) == 4
    shop.check()


def test_a_new_address_is_counted_from_its_first_message(shop: Shop) -> None:
    desk = Care(shop)
    given = shop.voucher()
    for number in (PHONE, OTHER_PHONE) * 3:
        given = desk.reissue(given.id, customer=named(phone=number), channels=("sms",)).voucher
    shop.refused(ContactCap, desk.reissue, given.id, customer=named(phone=PHONE), channels=("sms",))


def test_what_was_promised_counts_whatever_becomes_of_it(shop: Shop) -> None:
    full(shop)
    (first, *_) = shop.all(vouchers)
    Care(shop).void(first.id)
    shop.refused(ContactCap, shop.issue, **SMS)


def test_what_is_never_sent_counts_not(shop: Shop) -> None:
    """Nothing is sent to a number that nobody can be reached at: that is known when it is given."""
    now = shop.clock.now()
    gone = Unwanted(channel="sms", address=PHONE, reason="invalid", source="twilio", at=now)
    with shop.core.database.write() as tx:
        suppressing.suppress(tx, shop.core, [gone], now)
    for _ in range(5):
        assert [each.status for each in shop.issue(**SMS).deliveries] == ["suppressed"]
    assert promised(shop) == [0]


def test_what_is_told_later_counts_on_its_day(shop: Shop) -> None:
    """Or a month of gifts for one day would all arrive on it."""
    day = shop.clock.now() + timedelta(days=10)
    full(shop, **SMS, deliver_after=day)
    full(shop)
    shop.later(days=3)
    refusal = shop.refused(ContactCap, shop.issue, **SMS, deliver_after=day + timedelta(hours=1))
    assert refusal.facts["retry_after_seconds"] == 23 * 3600
    shop.issue(**SMS, deliver_after=day + timedelta(days=1))
    shop.issue(**SMS)


def test_without_a_cap_nothing_is_asked_and_nothing_counted(open_shop: Any) -> None:
    shop: Shop = open_shop(INCENTIVES_CONTACT_CAP="0")
    shop.issue(**SMS)
    with statements(shop) as found:
        for _ in range(30):
            shop.issue(**SMS)
    assert not [each for each in found if "promised_ms" in each and "INSERT" not in each]
    assert promised(shop) == [None]


def test_twenty_are_the_most_where_nobody_says_otherwise(open_shop: Any) -> None:
    shop: Shop = open_shop()
    kinds = [type(each) for each in shop.issue_many(*[wish(**SMS)] * 22)]
    assert kinds == [Issued] * 20 + [ContactCap] * 2


def test_a_cap_that_is_raised_or_lowered_holds_at_once(shop: Shop) -> None:
    full(shop)
    shop.later(hours=1)
    higher, lower = (with_cap(shop, most) for most in (5, 1))
    higher.issue(**SMS)
    higher.issue(**SMS)
    higher.refused(ContactCap, higher.issue, **SMS)
    assert lower.refused(ContactCap, lower.issue, **SMS).facts["retry_after_seconds"] == DAY_SECONDS
    assert shop.refused(ContactCap, shop.issue, **SMS).facts["retry_after_seconds"] == DAY_SECONDS - 3600


def test_it_is_found_under_a_newer_key_too(shop: Shop) -> None:
    shop.issue(**SMS)
    shop.issue(**SMS)
    both, only = (with_cap(process(shop, CONTACT=keys)) for keys in (("t", "n"), ("n",)))
    both.issue(**SMS)
    both.refused(ContactCap, both.issue, **SMS)
    assert sum(each.digests for each in renew_all(core=both.core)) == 1
    only.refused(ContactCap, only.issue, **SMS)
    both.refused(ContactCap, both.issue, **SMS)


@pytest.mark.parametrize("keys", [("t", "n:known"), ("t", "n")])
def test_who_is_met_under_a_newer_key_for_the_first_time_is_no_stranger(shop: Shop, keys: tuple[str, ...]) -> None:
    full(shop)
    other = with_cap(process(shop, CONTACT=keys))
    other.refused(ContactCap, other.issue, **SMS)
    shop.later(days=1)
    kinds = [type(each) for each in other.issue_many(*[wish(**SMS)] * 4)]
    assert kinds == [Issued] * 3 + [ContactCap]
    known = with_cap(process(shop, CONTACT=("t", "n:known")))
    known.refused(ContactCap, known.issue, **SMS)


def test_what_stood_under_two_keys_is_added_up(shop: Shop) -> None:
    only, both = (with_cap(process(shop, CONTACT=keys)) for keys in (("n",), ("t", "n")))
    shop.issue(**SMS)
    only.issue(**SMS)
    both.issue(**SMS)
    both.refused(ContactCap, both.issue, **SMS)
    list(renew_all(core=both.core))
    assert promised(shop) == [3]
    only.refused(ContactCap, only.issue, **SMS)


def test_a_row_of_a_list_is_refused_as_foreseen_and_can_be_tried_again(open_shop: Any) -> None:
    shop: Shop = open_shop(INCENTIVES_CONTACT_CAP="3")
    boss = person(shop.core, "manager")
    shop.issue(**MAIL)
    header = "issue_tag,email,channels"
    rows = csv_of(*[f"long-wait,{EMAIL},email"] * 4, "long-wait,ben@customer.example,email", header=header)
    assert checked(shop.core, boss, rows).totals["verdicts"] == {"issued": 3, "pending_approval": 0, "refused": 2}
    job = done(shop.core, boss, rows, again="now")
    assert (job.status, job.rows_issued, job.rows_refused) == ("done", 3, 2)
    refused = [each for each in rows_of(shop.core, boss, job) if each.status == "refused"]
    assert {each.error["slug"] for each in refused if each.error} == {"contact-cap"}
    assert messages(shop) == 4
    whole = done(shop.core, boss, rows, again="whole", mode="all_or_nothing")
    assert whole.rows_issued == 0
    shop.check()


def test_a_rule_that_may_not_send_leaves_it_to_a_person(open_shop: Any) -> None:
    shop: Shop = open_shop(text_with(giving()), INCENTIVES_CONTACT_CAP="1")
    shop.issue(**MAIL)
    answer(shop)
    assert [each.actions[-1] for each in firings(shop)] == [{"deed": "issue", "result": "contact-cap"}]
    assert fired(shop) == [("bad", "refused")]
    assert "contact cap" in (shop.core.contacts.decrypt(shop.one(case_tasks).title) or "")
    assert len(shop.all(issuances)) == 1
    shop.check()


@pytest.mark.parametrize("backend", ["postgresql"])
@pytest.mark.parametrize("most", [0, 3])
def test_who_is_new_costs_no_statement_more_and_who_is_known_one(shop: Shop, most: int) -> None:
    other, of_customers = with_cap(shop, most), list[list[str]]()
    other.issue(channels=("email",))
    for _ in range(2):
        with statements(shop) as found:
            other.issue(customer=named("new@example.com"), channels=("email",))
        of_customers.append([what(each) for each in found if "customer_identities" in each])
    new, (first, *held) = of_customers
    assert new == ["SELECT customer_identities", "INSERT customer_identities"]
    assert first == "SELECT customer_identities"
    if most:
        assert held[:-1] == ["SELECT customer_identities FOR UPDATE"]
        assert "INSERT outbox_messages + UPDATE customer_identities + INSERT audit_events" in held[-1]
    else:
        assert held == []
