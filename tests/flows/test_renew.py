"""Renewing: what an older key encrypted, or is found by, is made anew by the newest; then the older can go."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.deeds import capping, suppressing
from incentives.deeds.suppressing import Unwanted
from incentives.flows import renew
from incentives.flows.hear import START, STOP, OptOut, hear_opt_out
from incentives.flows.people import CreateUser, create_user
from incentives.flows.renew import ACTION, renew_all
from incentives.kernel.actors import SYSTEM
from incentives.kernel.errors import AlreadyListed, BlockedBySafeguards, CustomerCapReached, KeyRetired
from incentives.messages import suppression
from incentives.messages.tables import suppressions
from incentives.queries.came_back import came_back, digests_of
from incentives.queries.encrypted import PLACES, STOPPED, Place, keys_in_use
from incentives.recovery.customers import Contact
from incentives.recovery.tables import customer_identities, customers
from incentives.safeguards.tables import listed_values
from incentives.vouchers.tables import issuances
from tests.flows.rotating import process
from tests.flows.shop import EMAIL, PHONE, Shop, budget, catalog, named
from tests.flows.test_listing import put
from tests.flows.test_postings_by_month import wait_for_a_waiter
from tests.world import PASSWORD

OLD, BOTH, NEW = ("t",), ("t", "n"), ("n",)


@pytest.fixture
def once(open_shop: Any) -> Shop:
    shop: Shop = open_shop(catalog(budget("once", "customer", period="none", cap_count=1)))
    return shop


def renewed(shop: Shop) -> dict[str, int]:
    """Renew all, and return the sums."""
    done = list(renew_all(core=shop.core))
    return {name: sum(getattr(each, name) for each in done) for name in ("renewed", "digests", "passed", "lost")}


def in_use(shop: Shop) -> dict[tuple[str, str], int]:
    return {(each.key_id, each.what): each.count for each in keys_in_use(core=shop.core) if each.purpose == "contact"}


def test_the_newest_key_alone_reads_and_finds_everybody(once: Shop) -> None:
    once.issue(customer=named(EMAIL, phone=PHONE, external_ref="A-1"), note="Was kind.")
    both, only = process(once, CONTACT=BOTH), process(once, CONTACT=NEW)
    assert (in_use(both)["t", "values"], in_use(both)["t", "digests"]) == (4, 3)
    with pytest.raises(KeyRetired):
        only.core.contacts.decrypt(only.one(issuances).contact)
    assert renewed(both) == {"renewed": 4, "digests": 3, "passed": 0, "lost": 0}
    assert (in_use(both)["t", "values"], in_use(both)["t", "digests"], in_use(both)["n", "values"]) == (0, 0, 4)
    for customer in (named("ana.lopez+x@example.com"), named(phone=PHONE), named(external_ref="A-1")):
        only.refused(CustomerCapReached, only.issue, customer=customer)
    assert only.core.contacts.decrypt(only.one(issuances).note) == "Was kind."
    assert len(only.all(customers)) == 1
    assert len(only.all(customer_identities)) == 3
    event = only.one(audit_events, audit_events.c.action == ACTION)
    assert event.facts == {"purpose": "contact", "key": "n", "renewed": 4, "digests": 3, "lost": 0}
    only.check()


def test_without_renewing_the_customer_would_be_a_stranger(once: Shop) -> None:
    once.issue(customer=named(EMAIL))
    only = process(once, CONTACT=NEW)
    only.issue(customer=named(EMAIL))
    assert len(only.all(customers)) == 2


def test_begun_again_it_passes_over_what_is_done(once: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [place._replace(at_once=2) for place in PLACES]
    monkeypatch.setattr(renew, "PLACES", places)
    for number in range(5):
        once.issue(customer=named(f"ana{number}@example.com"))
    both = process(once, CONTACT=BOTH)
    walk = renew_all(core=both.core)
    first = next(walk)
    del walk  # the operator breaks it off
    assert (first.table, first.renewed) == ("customers", 2)
    assert renewed(both)["renewed"] == 5 * 3 - 2  # a profile, a contact of the gift and one of its case
    assert renewed(both) == {"renewed": 0, "digests": 0, "passed": 0, "lost": 0}


def test_two_strangers_who_were_met_under_either_key_are_one_customer(once: Shop) -> None:
    """While processes are started in turn without the middle step, one address can be met under both keys."""
    once.issue(customer=named(EMAIL))
    only, both = process(once, CONTACT=NEW), process(once, CONTACT=BOTH)
    only.issue(customer=named(EMAIL))
    assert renewed(both)["digests"] == 1
    assert len({row.group_id for row in both.all(customers)}) == 1
    assert len(both.all(customer_identities)) == 1
    both.refused(CustomerCapReached, both.issue, customer=named(EMAIL))


@pytest.mark.parametrize(
    ("kind", "value"),
    [("email", EMAIL), ("phone", PHONE), ("external_ref", "A-1"), ("email_domain", "example.com")],
)
def test_who_is_refused_stays_refused(shop: Shop, kind: str, value: str) -> None:
    customer = named(EMAIL, phone=PHONE, external_ref="A-1")
    shop.issue(customer=customer)
    put(shop, kind, value)
    both, only = process(shop, CONTACT=BOTH), process(shop, CONTACT=NEW)
    renewed(both)
    with pytest.raises(BlockedBySafeguards):  # which leaves a review
        only.issue(customer=customer)
    only.refused(AlreadyListed, put, only, kind, value)


@pytest.mark.parametrize("kind", ["ip_block", "actor"])
def test_what_is_no_secret_is_renewed_by_its_hint(shop: Shop, kind: str) -> None:
    value = {"ip_block": "203.0.113.0/24", "actor": shop.agent.label}[kind]
    put(shop, kind, value)
    renewed(process(shop, CONTACT=BOTH))
    only = process(shop, CONTACT=NEW)
    only.refused(AlreadyListed, put, only, kind, value)


def test_an_entry_that_nobody_can_spell_is_told(shop: Shop) -> None:
    put(shop, "email", "nobody@example.org")
    both = process(shop, CONTACT=BOTH)
    renewed(both)
    assert in_use(both)["?", "entries of lists that no contact spells"] == 1


def test_a_value_that_stands_under_both_keys_stands_once(shop: Shop) -> None:
    shop.issue(customer=named(EMAIL))
    put(shop)
    only, both = process(shop, CONTACT=NEW), process(shop, CONTACT=BOTH)
    put(only)
    renewed(both)
    assert [row.removed_at is None for row in both.all(listed_values)].count(True) == 1
    assert len({row.digest for row in both.all(listed_values)}) == 1


def test_nothing_is_sent_to_who_wants_no_more(shop: Shop) -> None:
    shop.issue(customer=named(EMAIL))
    only, both = process(shop, CONTACT=NEW), process(shop, CONTACT=BOTH)
    now = shop.clock.now()
    for who in (shop, only):
        row = {
            "id": shop.core.ids.new(now), "channel": "email", "hint": "a…@example.com", "source": "sendgrid",
            "digest": digests_of(who.core, "email", EMAIL, "complained")[0], "reason": "complained", "since": now,
        }  # fmt: skip
        with shop.core.database.write() as tx:
            assert suppression.add(tx, row)
    renewed(both)
    assert [row.lifted_at is None for row in both.all(suppressions)].count(True) == 1
    with only.core.database.read() as tx:
        (found,) = came_back(tx, only.core, [Contact(email=EMAIL)], now, sure=True)
    assert found["email"].reason == "complained"


def stopped(shop: Shop, number: str, key: str = "SM1") -> None:
    told = OptOut(provider="twilio", channel="sms", word=STOP, event_key=f"{key}:STOP", address=number)
    assert hear_opt_out(core=shop.core, opt_out=told)


def missed(shop: Shop) -> dict[str, int]:
    return {each.what: each.count for each in keys_in_use(core=shop.core) if each.is_missed}


def test_a_stop_of_a_number_that_no_contact_has_holds_while_its_key_stands_there(shop: Shop) -> None:
    stopped(shop, PHONE)
    shop.later(seconds=1)
    both, retired = process(shop, CONTACT=BOTH), process(shop, CONTACT=("t:retired", "n"))
    renewed(both)
    assert (in_use(both)["?", STOPPED], missed(both), missed(retired)) == (1, {}, {STOPPED: 1})
    given = retired.issue(customer=named(phone=PHONE), channels=("sms",))
    assert [each.status for each in given.deliveries] == ["suppressed"]
    shop.later(seconds=1)
    stopped(retired, PHONE, "SM2")
    stopped(retired, "+447400123456", "SM3")  # it came after all was renewed: of the newest key
    assert len(retired.all(suppressions)) == 2
    # From now on a contact spells it.
    renewed(retired)
    assert missed(retired) == {}
    only = process(shop, CONTACT=NEW)
    again = only.issue(customer=named(phone=PHONE), channels=("sms",))
    assert [each.status for each in again.deliveries] == ["suppressed"]


def test_of_two_entries_of_one_number_the_weightier_stays(shop: Shop) -> None:
    shop.issue(customer=named(phone=PHONE), channels=())
    only, both = process(shop, CONTACT=NEW), process(shop, CONTACT=BOTH)
    unwanted = Unwanted(channel="sms", address=PHONE, reason="blocked", source="twilio", at=shop.clock.now())
    with shop.core.database.write() as tx:
        assert suppressing.suppress(tx, only.core, [unwanted], shop.clock.now())
    stopped(shop, PHONE)
    with shop.core.database.read() as tx:
        (found,) = came_back(tx, both.core, [Contact(phone=PHONE)], shop.clock.now(), sure=True)
    assert found["sms"].reason == "unsubscribed"
    renewed(both)
    assert {(row.reason, row.lifted_at is None) for row in both.all(suppressions)} == {
        ("blocked", False),
        ("unsubscribed", True),
    }
    with shop.core.database.read() as tx:
        (found,) = came_back(tx, only.core, [Contact(phone=PHONE)], shop.clock.now(), sure=True)
    assert found["sms"].reason == "unsubscribed"


def test_what_was_late_still_counts_after_one_of_two_entries_has_ended(shop: Shop) -> None:
    """That renewing ended one is nobody's word that the address is to be sent to again."""
    shop.issue(customer=named(EMAIL))
    early = shop.clock.now()
    shop.later(hours=1)
    late = Unwanted(channel="email", address=EMAIL, reason="bounced", source="sendgrid", at=early)
    for keys in (OLD, NEW):
        with shop.core.database.write() as tx:
            blocked = replace(late, reason="blocked", at=shop.clock.now())
            assert suppressing.suppress(tx, process(shop, CONTACT=keys).core, [blocked], shop.clock.now())
    both = process(shop, CONTACT=BOTH)
    renewed(both)
    with shop.core.database.write() as tx:
        assert suppressing.suppress(tx, both.core, [late], shop.clock.now())


def test_start_lifts_what_stands_under_either_key(shop: Shop) -> None:
    stopped(shop, PHONE)
    stopped(process(shop, CONTACT=NEW), PHONE, "SM2")
    both = process(shop, CONTACT=BOTH)
    told = OptOut(provider="twilio", channel="sms", word=START, event_key="SM3:START", address=PHONE)
    assert hear_opt_out(core=both.core, opt_out=told)
    assert [row.lifted_at is None for row in both.all(suppressions)] == [False, False]


@pytest.mark.parametrize("reason", ["bounced", "complained"])
def test_an_address_of_staff_is_spelled_as_theirs_and_as_it_is(shop: Shop, reason: str) -> None:
    email = "Jo.Root+mail@brand.example"
    create_user(core=shop.core, actor=SYSTEM, command=CreateUser(email=email, role="admin", password=PASSWORD))
    unwanted = Unwanted(channel="email", address=email, reason=reason, source="sendgrid", at=shop.clock.now())
    with shop.core.database.write() as tx:
        assert suppressing.suppress(tx, shop.core, [unwanted], shop.clock.now())
    shop.later(seconds=1)
    both = process(shop, CONTACT=BOTH)
    assert in_use(both)["t", "digests"] == 1
    assert renewed(both)["digests"] == 1
    assert in_use(both)["t", "digests"] == 0
    assert missed(process(shop, CONTACT=("t:retired", "n"))) == {}
    only = process(shop, CONTACT=NEW)
    with only.core.database.read() as tx:
        (found,) = came_back(tx, only.core, [Contact(email=email)], shop.clock.now(), sure=True)
    assert found["email"].reason == reason


def test_a_key_that_was_retired_too_early_still_opens_what_it_made_for_renewing(once: Shop) -> None:
    once.issue(customer=named(EMAIL, phone=PHONE), note="Was kind.")
    early = process(once, CONTACT=("t:retired", "n"))
    assert missed(early) == {"values": 4, "digests": 2}
    with pytest.raises(KeyRetired):
        early.core.contacts.decrypt(early.one(issuances).note)
    assert renewed(early) == {"renewed": 4, "digests": 2, "passed": 0, "lost": 0}
    assert missed(early) == {}
    assert early.core.contacts.decrypt(early.one(issuances).note) == "Was kind."
    early.refused(CustomerCapReached, early.issue, customer=named(EMAIL))


def test_a_row_that_was_changed_meanwhile_is_left(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.issue(customer=named(EMAIL), note="The first.")
    both = process(shop, CONTACT=BOTH)
    still_so = renew._still_so
    changed: list[str | None] = []

    def meanwhile(tx: Any, place: Place, wanted: Any) -> Any:
        if place.table is issuances and not changed:
            changed.append(both.core.contacts.encrypt("The second."))
            tx.execute(issuances.update().values(note=changed[0]))
        return still_so(tx, place, wanted)

    monkeypatch.setattr(renew, "_still_so", meanwhile)
    assert renewed(both)["passed"] == 1
    assert both.one(issuances).note == changed[0]
    assert in_use(both)["t", "values"] == 0  # the second round has found the rest of the row


@pytest.mark.parametrize("backend", ["postgresql"])
def test_a_row_that_somebody_is_at_is_passed_over(shop: Shop) -> None:
    """Nobody waits, and the key cannot go yet."""
    shop.issue(customer=named(EMAIL))
    both = process(shop, CONTACT=BOTH)
    with shop.core.database.write() as tx:
        tx.execute(sa.select(issuances.c.id).with_for_update()).all()
        assert renewed(both)["passed"] == renew._ROUNDS
    assert in_use(both)["t", "values"] == 1
    assert renewed(both)["passed"] == 0
    assert in_use(both)["t", "values"] == 0


def test_what_no_key_opens_is_told_and_left(shop: Shop) -> None:
    shop.issue(customer=named(EMAIL))
    other = process(shop, CONTACT=("x", "y"))
    assert renewed(other)["lost"] == 3
    assert in_use(other)["None", "values"] == 3
    assert {each.state for each in keys_in_use(core=other.core) if each.key_id == "None"} == {"missing"}


def test_codes_and_seals_are_counted_by_their_key(shop: Shop) -> None:
    shop.voucher()
    other = process(shop, CODE=("t", "n"))
    other.voucher()
    other.voucher()
    found = {each.key_id: each.count for each in keys_in_use(core=other.core) if each.purpose == "code"}
    assert found == {"t": 1, "n": 2}
    shop.clock.advance(timedelta(days=32))
    assert {each.count for each in keys_in_use(core=other.core) if each.purpose == "code"} == {0}


@pytest.mark.parametrize("backend", ["postgresql"])
def test_who_gives_meanwhile_waits_in_no_ring_with_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    sms: dict[str, Any] = {"customer": named(phone=PHONE), "channels": ("sms",)}
    shop.issue(**sms)
    both, hold = process(shop, CONTACT=("t", "n")), capping.hold
    digests: list[int] = []
    renewing = threading.Thread(target=lambda: digests.extend(each.digests for each in renew_all(core=both.core)))

    def met_and_not_locked_yet(*arguments: Any) -> Any:
        renewing.start()
        wait_for_a_waiter(shop)
        return hold(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(capping, "hold", met_and_not_locked_yet)
        both.issue(**sms)
    renewing.join()
    assert sum(digests) == 1
    assert len(shop.one(customer_identities).promised_ms) == 2
