"""Lists: what a network becomes, hosts in other alphabets, and files that are not quite tables."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from incentives.flows.listing import Imported, ListValue, add_listed, import_listed
from incentives.kernel.errors import AlreadyListed, BlockedBySafeguards, InputInvalid
from incentives.kernel.years import OUTSIDE
from incentives.safeguards import lists
from incentives.safeguards.tables import listed_values
from tests.flows.shop import Shop, named


def put(shop: Shop, kind: str, value: str, **more: Any) -> Any:
    command = ListValue(**{"list": "deny", "kind": kind, "value": value, "reason": "As agreed.", **more})
    return add_listed(core=shop.core, actor=shop.manager, command=command)


def load(shop: Shop, text: str) -> Imported:
    return import_listed(core=shop.core, actor=shop.manager, list_name="deny", text=text)


@pytest.mark.parametrize("network", ["203.0.0.0/8", "0.0.0.0/0", "203.0.112.0/23", "2001:db8::/32", "::ffff:0:0/96"])
def test_a_network_wider_than_what_is_counted_is_refused(shop: Shop, network: str) -> None:
    """It would be listed as its first part alone, and nobody would know."""
    refusal = shop.refused(InputInvalid, put, shop, "ip_block", network)
    assert "List each part" in refusal.facts["errors"][0]["message"]


@pytest.mark.parametrize(
    ("network", "hint"),
    [
        ("203.0.113.64/26", "203.0.113.0/24"),
        ("203.0.113.0/24", "203.0.113.0/24"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
        ("2001:db8:1:2::/64", "2001:db8:1::/48"),
    ],
)
def test_a_smaller_one_becomes_the_network_that_is_counted(shop: Shop, network: str, hint: str) -> None:
    assert put(shop, "ip_block", network).hint == hint
    lists.forget(shop.core)
    if "203" in hint:
        with pytest.raises(BlockedBySafeguards):
            shop.issue(replace(shop.manager, ip="203.0.113.77"))


@pytest.mark.parametrize(
    ("kind", "listed", "given"),
    [
        ("email_domain", "bücher.example", "a@xn--bcher-kva.example"),
        ("email_domain", "xn--bcher-kva.example", "a@bücher.example"),
        ("email_domain", "Bücher.example", "a@BÜCHER.example"),
        ("email", "a@bücher.example", "a@xn--bcher-kva.example"),
    ],
)
def test_a_host_in_another_alphabet_is_one_host(shop: Shop, kind: str, listed: str, given: str) -> None:
    put(shop, kind, listed)
    lists.forget(shop.core)
    with pytest.raises(BlockedBySafeguards):
        shop.issue(customer=named(given), channels=("email",))
    if kind == "email_domain":
        shop.refused(AlreadyListed, put, shop, kind, given.removeprefix("a@"))


@pytest.mark.parametrize(
    "text",
    [
        "kind,value,value,reason\nemail,a@b.example,c@d.example,why\n",
        "kind,kind,value,reason\nemail,email,a@b.example,why\n",
        "kind,value,reason" + "x" * 200_000 + "\n",
        "kind,value,reason\nemail," + "x" * 200_000 + ",why\n",
    ],
)
def test_a_file_that_is_no_such_table_is_refused(shop: Shop, text: str) -> None:
    refusal = shop.refused(InputInvalid, load, shop, text)
    assert refusal.facts["errors"][0]["field"] == "file"
    assert shop.all(listed_values) == []


def test_an_end_beyond_the_calendar_is_a_mistake(shop: Shop) -> None:
    """It is no instant at Greenwich, where ends are kept."""
    for end in ("9999-12-31T23:59:59-23:00", "9999-12-31T23:59:59Z", "9999-01-01T00:00:00+00:00"):
        found = load(shop, f"kind,value,reason,expires_at\nemail,a@b.example,why,{end}\n")
        assert [(each["line"], each["message"]) for each in found.mistakes] == [(2, OUTSIDE)]
    ends = datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-23)))
    shop.refused(InputInvalid, put, shop, "email", "a@b.example", expires_at=ends)
    put(shop, "email", "a@b.example", expires_at=datetime(9999, 1, 1, tzinfo=UTC))
