"""Switches stop giving and redeeming, each for its own scope, and let it go on again."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from incentives.access.tables import users
from incentives.books.tables import audit_events
from incentives.deeds import guarding
from incentives.flows.switch import SetSwitch, SwitchSet, lift_switch, set_switch
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    InputInvalid,
    IssuingStopped,
    NotPermitted,
    OtherLocation,
    OwnSwitch,
    RedeemingStopped,
    SwitchAlreadyLifted,
    SwitchAlreadySet,
    SwitchNotFound,
)
from incentives.safeguards import switches
from incentives.safeguards.tables import switches as table
from tests.flows.approvals_shop import Board, OpenShop, policed
from tests.flows.shop import Shop, moved, wish

ISSUING = ("location", "london"), ("incentive", "voucher"), ("issue_tag", "service"), ("team", "gates")


def hire(shop: Shop, who: Actor) -> Actor:
    """Enter somebody as one of the staff; what tests make up is not in the table."""
    row = {
        "id": who.id,
        "email": who.email or f"{who.id}@staff.example",
        "name": who.name,
        "role": who.role,
        "location": who.location,
        "team": who.team,
        "password_hash": "-",
        "created_at": shop.clock.now(),
    }
    with shop.core.database.write() as tx:
        tx.execute(users.insert(), row)
    return who


def put(shop: Shop, stops: str, scope: str, subject: str | None = None, by: Actor | None = None) -> SwitchSet:
    command = SetSwitch(stops=stops, scope=scope, subject=subject, reason="A leak is being looked into.")
    return set_switch(core=shop.core, actor=by or shop.manager, command=command)


def test_stops_everything_and_lets_it_go_on(shop: Shop) -> None:
    """The organization's switch stops every gift, says why, and leaves nothing; lifted, giving goes on."""
    found = put(shop, "issuing", "organization")
    refusal = shop.refused(IssuingStopped, shop.issue)
    assert refusal.facts == {
        "scope": "organization",
        "subject": "organization",
        "reason": "A leak is being looked into.",
    }
    lift_switch(core=shop.core, actor=shop.manager, switch_id=found.id, reason="It was nothing.")
    shop.issue()


@pytest.mark.parametrize(("scope", "subject"), ISSUING)
def test_stops_what_is_in_its_scope(shop: Shop, scope: str, subject: str) -> None:
    """Each scope stops what is in it, and a tag all below it."""
    put(shop, "issuing", scope, subject)
    refusal = shop.refused(IssuingStopped, shop.issue, shop.agent, amount_minor=1000)
    assert (refusal.facts["scope"], refusal.facts["subject"]) == (scope, subject)


def test_leaves_what_is_beside_its_scope(shop: Shop) -> None:
    """Another place, another incentive, another tag and another team go on."""
    for scope, subject in (
        ("location", "leeds"),
        ("incentive", "meal"),
        ("issue_tag", "odd"),
        ("team", "desk"),
        ("source", "zendesk"),
    ):
        put(shop, "issuing", scope, subject)
    put(shop, "redeeming", "organization")
    shop.issue(shop.agent, amount_minor=1000)


def test_stops_one_person(shop: Shop) -> None:
    """A person who is stopped gives nothing, and is not named to others; their colleagues go on."""
    hire(shop, shop.agent)
    put(shop, "issuing", "person", "agent@example.com")
    refusal = shop.refused(IssuingStopped, shop.issue, shop.agent, amount_minor=1000)
    assert refusal.facts["subject"] is None
    shop.issue(shop.supervisor, amount_minor=1000)


def test_stops_a_source(shop: Shop) -> None:
    """What is given for a feedback source stops with it."""
    put(shop, "issuing", "source", "survey-tool")
    shop.refused(IssuingStopped, shop.issue, source="survey-tool")
    shop.issue(source="another")


@pytest.mark.parametrize(("scope", "subject"), [*ISSUING[:2], ("person", "ada@example.com")])
def test_what_is_stopped_by_now_is_not_granted(open_shop: OpenShop, scope: str, subject: str) -> None:
    """Whoever asked before the switch was set gets nothing until it is lifted."""
    board = Board(open_shop(policed(policies=[])))
    asked = board.ask(2000)
    found = put(board.shop, "issuing", scope, subject, by=board.max)
    board.refused(IssuingStopped, board.vote, asked, board.mona)
    lift_switch(core=board.core, actor=board.max, switch_id=found.id, reason="Over.")
    assert board.vote(asked, board.mona).status == "granted"


def test_an_apology_by_itself_is_never_stopped(shop: Shop) -> None:
    """Saying sorry costs nothing, and must always be possible."""
    put(shop, "issuing", "organization")
    assert shop.issue(incentive="sorry").voucher is None


def test_stops_redeeming_and_only_that(shop: Shop) -> None:
    """A voucher that is stopped stays good: once the switch is lifted it is redeemed."""
    voucher = shop.voucher()
    found = put(shop, "redeeming", "location", "london")
    with pytest.raises(RedeemingStopped):
        shop.redeem(voucher.code)
    shop.issue()
    lift_switch(core=shop.core, actor=shop.manager, switch_id=found.id, reason="Mended.")
    assert shop.redeem(voucher.code).amount.amount_minor == 1000


def test_what_somebody_gave_can_be_stopped_from_being_redeemed(shop: Shop) -> None:
    """What a person gave is stopped with them, wherever it is redeemed."""
    hire(shop, shop.agent)
    theirs, others = shop.voucher(shop.agent, amount_minor=1000), shop.voucher()
    put(shop, "redeeming", "person", f"person:{shop.agent.id}")
    with pytest.raises(RedeemingStopped):
        shop.redeem(theirs.code)
    shop.redeem(others.code)


def test_offers_say_it_beforehand(shop: Shop) -> None:
    """What is stopped is not offered, and says why."""
    put(shop, "issuing", "incentive", "fixed")
    blocked = {each.incentive: each.blocked_reasons for each in shop.offer().offers}
    assert "issuing-stopped" in str(blocked["fixed"])
    assert not blocked["voucher"]


def test_one_in_a_sequence_does_not_stop_the_others(shop: Shop) -> None:
    """A command that is stopped is refused by itself."""
    put(shop, "issuing", "incentive", "fixed")
    stopped, given = shop.issue_many(wish(incentive="fixed"), wish())
    assert isinstance(stopped, IssuingStopped)
    assert given.status == "issued"


def test_is_set_once(shop: Shop) -> None:
    """Setting it twice names the one that is set; after it was lifted it can be set again."""
    found = put(shop, "issuing", "incentive", "voucher")
    refusal = shop.refused(SwitchAlreadySet, put, shop, "issuing", "incentive", "voucher")
    assert refusal.facts["switch_id"] == str(found.id)
    put(shop, "redeeming", "incentive", "voucher")
    lift_switch(core=shop.core, actor=shop.manager, switch_id=found.id, reason="Done.")
    put(shop, "issuing", "incentive", "voucher")
    assert len(shop.all(table)) == 3


def test_leaves_one_audit_entry_each(shop: Shop) -> None:
    """Setting and lifting leave one entry each, with the reason."""
    found = put(shop, "issuing", "organization")
    lift_switch(core=shop.core, actor=shop.manager, switch_id=found.id, reason="Done.")
    events = shop.all(audit_events, audit_events.c.subject_id == str(found.id))
    assert [(each.action, each.reason) for each in events] == [
        ("switch.set", "A leak is being looked into."),
        ("switch.lifted", "Done."),
    ]
    assert events[0].facts == {"stops": "issuing", "scope": "organization", "subject": "organization"}


def test_is_lifted_once(shop: Shop) -> None:
    """A switch that was lifted is not lifted again, and one that there is not never."""
    found = put(shop, "issuing", "organization")
    lift_switch(core=shop.core, actor=shop.manager, switch_id=found.id, reason="Done.")
    again: dict[str, Any] = {"core": shop.core, "actor": shop.manager, "reason": "Once more."}
    shop.refused(SwitchAlreadyLifted, lift_switch, switch_id=found.id, **again)
    shop.refused(SwitchNotFound, lift_switch, switch_id=shop.core.ids.new(shop.clock.now()), **again)


def test_who_belongs_to_a_place_stops_that_place_only(shop: Shop) -> None:
    """A supervisor stops their own place, its teams and its people; nothing else, and lifts nothing else."""
    hire(shop, shop.agent)
    elsewhere = hire(
        shop, moved(shop.agent, id=shop.core.ids.new(shop.clock.now()), location="leeds", email="x@y.example")
    )
    for scope, theirs in (("location", "london"), ("team", "gates"), ("person", str(shop.agent.id))):
        put(shop, "issuing", scope, theirs, by=shop.supervisor)
    for scope, subject in (
        ("organization", None),
        ("location", "leeds"),
        ("team", "desk"),
        ("incentive", "voucher"),
        ("issue_tag", "service"),
        ("source", "zendesk"),
        ("person", str(elsewhere.id)),
    ):
        shop.refused(OtherLocation, put, shop, "issuing", scope, subject, by=shop.supervisor)
    found = put(shop, "issuing", "organization")
    shop.refused(SwitchNotFound, lift_switch, core=shop.core, actor=shop.supervisor, switch_id=found.id, reason="Mine.")


def test_nobody_lifts_the_switch_that_stops_them(shop: Shop) -> None:
    """Somebody else must find that it was nothing."""
    hire(shop, shop.supervisor)
    found = put(shop, "issuing", "person", str(shop.supervisor.id))
    shop.refused(OwnSwitch, lift_switch, core=shop.core, actor=shop.supervisor, switch_id=found.id, reason="Me.")


def test_frontline_staff_set_none(shop: Shop) -> None:
    """The permission is for those who lead."""
    shop.refused(NotPermitted, put, shop, "issuing", "organization", by=shop.agent)


@pytest.mark.parametrize(
    ("stops", "scope", "subject", "reason"),
    [
        ("giving", "organization", None, "Why."),
        ("issuing", "planet", "earth", "Why."),
        ("issuing", "location", None, "Why."),
        ("issuing", "location", "atlantis", "Why."),
        ("issuing", "organization", "london", "Why."),
        ("issuing", "person", "nobody@example.com", "Why."),
        ("issuing", "api_key", "not-an-id", "Why."),
        ("issuing", "source", "s" * 121, "Why."),
        ("issuing", "organization", None, "  "),
        ("issuing", "organization", None, "x" * 501),
    ],
)
def test_refuses_what_makes_no_sense(shop: Shop, stops: str, scope: str, subject: str | None, reason: str) -> None:
    """Unknown scopes and subjects, and no reason, are refused."""
    command = SetSwitch(stops=stops, scope=scope, subject=subject, reason=reason)
    shop.refused(InputInvalid, set_switch, core=shop.core, actor=shop.manager, command=command)


def test_is_read_at_most_twice_a_second(shop: Shop) -> None:
    """Within half a second the database is not asked again, and after it is; a clock that goes back asks too."""
    asked: list[str] = []
    moment = [100.0]

    def found() -> int:
        with shop.core.database.read() as tx:
            return len(switches.in_force(tx, shop.core, lambda: moment[0]))

    sa.event.listen(shop.core.database._reader, "before_cursor_execute", _note(asked))
    assert found() == 0
    _insert(shop)
    moment[0] += 0.49
    assert (found(), len(asked)) == (0, 1)
    moment[0] += 0.02
    assert (found(), len(asked)) == (1, 2)
    moment[0] -= 5
    assert (found(), len(asked)) == (1, 3)


def _note(asked: list[str]) -> Callable[..., None]:
    return lambda _connection, _cursor, statement, *_more: asked.append(statement) if "switches" in statement else None


def _insert(shop: Shop) -> None:
    """Set a switch as another process would: this one does not know."""
    now = shop.clock.now()
    row = {
        "id": shop.core.ids.new(now),
        "stops": "issuing",
        "scope": "organization",
        "subject": "organization",
        "reason": "Elsewhere.",
        "set_by": "person:x",
        "set_by_name": "X",
        "set_at": now,
    }
    with shop.core.database.write() as tx:
        assert switches.add(tx, row)
        assert not switches.add(tx, {**row, "id": shop.core.ids.new(now)})


def test_the_widest_switch_is_named(shop: Shop) -> None:
    """Of several that stop a gift the widest says why."""
    put(shop, "issuing", "incentive", "voucher")
    put(shop, "issuing", "organization")
    assert shop.refused(IssuingStopped, shop.issue).facts["scope"] == "organization"


def test_what_counts_for_a_deed_is_complete() -> None:
    """Every scope has its place among the names by which a deed is stopped."""
    names = guarding.Subjects(
        location="l", incentive="i", issue_tags=("t",), team="m", actor="person:a", source="s", issued_by="key:b"
    ).names
    assert {scope for scope, _ in names} == {
        "organization", "location", "incentive", "issue_tag", "team", "person", "api_key", "source",
    }  # fmt: skip
