"""Switches of what has left the catalog, and whose switches somebody of one place sees."""

from typing import Any

import orjson
import pytest

from incentives.flows.switch import SetSwitch, SwitchSet, set_switch
from incentives.kernel.errors import InputInvalid, RedeemingStopped, SwitchNotFound
from incentives.queries.switches import caught, count_standing, list_switches
from tests.flows.shop import SHOP, Shop
from tests.world import person, publish_catalog


def put(shop: Shop, scope: str, subject: str, stops: str = "redeeming") -> SwitchSet:
    command = SetSwitch(stops=stops, scope=scope, subject=subject, reason="Forged ones are about.")
    return set_switch(core=shop.core, actor=shop.manager, command=command)


def without(*, incentive: str) -> str:
    document = orjson.loads(SHOP)
    document["incentives"] = [each for each in document["incentives"] if each["key"] != incentive]
    for protocol in document["protocols"]:
        protocol["incentives"] = [key for key in protocol["incentives"] if key != incentive]
    return orjson.dumps(document).decode()


def test_what_left_the_catalog_is_stopped_all_the_same(shop: Shop) -> None:
    """Its vouchers are about, and can be redeemed."""
    given = shop.issue(incentive="fixed")
    assert given.voucher is not None
    publish_catalog(shop.core, without(incentive="fixed"))
    put(shop, "incentive", "fixed")
    with pytest.raises(RedeemingStopped):
        shop.redeem(given.voucher.code)
    shop.refused(InputInvalid, put, shop, "incentive", "never-there")


def test_somebody_of_a_place_sees_what_stops_it_and_not_what_stops_others(shop: Shop) -> None:
    here, there = person(shop.core, "frontline", location="london"), person(shop.core, "supervisor", location="leeds")
    shown: list[Any] = [
        put(shop, "location", "london"),
        put(shop, "incentive", "fixed"),
        put(shop, "person", here.label),
    ]
    hidden = [put(shop, "location", "leeds"), put(shop, "person", there.label)]
    everything = list_switches(core=shop.core, actor=shop.manager).items
    assert {each.id for each in everything} == {each.id for each in [*shown, *hidden]}
    seen = list_switches(core=shop.core, actor=shop.supervisor).items
    assert {each.id for each in seen} == {each.id for each in shown}
    standing = [count_standing(core=shop.core, actor=each) for each in (shop.supervisor, shop.manager)]
    assert standing == [3, 5]
    with pytest.raises(SwitchNotFound):
        caught(core=shop.core, actor=shop.supervisor, switch_id=hidden[0].id)
