"""Issuing: one call gives an incentive with everything that follows from it, or asks somebody, or leaves no trace."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from incentives.books.tables import audit_events, ledger_entries, ledger_postings
from incentives.catalog.tables import catalog_items
from incentives.kernel import idempotency
from incentives.kernel.errors import IdempotencyKeyReused, NotPermitted, UnknownIncentive
from incentives.kernel.money import Money
from incentives.messages.tables import outbox_messages
from incentives.recovery.customers import Contact
from incentives.recovery.tables import customer_identities, customers, recovery_cases
from incentives.spending.tables import approvals, budget_movements, budget_periods
from incentives.vouchers import codes
from incentives.vouchers.tables import issuances, vouchers
from tests.flows.shop import EMAIL, PHONE, Shop, budget, catalog, named, wish
from tests.world import START, actor

BOTH = named(EMAIL, phone=PHONE, name="Ana López", external_ref="loyal customer 7", locale="es")
OpenShop = Callable[..., Shop]


def test_an_issue_writes_one_row_of_everything_that_belongs_to_it(shop: Shop) -> None:
    given = shop.issue(customer=BOTH, channels=("sms", "email"), location="london", order_ref="BA1", note="Two hours.")
    assert shop.count() == {
        "customers": 1,
        "customer_identities": 3,
        "recovery_cases": 1,
        "case_tags": 1,
        "issuances": 1,
        "vouchers": 1,
        "budget_periods": 1,
        "budget_movements": 1,
        "ledger_entries": 1,
        "ledger_postings": 2,
        "outbox_messages": 2,
        "audit_events": 3,  # two of them are the catalog's
    }
    assert given.status == "issued"
    assert not given.replayed
    assert [each.channel for each in given.deliveries] == ["email", "sms"]
    assert [each.status for each in given.deliveries] == ["queued", "queued"]
    shop.check()


def test_the_voucher_is_what_was_promised(shop: Shop) -> None:
    given = shop.issue(amount_minor=1500, location="london")
    voucher = given.voucher
    assert voucher is not None
    assert voucher.amount == Money(1500, "GBP")
    assert voucher.status == "issued"
    # Thirty days after 20 November is 20 December, to the end of that day in London.
    assert voucher.expires_at == datetime(2026, 12, 20, 23, 59, 59, 999999, tzinfo=UTC)
    assert len(codes.normalized(voucher.code)) == 13
    assert voucher.code == codes.printed(codes.normalized(voucher.code))
    assert voucher.last4 == codes.normalized(voucher.code)[-4:]
    assert codes.voucher_of_token(shop.core.keys.links, voucher.token) == voucher.id
    row = shop.one(vouchers)
    assert (row.id, row.issuance_id, row.number, row.status) == (voucher.id, given.id, 1, "issued")
    assert (row.amount_minor, row.currency, row.time_zone) == (1500, "GBP", "Europe/London")
    assert row.code_digest == codes.digest(shop.core.keys.codes, row.code_key_id, codes.normalized(voucher.code))


def test_the_expiry_is_the_end_of_the_day_where_it_is_given(shop: Shop) -> None:
    voucher = shop.voucher(incentive="dollars", location="new-york")
    assert voucher.expires_at == datetime(2026, 12, 21, 4, 59, 59, 999999, tzinfo=UTC)
    refund = shop.voucher(incentive="refund", location="london")
    assert refund.expires_at == START + timedelta(days=30)


def test_the_voucher_pins_the_version_that_was_approved(shop: Shop) -> None:
    shop.issue()
    issued, voucher = shop.one(issuances), shop.one(vouchers)
    item = shop.one(catalog_items, catalog_items.c.id == voucher.incentive_item_id)
    assert issued.incentive_item_id == voucher.incentive_item_id
    assert (item.kind, item.key, item.definition["amount_minor"]) == ("incentive", "voucher", 1000)
    protocol = shop.one(catalog_items, catalog_items.c.id == issued.protocol_item_id)
    assert (protocol.kind, protocol.key) == ("protocol", "service")


def test_the_issuance_and_its_case_say_what_happened(shop: Shop) -> None:
    given = shop.issue(
        shop.agent,
        customer=named(EMAIL, segment="gold"),
        order_ref="BA1",
        note="Two hours.",
        severity=3,
        metadata={"queue": 7},
        channels=("email", "email"),
    )
    row, case, customer = shop.one(issuances), shop.one(recovery_cases), shop.one(customers)
    assert (row.id, row.case_id, row.customer_id) == (given.id, case.id, customer.id)
    assert (row.issue_tag, row.severity, row.segment, row.incentive) == ("long-wait", 3, "gold", "voucher")
    # The agent's place holds where the request names none.
    assert (row.location, row.team, row.actor) == ("london", "gates", shop.agent.label)
    assert (row.order_ref, row.metadata, row.channels) == ("BA1", {"queue": 7}, ["email"])
    assert row.note != "Two hours."
    assert shop.core.contacts.decrypt(row.note) == "Two hours."
    assert (row.requested_at, row.issued_at, row.locale) == (START, START, "en")
    assert (case.customer_id, case.issue_tag, case.severity, case.status) == (customer.id, "long-wait", 3, "open")
    assert (case.location, case.team, case.order_ref, case.opened_by) == ("london", "gates", "BA1", shop.agent.label)
    event = shop.one(audit_events, audit_events.c.action == "voucher.issued")
    assert (event.actor, event.subject_id, event.case_id) == (shop.agent.label, str(given.id), case.id)
    assert (
        event.reason == "long-wait"
    )  # and not the note: what staff write about people is not for books that nobody can alter
    assert given.voucher is not None
    assert event.facts == {
        "amount_minor": 1000,
        "currency": "GBP",
        "incentive": "voucher",
        "location": "london",
        "team": "gates",
        # Whence the money comes: from the trail alone every budget can be counted again.
        "charged": [list(each) for each in charged_pots(shop)],
        "voucher_id": str(given.voucher.id),
        "last4": given.voucher.last4,
    }


def charged_pots(shop: Shop) -> list[tuple[str, str, str]]:
    pots = [(row.budget, row.subject, row.period_key) for row in shop.all(budget_periods)]
    return sorted(pots)


def test_the_ledger_owes_what_was_promised(shop: Shop) -> None:
    given = shop.issue(amount_minor=1500)
    assert shop.balances() == {"recovery-expense": 1500, "voucher-liability": -1500}
    entry = shop.one(ledger_entries)
    assert given.voucher is not None
    assert (entry.kind, entry.source_id, entry.voucher_id) == ("voucher-issued", given.voucher.id, given.voucher.id)
    assert sum(each.amount_minor for each in shop.all(ledger_postings)) == 0


def test_every_budget_that_matches_is_charged_at_once(open_shop: OpenShop) -> None:
    each_scope = [
        budget("all-ever", period="none", cap_count=1000),
        budget("of-london", "location", of="london", cap_minor=50000),
        budget("of-leeds", "location", of="leeds", cap_minor=50000),
        budget("each-location", "location", cap_count=100),
        budget("of-gates", "team", of="gates", cap_count=100),
        budget("of-desk", "team", of="desk", cap_count=100),
        budget("each-team", "team", cap_minor=50000),
        budget("of-agent", "agent", of="agent@example.com", cap_minor=50000),
        budget("of-other", "agent", of="other@example.com", cap_minor=50000),
        budget("each-agent", "agent", cap_count=50),
        budget("of-service", "issue_tag", of="service", cap_minor=50000),
        budget("of-wait", "issue_tag", of="long-wait", cap_minor=50000),
        budget("of-odd", "issue_tag", of="odd", cap_minor=50000),
        budget("each-tag", "issue_tag", cap_minor=50000),
        budget("of-voucher", "incentive", of="voucher", cap_count=50),
        budget("of-fixed", "incentive", of="fixed", cap_count=50),
        budget("each-incentive", "incentive", cap_minor=50000),
        budget("each-customer", "customer", cap_count=5),
        budget("customer-usd", "customer", currency="USD", cap_minor=50000),
    ]
    shop = open_shop(catalog(*each_scope))
    shop.issue(shop.agent, amount_minor=1500)
    customer, label = str(shop.one(customers).id), shop.agent.label
    money = {
        ("all-gbp", "organization"),
        ("of-london", "london"),
        ("each-team", "gates"),
        ("of-agent", "agent@example.com"),
        ("of-service", "service"),  # the parent of the tag
        ("of-wait", "long-wait"),
        ("each-tag", "long-wait"),  # the nearest tag only: a pot for each tag is not a pot for each of its ancestors
        ("each-incentive", "voucher"),
        ("role:frontline:GBP/day", label),
        ("role:frontline:GBP/month", customer),
    }
    counted = {
        ("all-ever", "organization"),
        ("each-location", "london"),
        ("of-gates", "gates"),
        ("each-agent", label),
        ("of-voucher", "voucher"),
        ("each-customer", customer),
    }
    assert shop.pots("minor") == {
        **dict.fromkeys(money, (0, 1500, 0)),
        # A pot without a currency counts and never adds up the money of several.
        **dict.fromkeys(counted, (0, 0, 0)),
    }
    assert shop.pots("count") == dict.fromkeys(money | counted, (0, 1, 0))
    assert {row.kind for row in shop.all(budget_movements)} == {"commit"}
    shop.check()


@pytest.mark.parametrize(
    ("incentive", "charged_minor"),
    [
        ("voucher", 1000),
        ("fixed", 700),
        ("credit", 2000),
        ("percent", 3000),
        ("refund", 1200),
        ("meal", 800),
        ("points", 250),
        ("gift", 0),
    ],
)
def test_each_kind_charges_its_face_its_ceiling_or_its_cost(shop: Shop, incentive: str, charged_minor: int) -> None:
    voucher = shop.voucher(incentive=incentive, location="london")
    assert voucher.amount == Money(charged_minor, "GBP")
    assert shop.pot("all-gbp") == (0, charged_minor, 0)
    assert shop.pot("all-gbp", "count") == (0, 1, 0)
    assert shop.one(issuances).amount_minor == charged_minor
    assert shop.balances().get("voucher-liability", 0) == -charged_minor
    shop.check()


def test_an_apology_by_itself_gives_nothing_and_charges_nothing(shop: Shop) -> None:
    given = shop.issue(shop.agent, incentive="sorry", channels=("email",))
    assert (given.status, given.voucher) == ("issued", None)
    assert shop.count() == {
        "customers": 1,
        "customer_identities": 1,
        "recovery_cases": 1,
        "case_tags": 1,
        "issuances": 1,
        "outbox_messages": 1,
        "audit_events": 3,
    }
    message = shop.one(outbox_messages)
    assert (message.template, message.voucher_id, message.channel) == ("apology", None, "email")
    assert shop.one(issuances).amount_minor == 0
    assert shop.one(audit_events, audit_events.c.action == "apology.given").facts["last4"] is None
    shop.check()


def test_the_default_is_given_when_nobody_chooses(shop: Shop) -> None:
    assert shop.voucher().amount == Money(1000, "GBP")
    # In New York nobody pays in pounds, so the first of the protocol's incentives in dollars stands in.
    assert shop.voucher(location="new-york").amount == Money(1000, "USD")


def test_a_hand_over_needs_no_personal_data(shop: Shop) -> None:
    given = shop.issue(shop.agent, customer=named())
    assert given.deliveries == ()
    assert shop.all(customers) == shop.all(outbox_messages) == []
    row = shop.one(issuances)
    assert row.customer_id is None
    assert shop.one(recovery_cases).customer_id is None
    assert Contact.from_text(shop.core.contacts.decrypt(row.contact)) == Contact()
    assert set(shop.pots()) == {("all-gbp", "organization"), ("role:frontline:GBP/day", shop.agent.label)}
    shop.check()


def test_a_name_alone_is_nobody_who_could_be_found_again(shop: Shop) -> None:
    shop.issue(customer=named(name="Ana"))
    assert shop.all(customers) == []
    row = shop.one(issuances)
    assert Contact.from_text(shop.core.contacts.decrypt(row.contact)) == Contact(name="Ana")


def test_no_personal_data_stands_in_the_clear(shop: Shop) -> None:
    given = shop.issue(customer=BOTH, channels=("email", "sms"), idempotency_key="k")
    assert given.voucher is not None
    written = repr(shop.everything())
    for secret in (EMAIL, PHONE, PHONE[3:], "López", "loyal customer 7", given.voucher.code, given.voucher.token):
        assert secret not in written
    assert codes.normalized(given.voucher.code) not in written
    assert {row.kind for row in shop.all(customer_identities)} == {"email", "phone", "reference"}


def test_a_case_that_is_given_is_gone_on_with(shop: Shop) -> None:
    first = shop.issue()
    second = shop.issue(incentive="points", case_id=first.case_id)
    assert second.case_id == first.case_id
    assert len(shop.all(recovery_cases)) == 1
    assert len(shop.all(issuances)) == 2


def test_each_issue_opens_a_case_of_its_own_otherwise(shop: Shop) -> None:
    assert shop.issue().case_id != shop.issue().case_id


# --- the same key -----------------------------------------------------------------------------------------------


def test_the_same_key_gives_the_same_answer_and_nothing_more(shop: Shop) -> None:
    command: dict[str, Any] = {
        "customer": BOTH,
        "channels": ("email", "sms"),
        "amount_minor": 1500,
        "idempotency_key": "k-1",
    }
    first = shop.issue(**command)
    before = shop.everything()
    shop.later(days=3)
    again = shop.issue(**command)
    assert again.replayed
    assert shop.everything() == before
    assert again.voucher == first.voucher  # the code and the token too, which are stored nowhere
    assert (again.id, again.case_id, again.deliveries) == (first.id, first.case_id, first.deliveries)


def test_a_replay_is_the_first_answer_whatever_came_later(shop: Shop) -> None:
    first = shop.issue(incentive="credit", channels=("email",), idempotency_key="k")
    assert first.voucher is not None
    shop.redeem(first.voucher.code, order_total=Money(500, "GBP"))
    again = shop.issue(incentive="credit", channels=("email",), idempotency_key="k")
    assert again.voucher == first.voucher
    assert again.deliveries == first.deliveries


def test_a_request_for_approval_replays_as_it_was(shop: Shop) -> None:
    first = shop.ask(amount_minor=3000, idempotency_key="k")
    shop.decide(first.approval_id)
    again = shop.ask(amount_minor=3000, idempotency_key="k")
    assert again.replayed
    assert (again.id, again.approval_id, again.reasons, again.expires_at) == (
        first.id, first.approval_id, first.reasons, first.expires_at,
    )  # fmt: skip
    assert len(shop.all(approvals)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"amount_minor": 1500},
        {"incentive": "fixed"},
        {"customer": named("somebody@example.com")},
        {"channels": ("email",)},
        {"order_ref": "other"},
        {"metadata": {"a": 1}},
        {"severity": 3},
        {"location": "leeds"},
    ],
)
def test_the_same_key_with_another_body_is_refused(shop: Shop, other: dict[str, Any]) -> None:
    shop.issue(idempotency_key="k")
    shop.refused(IdempotencyKeyReused, shop.issue, idempotency_key="k", **other)


def test_a_key_belongs_to_its_caller(shop: Shop) -> None:
    first = shop.issue(idempotency_key="k")
    other = actor(shop.core, "manager")
    second = shop.issue(other, idempotency_key="k", amount_minor=1500)
    assert first.id != second.id
    assert not second.replayed


def test_a_key_is_not_used_up_by_a_refusal(shop: Shop) -> None:
    with pytest.raises(UnknownIncentive):
        shop.issue(idempotency_key="k", incentive="no-such")
    assert not shop.issue(idempotency_key="k").replayed
    assert len(shop.all(idempotency.idempotency_keys)) == 1


# --- who ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["till", "auditor", "finance", "nobody"])
def test_who_may_not_issue_is_refused(shop: Shop, role: str) -> None:
    shop.refused(NotPermitted, shop.issue, actor(shop.core, role))
    with pytest.raises(NotPermitted):
        shop.issue_many(wish(), by=actor(shop.core, role))


def test_a_crash_in_the_middle_leaves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_args: object, **_more: object) -> None:
        raise RuntimeError("the plug was pulled")

    before = shop.everything()
    with monkeypatch.context() as patched:
        patched.setattr("incentives.spending.budgets.write", crash)
        with pytest.raises(RuntimeError):
            shop.issue(channels=("email",), idempotency_key="k")
    assert shop.everything() == before
    assert not shop.issue(channels=("email",), idempotency_key="k").replayed


def test_ids_grow_with_time(shop: Shop) -> None:
    ids = []
    for _ in range(3):
        ids.append(shop.issue().id)
        shop.later(seconds=1)
    assert ids == sorted(ids)
    assert shop.one(issuances, issuances.c.id == ids[0]).requested_at == START
