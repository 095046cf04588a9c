"""Signals of abuse at the moment of giving: each counts what it says, and does what the catalog says."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.books.tables import audit_events
from incentives.flows.listing import ListValue, add_listed
from incentives.kernel.actors import Actor
from incentives.kernel.errors import BlockedBySafeguards, IssuingStopped, VoucherFrozen
from incentives.messages.tables import outbox_messages
from incentives.safeguards.tables import reviews, switches
from incentives.spending.tables import approvals
from incentives.vouchers.tables import issuances, vouchers
from tests import dump
from tests.flows.guarded import suspicious
from tests.flows.shop import EMAIL, Shop, named, wish

LEFT = ("reviews", "audit_events")
LIMITS = ({"role": "frontline", "currency": "GBP", "per_voucher_minor": 2000},)


def blocked(shop: Shop, by: Actor, **command: Any) -> Any:
    """Give what must be blocked; nothing is left but a review and its audit entry. Return the review."""
    before = dump.of(shop.core, without=LEFT)
    audited, reviewed = len(shop.all(audit_events)), len(shop.all(reviews))
    with pytest.raises(BlockedBySafeguards) as caught:
        shop.issue(by, **command)
    assert caught.value.facts == {}
    assert dump.differences(before, dump.of(shop.core, without=LEFT)) == {}
    assert (len(shop.all(audit_events)), len(shop.all(reviews))) == (audited + 1, reviewed + 1)
    return shop.all(reviews)[-1]


def test_nobody_gives_to_their_own_address(shop: Shop) -> None:
    """Any spelling of the giver's own address is theirs, without any signal being set."""
    row = blocked(shop, shop.agent, customer=named("A.gent+gift@Example.com"), amount_minor=1000)
    assert (row.kind, row.status, row.action, row.issuance_id) == ("issuance", "open", "block", None)
    assert [each["name"] for each in row.signals] == ["self_dealing"]
    assert (row.amount_minor, row.currency, row.location, row.actor) == (1000, "GBP", "london", shop.agent.label)


def test_nor_to_an_address_that_was_shown_to_be_theirs(shop: Shop) -> None:
    """A number that came with their address once is theirs from then on."""
    shop.issue(customer=named("agent@example.com", phone="+442079460999"))
    row = blocked(shop, shop.agent, customer=named(phone="+44 20 7946 0999"), amount_minor=1000)
    assert [each["name"] for each in row.signals] == ["self_dealing"]


def test_trying_again_opens_no_second_review(shop: Shop) -> None:
    """Whoever tries again and again has one review of it open."""
    blocked(shop, shop.agent, customer=named("agent@example.com"), amount_minor=1000)
    with pytest.raises(BlockedBySafeguards):
        shop.issue(shop.agent, customer=named("agent@example.com"), amount_minor=1000)
    shop.one(reviews)


def test_one_in_a_sequence_is_blocked_by_itself(shop: Shop) -> None:
    """The others are given, and the review is left."""
    command = wish(customer=named("agent@example.com"), amount_minor=1000)
    stopped, given = shop.issue_many(command, wish(amount_minor=1000), by=shop.agent)
    assert isinstance(stopped, BlockedBySafeguards)
    assert given.status == "issued"
    shop.one(reviews)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("issues_per_person", {}),
        ("issues_per_ip_block", {}),
        ("same_customer_by_person", {}),
        ("burst_at_end_of_shift", {}),
        ("just_below_limit", {"amount_minor": 1900}),
    ],
)
def test_holds_what_is_one_too_many(open_shop: Callable[..., Shop], name: str, more: dict[str, Any]) -> None:
    """Two are normal; the third is issued frozen, its messages held, a review opened with what was counted."""
    shop = open_shop(suspicious(limits=LIMITS, **{name: {"count": 2, "minutes": 60, "action": "hold"}}))
    agent = replace(shop.agent, ip="203.0.113.7")
    given = {"amount_minor": 500, "channels": ("email",), **more}
    for _ in range(2):
        shop.issue(agent, **given)
    held = shop.issue(agent, **given)
    assert held.voucher is not None
    assert [each.status for each in held.deliveries] == ["held"]
    row = shop.one(reviews)
    assert (row.kind, row.action, row.issuance_id, row.subject_id) == ("issuance", "hold", held.id, str(held.id))
    assert row.signals == [{"name": name, "count": 3, "limit": 2, "minutes": 60, "action": "hold"}]
    assert row.amount_minor == given["amount_minor"]
    assert [each.frozen_at is not None for each in shop.all(vouchers)] == [False, False, True]
    statuses = [each.status for each in shop.all(outbox_messages)]
    assert statuses == ["queued", "queued", "held"]
    with pytest.raises(VoucherFrozen):
        shop.redeem(held.voucher.code)
    shop.check()


def test_the_window_moves_on(open_shop: Callable[..., Shop]) -> None:
    """What was given before the window is not counted."""
    shop = open_shop(suspicious(issues_per_person={"count": 1, "action": "hold"}))
    shop.issue(shop.agent, amount_minor=500)
    shop.later(minutes=61)
    shop.issue(shop.agent, amount_minor=500)
    assert shop.all(reviews) == []


def test_counts_within_one_sequence(open_shop: Callable[..., Shop]) -> None:
    """What was given a moment before in the same request counts as well."""
    shop = open_shop(suspicious(issues_per_person={"count": 2, "action": "hold"}))
    shop.issue_many(*[wish(amount_minor=500) for _ in range(4)])
    assert [each.frozen_at is not None for each in shop.all(vouchers)] == [False, False, True, True]


def test_steps_up_to_somebody_else(open_shop: Callable[..., Shop]) -> None:
    """The same act needs somebody else's word, and says for which signal."""
    shop = open_shop(suspicious(issues_per_person={"count": 1, "action": "step_up"}))
    shop.issue(shop.agent, amount_minor=500)
    asked = shop.ask(amount_minor=500)
    assert asked.reasons == ("abuse:issues_per_person",)
    assert shop.one(approvals).reasons == ["abuse:issues_per_person"]
    shop.decide(asked.approval_id)
    shop.check()


def test_what_somebody_is_asked_for_anyway_is_not_held_too(open_shop: Callable[..., Shop]) -> None:
    """One second look is enough: the approver is told of the signal."""
    shop = open_shop(suspicious(issues_per_person={"count": 1, "action": "hold"}))
    shop.issue(shop.agent, amount_minor=500)
    asked = shop.ask(amount_minor=3000)
    assert "abuse:issues_per_person" in asked.reasons
    assert shop.all(reviews) == []


def test_allowing_changes_nothing(open_shop: Callable[..., Shop]) -> None:
    """A signal whose action is to allow holds nobody up."""
    shop = open_shop(suspicious(issues_per_person={"count": 1, "action": "allow"}))
    for _ in range(3):
        shop.issue(shop.agent, amount_minor=500)
    assert shop.all(reviews) == []


def test_the_sternest_signal_decides(open_shop: Callable[..., Shop]) -> None:
    """Of two signals that show, the sterner one's action is taken; the review keeps both."""
    shop = open_shop(
        suspicious(issues_per_person={"count": 1, "action": "hold"}, same_customer_by_person={"action": "block"})
    )
    shop.issue(shop.agent, amount_minor=500)
    row = blocked(shop, shop.agent, amount_minor=500)
    assert {each["name"] for each in row.signals} == {"issues_per_person", "same_customer_by_person"}
    assert row.action == "block"


def test_whoever_shows_a_signal_can_be_stopped(open_shop: Callable[..., Shop]) -> None:
    """With stop_actor the person is stopped until somebody who leads lifts it."""
    shop = open_shop(suspicious(issues_per_person={"count": 1, "action": "block", "stop_actor": True}))
    shop.issue(shop.agent, amount_minor=500)
    with pytest.raises(BlockedBySafeguards):
        shop.issue(shop.agent, amount_minor=500)
    row = shop.one(switches)
    assert (row.stops, row.scope, row.subject) == ("issuing", "person", shop.agent.label)
    assert row.set_by.startswith("system:")
    shop.later(hours=5)
    with pytest.raises(IssuingStopped):
        shop.issue(shop.agent, amount_minor=500)
    shop.issue(amount_minor=500)


def test_a_network_is_a_block_of_addresses(open_shop: Callable[..., Shop]) -> None:
    """Neighbors in a /24 count together, whoever they are; others do not. Only the block is kept."""
    shop = open_shop(suspicious(issues_per_ip_block={"count": 1, "action": "hold"}))
    shop.issue(replace(shop.agent, ip="203.0.113.7"), amount_minor=500)
    shop.issue(replace(shop.manager, ip="198.51.100.1"))
    shop.issue(replace(shop.manager, ip="203.0.113.99"))
    assert [each.ip_block for each in shop.all(issuances)] == [
        "203.0.113.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
    ]
    shop.one(reviews)


def test_a_shift_spread_evenly_is_no_burst(open_shop: Callable[..., Shop]) -> None:
    """So many in half an hour are a burst only when they are most of what was given in eight hours."""
    shop = open_shop(suspicious(burst_at_end_of_shift={"count": 2, "minutes": 30, "action": "hold"}))
    for _ in range(4):
        shop.issue(amount_minor=500)
    shop.clock.advance(timedelta(hours=1))
    before = len(shop.all(reviews))
    for _ in range(3):
        shop.issue(amount_minor=500)
    assert len(shop.all(reviews)) == before


def put_on(shop: Shop, name: str, kind: str, value: str) -> None:
    command = ListValue(list=name, kind=kind, value=value, reason="As agreed.")
    add_listed(core=shop.core, actor=shop.manager, command=command)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "Ana.Lopez+x@example.com"),
        ("email_domain", "EXAMPLE.com"),
        ("phone", "+442079460018"),
        ("external_ref", "c-1"),
        ("actor", ""),
        ("ip_block", "203.0.113.200"),
    ],
)
def test_who_is_denied_is_refused(shop: Shop, kind: str, value: str) -> None:
    """Whatever tells a customer, a giver or a network can be on the list, in any spelling."""
    agent = replace(shop.agent, ip="203.0.113.7")
    put_on(shop, "deny", kind, value or agent.label)
    customer = named(EMAIL, phone="+442079460018", external_ref="c-1")
    row = blocked(shop, agent, customer=customer, amount_minor=500)
    assert [each["name"] for each in row.signals] == ["deny_list"]


def test_who_is_to_be_looked_at_is_held(shop: Shop) -> None:
    """The review list holds what is given."""
    put_on(shop, "review", "email", EMAIL)
    shop.issue(channels=("email",))
    assert [each["name"] for each in shop.one(reviews).signals] == ["review_list"]
    shop.issue(customer=named("somebody@else.example"))
    shop.one(reviews)


def test_who_is_allowed_is_passed_by(open_shop: Callable[..., Shop]) -> None:
    """Signals pass by who is on the allow list; a denial does not."""
    shop = open_shop(suspicious(issues_per_person={"count": 1, "action": "block"}))
    put_on(shop, "allow", "email", EMAIL)
    for _ in range(3):
        shop.issue(shop.agent, amount_minor=500)
    put_on(shop, "deny", "external_ref", "c-9")
    blocked(shop, shop.agent, customer=named(EMAIL, external_ref="c-9"), amount_minor=500)


def test_an_entry_ends_with_its_time(shop: Shop) -> None:
    """After its time an entry says nothing any more."""
    end = shop.clock.now() + timedelta(days=1)
    command = ListValue(list="deny", kind="email", value=EMAIL, reason="For a day.", expires_at=end)
    add_listed(core=shop.core, actor=shop.manager, command=command)
    with pytest.raises(BlockedBySafeguards):
        shop.issue()
    shop.later(days=1, seconds=1)
    shop.issue()


COUNTING = (
    "issues_per_person", "issues_per_ip_block", "same_customer_by_person", "burst_at_end_of_shift", "just_below_limit",
)  # fmt: skip


def test_counts_by_one_statement_or_none(open_shop: Callable[..., Shop]) -> None:
    """However many signals are on, they cost one statement; off, they cost none."""
    generous = {"count": 1000, "minutes": 60, "action": "hold"}
    found = []
    for shop in (open_shop(), open_shop(suspicious(**dict.fromkeys(COUNTING, generous)))):
        agent = replace(shop.agent, ip="203.0.113.7")
        shop.issue(agent, amount_minor=500)  # what never changes is known from here on
        asked: list[str] = []
        note = _noting(asked)
        sa.event.listen(shop.core.database.engine, "before_cursor_execute", note)
        shop.issue(agent, amount_minor=500)
        sa.event.remove(shop.core.database.engine, "before_cursor_execute", note)
        found.append(len([each for each in asked if "count(*)" in each]))
    assert found == [0, 1]


def _noting(asked: list[str]) -> Callable[..., None]:
    return lambda _connection, _cursor, statement, *_more: asked.append(statement)
