"""One person is one: a second sign-in of the same mailbox, or an API key of theirs, is no second pair of eyes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from incentives.access.tables import api_keys
from incentives.flows.delegate import CreateDelegation, create_delegation
from incentives.flows.listing import ListValue, add_listed, import_listed, remove_listed
from incentives.flows.review import DecideReview, decide_review
from incentives.flows.switch import SetSwitch, lift_switch, set_switch
from incentives.kernel.actors import Actor
from incentives.kernel.errors import (
    AlreadyVoted,
    BlockedBySafeguards,
    IssuingStopped,
    NotPermitted,
    OtherLocation,
    OwnListedValue,
    OwnSwitch,
    SelfApproval,
    SelfRedemption,
    SelfReview,
)
from incentives.queries.vouchers import lookup
from incentives.safeguards import reviews as reviewed
from incentives.safeguards.tables import reviews
from tests.flows.approvals_shop import Board, person, policed
from tests.flows.shop import EMAIL, Shop, named

OpenShop = Callable[..., Shop]
WHY = "Looks like fraud."
TWO = [{"key": "two", "name": "Two", "levels": [{"roles": ["manager", "finance"], "needed": 2}]}]


def key_of(shop: Shop, maker: Actor, role: str, location: str | None = None) -> Actor:
    """Let somebody make an API key."""
    key = Actor(kind="key", id=shop.core.ids.new(shop.clock.now()), name="A key", role=role, location=location)
    row = {
        "id": key.id, "name": key.name, "role": role, "location": location, "prefix": "ik_test", "digest": str(key.id),
        "created_at": shop.clock.now(), "created_by": maker.label,
    }  # fmt: skip
    with shop.core.database.write() as tx:
        tx.execute(api_keys.insert(), [row])
    return key


@pytest.fixture
def board(open_shop: OpenShop) -> Board:
    return Board(open_shop(policed(policies=TWO)))


# --- votes -------------------------------------------------------------------------------------------------------


def test_a_second_sign_in_is_no_second_vote(board: Board) -> None:
    twin = person(board.shop, "Mona2", "finance", email="mona+f@example.com")
    asked = board.ask(5000)
    assert board.vote(asked, board.mona).still_needed == 1
    board.refused(AlreadyVoted, board.vote, asked, twin)
    board.refused(AlreadyVoted, board.vote, asked, key_of(board.shop, board.mona, "manager"))
    board.refused(AlreadyVoted, board.vote, asked, key_of(board.shop, twin, "finance"))
    assert board.vote(asked, board.max).status == "granted"


@pytest.mark.parametrize("by", ["key", "second sign-in"])
def test_nobody_stands_in_for_who_has_voted_by_other_hands(board: Board, by: str) -> None:
    asked = board.ask(5000)
    twin = person(board.shop, "Mona2", "finance", email="mona+f@example.com")
    board.vote(asked, key_of(board.shop, board.mona, "manager") if by == "key" else twin)
    board.delegate(board.mona, board.fay)
    board.refused(AlreadyVoted, board.vote, asked, board.fay, on_behalf_of=board.mona.label)
    assert board.vote(asked, board.fay).status == "granted"


def test_whoever_would_get_it_has_no_say(board: Board) -> None:
    """By their address in any spelling, and by every customer whom they are known to be."""
    asked = board.ask(5000, customer=named("Mona+home@example.com"))
    board.refused(SelfApproval, board.vote, asked, board.mona)
    board.refused(SelfApproval, board.vote, asked, key_of(board.shop, board.mona, "manager"))
    board.shop.issue(customer=named("max@example.com", phone="+442079460099"))
    linked = board.ask(5000, customer=named("home@example.com", phone="+442079460099"))
    board.refused(SelfApproval, board.vote, linked, board.max)
    board.refused(SelfApproval, board.vote, linked, board.max, "decline")
    board.delegate(board.max, board.fay)
    board.refused(SelfApproval, board.vote, linked, board.fay, on_behalf_of=board.max.label)


def test_nobody_hands_anothers_right_to_themselves_by_a_key(board: Board) -> None:
    def hand_on(by: Actor, to: Actor) -> Any:
        ends_at = board.shop.clock.now() + timedelta(days=3)
        command = CreateDelegation(
            delegate_email=to.email or "", absent_email=board.fay.email, ends_at=ends_at, reason="She is away."
        )
        return create_delegation(core=board.core, actor=by, command=command)

    key = key_of(board.shop, board.adam, "admin")
    board.refused(NotPermitted, hand_on, board.adam, board.adam)
    board.refused(NotPermitted, hand_on, key, board.adam)
    board.refused(NotPermitted, hand_on, board.adam, person(board.shop, "Adam2", "admin", email="adam+2@example.com"))
    hand_on(key, board.mona)


# --- reviews -----------------------------------------------------------------------------------------------------


def test_who_caused_a_review_or_agreed_to_it_does_not_decide_it(board: Board) -> None:
    shop = board.shop
    row = reviewed.opened(
        core=shop.core,
        actor=board.fay,
        now=shop.clock.now(),
        kind="break_glass",
        subject_id="a",
        action="allow",
        signals=[{"name": "break-glass", "budget": "all-gbp", "approved_by": board.mona.label}],
    )
    with shop.core.database.write() as tx:
        reviewed.write(tx, [row])
    command = DecideReview(review_id=shop.one(reviews).id, decision="note", note="Seen.")
    for actor in (board.mona, key_of(shop, board.mona, "manager"), key_of(shop, board.fay, "manager")):
        board.refused(SelfReview, decide_review, core=shop.core, actor=actor, command=command)
    decide_review(core=shop.core, actor=board.max, command=command)


# --- the till ----------------------------------------------------------------------------------------------------


def test_who_gives_does_not_redeem_by_a_second_sign_in(board: Board) -> None:
    shop = board.shop
    voucher = shop.voucher(by=board.mona)
    twin = person(shop, "Mona2", "till", email="mona+till@example.com", location="london")
    assert lookup(core=shop.core, actor=twin, code=voucher.code).reason == "self-redemption"
    with pytest.raises(SelfRedemption):
        shop.redeem(voucher.code, by=twin)
    shop.redeem(voucher.code, by=person(shop, "Tim", "till", location="london"))


# --- switches ----------------------------------------------------------------------------------------------------


def test_nobody_lifts_what_stops_them_by_a_key(board: Board) -> None:
    shop = board.shop
    key = key_of(shop, board.adam, "manager")
    stop = SetSwitch(stops="issuing", scope="person", subject=board.adam.email, reason=WHY)
    found = set_switch(core=shop.core, actor=board.mona, command=stop)
    lift: dict[str, Any] = {"core": shop.core, "switch_id": found.id, "reason": "It was not me."}
    board.refused(OwnSwitch, lift_switch, actor=key, **lift)
    with pytest.raises(IssuingStopped):
        shop.issue(by=key)
    lift_switch(actor=board.mona, **lift)
    shop.issue(by=key)
    stop = SetSwitch(stops="issuing", scope="api_key", subject=key.label, reason=WHY)
    theirs = set_switch(core=shop.core, actor=board.mona, command=stop)
    board.refused(OwnSwitch, lift_switch, core=shop.core, actor=board.adam, switch_id=theirs.id, reason="Mine.")


def test_a_stopped_person_s_tills_go_on(board: Board) -> None:
    shop = board.shop
    till = key_of(shop, board.adam, "till", "london")
    stop = SetSwitch(stops="redeeming", scope="person", subject=board.adam.email, reason=WHY)
    set_switch(core=shop.core, actor=board.mona, command=stop)
    shop.redeem(shop.voucher().code, by=till)


def test_who_set_a_key_s_switch_lifts_it_though_they_made_the_key(board: Board) -> None:
    shop = board.shop
    key = key_of(shop, board.adam, "manager")
    stop = SetSwitch(stops="issuing", scope="api_key", subject=key.label, reason=WHY)
    found = set_switch(core=shop.core, actor=board.adam, command=stop)
    lift_switch(core=shop.core, actor=board.adam, switch_id=found.id, reason="It was a mistake.")


def test_one_place_does_not_lift_what_more_than_it_has_set(board: Board) -> None:
    shop = board.shop
    stop = SetSwitch(stops="issuing", scope="location", subject="london", reason=WHY)
    above = set_switch(core=shop.core, actor=board.mona, command=stop)
    lift: dict[str, Any] = {"core": shop.core, "actor": board.sam, "reason": "We are fine."}
    board.refused(OtherLocation, lift_switch, switch_id=above.id, **lift)
    lift_switch(core=shop.core, actor=board.mona, switch_id=above.id, reason="Over.")
    here = set_switch(core=shop.core, actor=board.sue, command=stop)
    lift_switch(switch_id=here.id, **lift)


# --- lists -------------------------------------------------------------------------------------------------------


def listing(shop: Shop, name: str, kind: str, value: str, by: Actor) -> Any:
    return add_listed(
        core=shop.core, actor=by, command=ListValue(list=name, kind=kind, value=value, reason="Known to us.")
    )


def test_nobody_trusts_themselves(board: Board) -> None:
    shop = board.shop
    key = key_of(shop, board.mona, "manager")
    shop.issue(customer=named("mona@example.com", phone="+442079460099"), by=board.max)
    own = [("actor", board.mona.label), ("actor", key.label), ("email", "Mona+x@example.com"),
           ("phone", "+442079460099")]  # fmt: skip
    for kind, value in own:
        board.refused(OwnListedValue, listing, shop, "allow", kind, value, board.mona)
        board.refused(OwnListedValue, listing, shop, "allow", kind, value, key)
    text = "kind,value,reason\nemail,ana@example.com,Known\nemail,mona@example.com,Known\n"
    found = import_listed(core=shop.core, actor=board.mona, list_name="allow", text=text)
    assert (found.added, [each["line"] for each in found.mistakes]) == (0, [3])
    listing(shop, "allow", "email", "mona@example.com", board.max)


def test_nobody_frees_themselves(board: Board) -> None:
    shop = board.shop
    key = key_of(shop, board.mona, "manager")
    for kind, value in (("actor", board.mona.label), ("actor", key.label), ("email", "mona@example.com")):
        found = listing(shop, "deny", kind, value, board.max)
        off: dict[str, Any] = {"core": shop.core, "listed_id": found.id, "reason": "A mistake."}
        board.refused(OwnListedValue, remove_listed, actor=board.mona, **off)
        board.refused(OwnListedValue, remove_listed, actor=key, **off)
        remove_listed(actor=board.max, **off)


def test_what_a_key_gives_its_maker_gives_themselves(board: Board) -> None:
    shop = board.shop
    key = key_of(shop, board.mona, "manager")
    with pytest.raises(BlockedBySafeguards):
        shop.issue(by=key, customer=named("mona@example.com"))
    listing(shop, "deny", "actor", board.mona.label, board.max)
    with pytest.raises(BlockedBySafeguards):
        shop.issue(by=key, customer=named(EMAIL))


def test_a_key_is_not_trusted_because_its_maker_is(board: Board) -> None:
    shop = board.shop
    key = key_of(shop, board.mona, "manager")
    listing(shop, "allow", "actor", board.mona.label, board.max)
    with pytest.raises(BlockedBySafeguards):
        shop.issue(by=key, customer=named("mona@example.com"))
    shop.issue(by=board.mona, customer=named("mona@example.com"))


def test_a_switch_stops_nobody_else_s_key(board: Board) -> None:
    stop = SetSwitch(stops="issuing", scope="person", subject=board.adam.email, reason=WHY)
    set_switch(core=board.core, actor=board.mona, command=stop)
    board.shop.issue(by=key_of(board.shop, board.mona, "manager"))
